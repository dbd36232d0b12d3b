"""Where to begin: scale, rotation and offset of the RGB on the spectral frame, from nothing but the two images.

Small versions of both are compared at every offset at once, by Fourier transforms, for a grid of scales and rotations.
What is compared is how much of the spectral frame's strongest components a linear regression on the RGB explains, local
means removed: brightness, contrast and colour may differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import require
from hsi_edge.principal_axes import principal_axes
from hsi_edge.registration.evidence import Evidence

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]

LONGER_SIDE_PX = 36
"""Of the small spectral frame; with the steps below, its corners are at most about half a pixel off."""
SCALES = (0.5, 1.35)
"""Of the scale at which both images would show the same ground, as far as their sizes go: the RGB may show twice the
frame's ground and side, or three quarters of it."""
SCALE_STEP, ROTATION_STEP_DEG, LARGEST_ROTATION_DEG = 1.06, 3.0, 15.0
BLUR_PX, LOCAL_PX = 0.6, 4.0
"""Of the small images: what is smoothed away, and the extent of the local means that are removed."""
FINEST_PX = 3.0
"""RGB pixels per pixel of the small frame that are enough at the finest scale: the rest is averaged away first."""
LEAST_OVERLAP = 0.5
STRONGEST = 2
CANDIDATES = 6
APART_PX = 2.5
RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Candidate:
    """A possible place: the matrix, and the log-likelihood gained over no relation, per component."""

    msi_from_lr: Matrix
    gain: float


