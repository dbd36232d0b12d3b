"""Between the LR and the HR grid: interpolation by an integer ratio, and its counterpart, blur and decimation.

Both grids share their outer edges, so LR pixel i covers HR pixels `i * ratio` to `(i + 1) * ratio - 1` and centres are
half-pixel aligned. Everything is separable and works on `(channels, rows, cols)` float32, the order of the backends.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Kernel = Literal["bilinear", "bicubic"]
Border = Literal["edge", "reflect"]

LARGEST_UNSHARED = 1 << 18
"""Multiply-adds of the largest matrix product that OpenBLAS computes on one thread."""
KEYS_A = -0.5
"""The cubic's parameter (Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981): third order."""


def _weights(kernel: Kernel, distance: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(distance)
    if kernel == "bilinear":
        tent: NDArray[np.float64] = np.maximum(1 - x, 0)
        return tent
    near = ((KEYS_A + 2) * x - (KEYS_A + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * KEYS_A - 4 * KEYS_A
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def upsampling_matrix(start: int, stop: int, length: int, ratio: int, kernel: Kernel) -> tuple[int, Float]:
    """The rows `start` to `stop` of interpolation from `length` LR samples to `length * ratio` HR samples.

    Beyond the border the outermost sample is repeated. A part of the matrix holds the same numbers as the whole.

    Returns:
        `(first, matrix)`: HR samples are `matrix @ lr[first : first + matrix.shape[1]]`. The matrix is shared; do not
        write to it.
    """
    reach = 1 if kernel == "bilinear" else 2
    # An HR centre lies at (hr + 0.5) / ratio - 0.5 on the LR axis; in units of 1 / (2 ratio) that is an integer.
    position = (2 * np.arange(start, stop) + 1 - ratio) / (2 * ratio)
    floor = np.floor(position).astype(np.int64)
    taps = floor[:, None] + np.arange(1 - reach, reach + 1)
    weights = _weights(kernel, position[:, None] - taps)
    source = np.clip(taps, 0, length - 1)
    first, last = int(source.min()), int(source.max())
    matrix = np.zeros((stop - start, last - first + 1))
    np.add.at(matrix, (np.arange(stop - start)[:, None], source - first), weights)
    return first, matrix.astype(np.float32)


def upsample(image: Float, ratio: int, kernel: Kernel) -> Float:
    """Interpolate `(channels, h, w)` to `(channels, h * ratio, w * ratio)`."""
    _, height, width = image.shape
    return upsample_window(image, (0, height * ratio), (0, width * ratio), ratio, kernel)


def upsample_window(image: Float, rows: tuple[int, int], cols: tuple[int, int], ratio: int, kernel: Kernel) -> Float:
    """The HR window `rows` x `cols` (half-open) of the interpolated `(channels, h, w)` image."""
    _, height, width = image.shape
    top, down = upsampling_matrix(*rows, height, ratio, kernel)
    left, right = upsampling_matrix(*cols, width, ratio, kernel)
    part = image[:, top : top + down.shape[1], left : left + right.shape[1]]
    return multiply(down, multiply(part, right.T))


def multiply(left: Float, right: Float) -> Float:
    """`left @ right` on the calling thread alone, in blocks of rows that OpenBLAS does not share out.

    This runs beside a network that has a thread on every core, and BLAS's waiting threads would take them away from it.
    """
    rows, inner = left.shape[-2:]
    step = max(1, LARGEST_UNSHARED // (inner * right.shape[-1]))
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    product = np.empty((*shape, rows, right.shape[-1]), np.float32)
    for top in range(0, rows, step):
        np.matmul(left[..., top : top + step, :], right, out=product[..., top : top + step, :])
    return product


@dataclass(frozen=True)
class Blur:
    """A separable point spread function on the HR grid together with the LR grid that it is sampled on.

    LR sample i is `sum_k taps[k] * hr[i * ratio + offset + k]`.
    """

    taps: tuple[float, ...]
    offset: int
    border: Border = "edge"

    @classmethod
    def gaussian(cls, fwhm_px: float, ratio: int, shift_px: float = 0.0) -> Blur:
        """A Gaussian of the given full width at half maximum in HR pixels, `shift_px` off the LR pixel's centre."""
        sigma = fwhm_px / np.sqrt(8 * np.log(2))
        reach = int(np.ceil(3 * sigma + abs(shift_px)))
        taps = np.arange(-reach, ratio + reach)
        weights = np.exp(-0.5 * ((taps - (ratio - 1) / 2 - shift_px) / sigma) ** 2)
        return cls(tuple((weights / weights.sum()).tolist()), -reach)


def degrade(image: Float, ratio: int, blur: Blur) -> Float:
    """Blur and decimate `(channels, h * ratio, w * ratio)` to `(channels, h, w)`."""
    whole = (True, True)
    rows = decimate_rows(image, ratio, blur, (0, image.shape[1] // ratio), whole)
    return decimate_cols(rows, ratio, blur, (0, image.shape[2] // ratio), whole)


def decimate_rows(
    image: Float, ratio: int, blur: Blur, lr_rows: tuple[int, int], at_border: tuple[bool, bool]
) -> Float:
    """Blur and decimate along rows alone, for the LR rows `lr_rows` (half-open) of a strip.

    Args:
        image: `(channels, rows, cols)`, a strip that starts at LR row 0 of its own count.
        ratio: HR pixels per LR pixel.
        blur: The point spread function.
        lr_rows: First LR row of the strip that is wanted, and the one after the last.
        at_border: Whether the strip's upper and lower end are the frame's, so that the border is extended there. At
            another end the strip must reach far enough for the taps.
    """
    before = max(0, -blur.offset) if at_border[0] else 0
    after = max(0, blur.offset + len(blur.taps) - ratio) if at_border[1] else 0
    padded = np.pad(image, ((0, 0), (before, after), (0, 0)), mode=blur.border)
    first, last = lr_rows
    start = first * ratio + blur.offset + before
    count = last - first
    total = np.zeros((image.shape[0], count, image.shape[2]), np.float32)
    for k, tap in enumerate(blur.taps):
        total += np.float32(tap) * padded[:, start + k : start + k + (count - 1) * ratio + 1 : ratio]
    return total


def decimate_cols(
    image: Float, ratio: int, blur: Blur, lr_cols: tuple[int, int], at_border: tuple[bool, bool]
) -> Float:
    """Blur and decimate along columns alone, as `decimate_rows` does along rows."""
    columns: Float = decimate_rows(image.transpose(0, 2, 1), ratio, blur, lr_cols, at_border).transpose(0, 2, 1)
    return columns
