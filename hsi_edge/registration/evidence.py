"""What one pair of frames holds for its registration: the spectral frame's components, and the RGB to explain them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, RegistrationError, require
from hsi_edge.noise import denoise_spectra
from hsi_edge.registration.rig import Rig

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]

RGB_RANGE_NM = (400.0, 700.0)
BEYOND_NM = 20.0
"""Beyond the outermost centres of an MSI of known wavelengths, bands of the spectral frame still count to its range."""
MOST_COMPONENTS = 6
"""Of the spectral frame; those beyond hold little that three channels explain."""
MEASURED = 0.5
"""A band with fewer valid pixels, relative to the best band, is left out rather than all of its invalid pixels."""
FEWEST_PIXELS = 36
FINE_PX = 5.0
"""RGB pixels per LR pixel that are enough: a finer RGB is averaged over blocks, which saves time."""
SIGMA_PER_FWHM = 1 / np.sqrt(8 * np.log(2))
LEAST_SIGMA_PX = 0.35


@dataclass(frozen=True, eq=False)
class Evidence:
    """One pair of frames, ready for comparison.

    Attributes:
        image: `(components, rows, cols)` of the spectral frame; NaN where it was not measured.
        planes: `(2 * channels, rows, cols)`: the RGB between 0 and 1, then its squares, of which a regression makes
            linear light out of gamma-coded values; blocks of `block` pixels averaged.
        step: LR pixels per pixel of `image` and side.
        block: RGB pixels per pixel of `planes` and side.
    """

    image: Matrix
    planes: Float
    step: int = 1
    block: int = 1

    @property
    def points(self) -> Matrix:
        """Middles of the image's pixels in LR pixels, `(rows * cols, 2)` as (x, y)."""
        y, x = np.indices(self.image.shape[1:])
        return (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * self.step

    @property
    def components(self) -> Matrix:
        """`(components, rows * cols)`."""
        return self.image.reshape(len(self.image), -1)

    def reduced(self, step: int) -> Evidence:
        """The same with the mean of each block of `step` x `step` pixels; blocks that are not whole are left out."""
        count, rows, cols = self.image.shape
        rows, cols = rows // step, cols // step
        blocks = self.image[:, : rows * step, : cols * step].reshape(count, rows, step, cols, step)
        return replace(self, image=blocks.mean(axis=(2, 4)), step=self.step * step)

    def coarse_planes(self, block: int) -> Evidence:
        """The same with the RGB averaged over blocks of `block` of its present pixels."""
        if block <= 1:
            return self
        count, rows, cols = self.planes.shape
        rows, cols = rows // block, cols // block
        blocks = self.planes[:, : rows * block, : cols * block].reshape(count, rows, block, cols, block)
        return replace(self, planes=blocks.mean(axis=(2, 4)), block=self.block * block)


@dataclass(frozen=True, eq=False)
class Seen:
    """The RGB as the spectral sensor would see it: `(channels, points)` each.

    Attributes:
        values: At the points.
        along_x, along_y: Derivatives with respect to the place on the RGB, per RGB pixel.
        wider: Derivative with respect to the logarithm of the blur's width.
        reached: `(points,)`, where the RGB holds the blur's whole reach.
    """

    values: Matrix
    along_x: Matrix
    along_y: Matrix
    wider: Matrix
    reached: NDArray[np.bool_]


def seen(evidence: Evidence, rig: Rig) -> Seen:
    """Blur the RGB as the rig's PSF says and read it where the rig says."""
    cv2 = require("cv2", feature="registration", extra="opencv")
    at = rig.msi_points(evidence.points) / evidence.block
    sigmas = _sigmas(evidence, rig)
    blurred = [cv2.GaussianBlur(plane, (0, 0), *sigmas, borderType=cv2.BORDER_REPLICATE) for plane in evidence.planes]
    spread = [
        cv2.Sobel(plane, cv2.CV_32F, 2, 0, ksize=1) * np.float32(sigmas[0] ** 2)
        + cv2.Sobel(plane, cv2.CV_32F, 0, 2, ksize=1) * np.float32(sigmas[1] ** 2)
        for plane in blurred
    ]
    count = len(blurred)
    values, along_x, along_y = read_at(np.stack(blurred + spread), at[:, 0], at[:, 1])
    rows, cols = evidence.planes.shape[1:]
    margin = np.array(sigmas)
    reached = np.all((at >= margin) & (at <= np.array([cols, rows]) - margin), axis=1)
    per_px = 1 / evidence.block
    return Seen(values[:count], along_x[:count] * per_px, along_y[:count] * per_px, values[count:], reached)


def _sigmas(evidence: Evidence, rig: Rig) -> tuple[float, float]:
    """Of the blur in pixels of the planes, less what averaging over blocks has done already."""
    rows, cols = rig.lr_shape
    middle = np.array([cols, rows]) / 2
    sides = rig.msi_points(middle + np.array([[0.5, 0], [0, 0.5]])) - rig.msi_points(
        middle - np.array([[0.5, 0], [0, 0.5]])
    )
    variance_lr = (rig.psf_fwhm_lr * SIGMA_PER_FWHM) ** 2 + (evidence.step**2 - 1) / 12
    variance = variance_lr * np.square(sides).sum(axis=0) - (evidence.block**2 - 1) / 12
    across, down = np.sqrt(np.maximum(variance, LEAST_SIGMA_PX**2)) / evidence.block
    return float(across), float(down)


def read_at(planes: Float, x: Matrix, y: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Values and slopes of images by cubic convolution (Keys 1981, a = -0.5); beyond the border it is repeated.

    Args:
        planes: `(channels, rows, cols)`.
        x: Across, `(points,)`, in pixels counted from the corner.
        y: Down, likewise.

    Returns:
        Values and their derivatives by x and by y, `(channels, points)` each.
    """
    _, rows, cols = planes.shape
    first_x, weights_x, slopes_x = _taps(x - 0.5)
    first_y, weights_y, slopes_y = _taps(y - 0.5)
    totals = np.zeros((3, len(planes), len(x)))
    for j in range(4):
        row = np.clip(first_y + j, 0, rows - 1)
        line = np.zeros((2, len(planes), len(x)))
        for i in range(4):
            value = planes[:, row, np.clip(first_x + i, 0, cols - 1)]
            line[0] += weights_x[i] * value
            line[1] += slopes_x[i] * value
        totals[0] += weights_y[j] * line[0]
        totals[1] += weights_y[j] * line[1]
        totals[2] += slopes_y[j] * line[0]
    return totals[0], totals[1], totals[2]


def _taps(position: Matrix) -> tuple[NDArray[np.intp], Matrix, Matrix]:
    """First of four neighbours, their weights, and the derivatives of the weights."""
    whole = np.floor(position)
    t = position - whole
    weights = [
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    slopes = [(-1.5 * t + 2) * t - 0.5, (4.5 * t - 5) * t, (-4.5 * t + 4) * t + 0.5, (1.5 * t - 1) * t]
    return whole.astype(np.intp) - 1, np.stack(weights), np.stack(slopes)


def evidence_from_pair(lr_hsi: Cube | NDArray[Any], hr_msi: Cube | NDArray[Any]) -> Evidence:
    """Prepare a pair: bands in the RGB's range as components, the RGB between 0 and 1.

    Args:
        lr_hsi: `(rows, cols, bands)`; NaN, a mask or a nodata value where there is no measurement.
        hr_msi: `(rows, cols, channels)`, any real type.

    Raises:
        InputError: An array is no image, or no pixel or band of it holds a measurement.
        RegistrationError: An image is the same everywhere.
    """
    frame = lr_hsi if isinstance(lr_hsi, Cube) else Cube(data=np.asarray(lr_hsi))
    photo = hr_msi if isinstance(hr_msi, Cube) else Cube(data=np.asarray(hr_msi))
    planes = _planes(photo)
    return Evidence(_components(frame, photo), np.concatenate([planes, planes**2]))


def _components(frame: Cube, photo: Cube) -> Matrix:
    values = frame.physical()[:, :, _bands_in_range(frame, photo)]
    finite = np.isfinite(values)
    share = finite.mean(axis=(0, 1))
    kept = (share >= MEASURED * share.max()) if share.size and share.max() > 0 else np.zeros(values.shape[2], bool)
    good = finite[:, :, kept].all(axis=2) if kept.any() else np.zeros(values.shape[:2], bool)
    if good.sum() < FEWEST_PIXELS:
        raise InputError(
            f"the spectral frame has {good.sum()} valid pixels in the bands that the RGB sees; wanted {FEWEST_PIXELS} "
            "or more: check its mask, its nodata value and its bad bands"
        )
    spectra = values[:, :, kept].reshape(-1, int(kept.sum())).T
    spread = np.nanstd(spectra[:, good.ravel()].astype(np.float64))
    filled = np.where(good.ravel(), spectra, 0).astype(np.float32)
    components = denoise_spectra(filled, good.ravel()).components[:MOST_COMPONENTS]
    if not len(components) or not spread > 0:
        raise RegistrationError(
            "the spectral frame shows nothing but noise, or the same everywhere, in the bands that the RGB sees; take "
            "a pair over ground with structure"
        )
    image = components.astype(np.float64).reshape(-1, *good.shape)
    image[:, ~good] = np.nan
    return np.asarray(image / np.nanstd(image[0]))


def _bands_in_range(frame: Cube, photo: Cube) -> NDArray[np.bool_]:
    good = np.ones(frame.n_bands, bool) if frame.bad_bands is None else ~frame.bad_bands
    if frame.wavelengths_nm is None:
        return good
    low, high = RGB_RANGE_NM
    if photo.wavelengths_nm is not None:
        low, high = photo.wavelengths_nm.min() - BEYOND_NM, photo.wavelengths_nm.max() + BEYOND_NM
    inside = good & (frame.wavelengths_nm >= low) & (frame.wavelengths_nm <= high)
    return inside if inside.any() else good


def _planes(photo: Cube) -> Float:
    values = np.moveaxis(photo.physical(), 2, 0)
    finite = np.isfinite(values)
    if not finite.any():
        raise InputError("the RGB frame has no valid pixel; check the file, and its mask and nodata value")
    low, high = values[finite].min(), values[finite].max()
    if not high > low:
        raise RegistrationError("the RGB frame is the same everywhere; take a pair over ground with structure")
    values = (values - low) / (high - low)
    if not finite.all():
        means = np.array(
            [plane[valid].mean() if valid.any() else 0 for plane, valid in zip(values, finite, strict=True)]
        )
        values = np.where(finite, values, means[:, None, None])
    return np.ascontiguousarray(values, np.float32)