def candidates(evidence: Evidence) -> list[Candidate]:
    """The most likely places of the spectral frame on the RGB, best first, unlike each other."""
    rows, cols = evidence.image.shape[1:]
    small = evidence.reduced(max(1, -(-max(rows, cols) // LONGER_SIDE_PX)))
    frame = _Frame.of(small.image)
    # As large as possible: both images show the same ground, one of them more of it.
    even = max(a / b for a, b in zip(evidence.planes.shape[1:], frame.valid.shape, strict=True))
    evidence = evidence.coarse_planes(int(even * SCALES[0] / FINEST_PX))
    photo = _strongest(evidence.planes[: len(evidence.planes) // 2])
    even *= small.block / evidence.block
    found: list[Candidate] = []
    count = int(np.ceil(np.log(SCALES[1] / SCALES[0]) / np.log(SCALE_STEP)))
    turns = np.arange(-LARGEST_ROTATION_DEG, LARGEST_ROTATION_DEG + 0.1, ROTATION_STEP_DEG)
    for scale in even * np.geomspace(*SCALES, count + 1):
        for turn in np.deg2rad(turns):
            found.extend(_best_offsets(frame, photo, scale, turn, small, evidence.block))
    return _distinct(found, evidence)


@dataclass(frozen=True, eq=False)
class _Frame:
    components: Float
    valid: Float

    @classmethod
    def of(cls, image: Matrix) -> _Frame:
        valid = np.isfinite(image).all(axis=0)
        filled = np.where(valid, image[:STRONGEST], 0).astype(np.float32)
        weight: Float = np.asarray(valid, np.float32)
        local = np.stack([_blurred(one, LOCAL_PX) for one in filled]) / np.maximum(_blurred(weight, LOCAL_PX), 1e-3)
        return cls(np.asarray((filled - local) * weight, np.float32), weight)


def _strongest(planes: Float) -> Float:
    """The RGB's two strongest components."""
    flat = planes.reshape(len(planes), -1).astype(np.float64)
    centred = flat - flat.mean(axis=1, keepdims=True)
    _, axes = principal_axes(centred @ centred.T)
    strongest = axes[:, ::-1][:, :STRONGEST].T @ centred
    return np.ascontiguousarray(strongest.reshape(-1, *planes.shape[1:]), np.float32)


def _blurred(image: Float, sigma: float) -> Float:
    cv2 = require("cv2", feature="registration", extra="opencv")
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def _best_offsets(
    frame: _Frame, photo: Float, scale: float, turn: float, small: Evidence, block: int
) -> list[Candidate]:
    """The best offsets for a scale, in pixels of `photo` per pixel of the small frame, and a rotation."""
    turned, reach, linear, origin = _turned(photo, scale, turn)
    gain = _gains(frame, turned, reach)
    rows, cols = frame.valid.shape
    found = []
    for _ in range(2):
        down, right = np.unravel_index(int(gain.argmax()), gain.shape)
        best = float(gain[down, right])
        if best <= 0:
            break
        offset = np.array([right - (cols - 1), down - (rows - 1)], np.float64)
        matrix = np.eye(3)
        matrix[:2, :2] = linear * block / small.step
        matrix[:2, 2] = (origin + linear @ offset) * block
        found.append(Candidate(matrix, best))
        gain[max(0, down - 2) : down + 3, max(0, right - 2) : right + 3] = 0
    return found


def _turned(photo: Float, scale: float, turn: float) -> tuple[Float, Float, Matrix, Matrix]:
    """The photo as the small frame has it, where it reaches, and its points in the photo: linear part, origin."""
    cv2 = require("cv2", feature="registration", extra="opencv")
    rows, cols = photo.shape[1:]
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wide = int(np.ceil((cols * abs(np.cos(turn)) + rows * abs(np.sin(turn))) / scale))
    high = int(np.ceil((rows * abs(np.cos(turn)) + cols * abs(np.sin(turn))) / scale))
    origin = np.array([cols, rows]) / 2 - linear @ (np.array([wide, high]) / 2)
    place = np.column_stack([linear, origin + linear @ [0.5, 0.5] - 0.5])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    images = []
    for plane in photo:
        blurred = cv2.GaussianBlur(plane, (0, 0), max(0.3, BLUR_PX * scale), borderType=cv2.BORDER_REPLICATE)
        image = cv2.warpAffine(blurred, place, (wide, high), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        images.append(image - _blurred(image, LOCAL_PX))
    reach = cv2.warpAffine(np.ones((rows, cols), np.float32), place, (wide, high), flags=flags)
    reach = (reach > 0.99).astype(np.float32)
    return np.stack(images) * reach, reach, linear, origin


def _gains(frame: _Frame, turned: Float, reach: Float) -> Matrix:
    """For every offset, the log-likelihood gained by the regression, per component; 0 where too little overlaps."""
    size = [int(a + b - 1) for a, b in zip(reach.shape, frame.valid.shape, strict=True)]
    fast = [_fast_length(length) for length in size]

    def spectrum(images: Float) -> NDArray[np.complex64]:
        return np.asarray(np.fft.rfft2(images, fast))

    count = len(turned)
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    of_photo = spectrum(np.stack([*turned, *(turned[i] * turned[j] for i, j in pairs), reach]))
    flipped = np.stack([*frame.components, np.square(frame.components).sum(axis=0), frame.valid])[:, ::-1, ::-1]
    of_frame = spectrum(flipped)

    def sums(left: NDArray[np.complex64], right: NDArray[np.complex64]) -> Matrix:
        found: Matrix = np.fft.irfft2(left * right, fast)[..., : size[0], : size[1]]
        return found

    valid, energy, parts = of_frame[-1], of_frame[-2], of_frame[:-2]
    plain = sums(of_photo, valid)
    number = np.maximum(plain[-1], 1)
    means, products = plain[:count] / number, plain[count:-1]
    wanted_means = sums(parts, of_photo[-1]) / number
    total = sums(energy, of_photo[-1]) - number * np.square(wanted_means).sum(axis=0)
    cross = np.stack([sums(parts, of_photo[i]) - number * means[i] * wanted_means for i in range(count)])
    gram = {pair: products[k] - number * means[pair[0]] * means[pair[1]] for k, pair in enumerate(pairs)}
    explained = _explained(gram, cross, count) / np.maximum(total, 1e-6 * total.max())
    gain = -0.5 * number * np.log1p(-np.clip(explained, 0, 0.999))
    return np.where(number >= LEAST_OVERLAP * frame.valid.sum(), gain, 0)


def _explained(gram: dict[tuple[int, int], Matrix], cross: Matrix, count: int) -> Matrix:
    first = gram[0, 0] + RIDGE * gram[0, 0].max()
    if count == 1:
        return np.asarray(np.square(cross[0]).sum(axis=0) / first)
    second = gram[1, 1] + RIDGE * gram[1, 1].max()
    determinant = np.maximum(first * second - gram[0, 1] ** 2, RIDGE * first * second)
    both = second * cross[0] ** 2 - 2 * gram[0, 1] * cross[0] * cross[1] + first * cross[1] ** 2
    return np.asarray(both.sum(axis=0) / determinant)


def _fast_length(least: int) -> int:
    """The next length whose prime factors are 2, 3 and 5."""
    while True:
        rest = least
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return least
        least += 1


def _distinct(found: list[Candidate], evidence: Evidence) -> list[Candidate]:
    rows, cols = (side * evidence.step for side in evidence.image.shape[1:])
    corners = np.array([[0, 0, 1], [cols, 0, 1], [0, rows, 1], [cols, rows, 1], [cols / 2, rows / 2, 1]])
    apart = APART_PX * max(rows, cols) / LONGER_SIDE_PX
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda candidate: -candidate.gain):
        pixel = np.sqrt(abs(np.linalg.det(one.msi_from_lr)))
        places = (corners @ one.msi_from_lr.T)[:, :2]
        if all(np.abs(places - (corners @ k.msi_from_lr.T)[:, :2]).max() > apart * pixel for k in kept):
            kept.append(one)
        if len(kept) == CANDIDATES:
            break
    return kept
