"""The RGB frame as the spectral sensor would see it from another place: degraded at any shift and scale, with slopes.

Shift and scale keep rows and columns apart, so the degraded frame is a product of two narrow matrices with the image,
exactly, and so are its derivatives. The image is reduced once, to a few samples per LR pixel; what is left of the point
spread function is applied anew at every place, so nothing is ever interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import require
from hsi_edge.resampling import Float

Matrix = NDArray[np.float64]

LEAST_SAMPLES = 4
"""Per LR pixel and axis, that the reduced image keeps; a Gaussian of that FWHM still passes nothing that aliases."""
REACH = 3.5
"""Standard deviations of the Gaussian to which its taps go."""
MARGIN = 2.5
"""Standard deviations of the Gaussian that the frame's border is kept away; else the scale is off by 0.001."""
LEAST_WITH_BORDER = 8
"""LR pixels along an axis; of smaller frames the border is needed."""
BEYOND_LR = 3
"""LR pixels beyond the frame's border, which is repeated there, from where it can be looked at."""
WHOLE = 0.999
"""Part of its weights that an LR pixel must find on valid RGB pixels within the frame."""


@dataclass(frozen=True)
class Pose:
    """Where LR points lie on the RGB's grid, as in `Refinement`: shift in LR pixels and scale less 1."""

    dx_lr: float = 0.0
    dy_lr: float = 0.0
    growth: float = 0.0


@dataclass(frozen=True, eq=False)
class Sight:
    """The degraded RGB frame from one pose, each `(channels, h, w)`.

    Attributes:
        image: What the spectral sensor would see.
        by_x, by_y: Its derivatives with respect to a shift, per LR pixel.
        curvatures: Its second derivatives along x and y, where they were asked for; half of one is the derivative with
            respect to the PSF's variance.
        seen: `(h, w)`, where all of the PSF falls on valid pixels of the frame.
    """

    image: Float
    by_x: Float
    by_y: Float
    curvatures: tuple[Float, ...]
    seen: NDArray[np.bool_]


class GuideSamples:
    """An RGB frame reduced for many looks at it.

    Args:
        hr_msi: `(h * ratio, w * ratio, channels)`, uint8, uint16 or float32; NaN where invalid.
        valid: `(h * ratio, w * ratio)`, or None where all pixels are.
        ratio: HR pixels per LR pixel.
        psf_fwhm_px: FWHM of the spectral sensor's Gaussian PSF, in HR pixels.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """

    def __init__(
        self, hr_msi: NDArray[np.generic], valid: NDArray[np.bool_] | None, ratio: int, psf_fwhm_px: float
    ) -> None:
        self.lr_shape = (hr_msi.shape[0] // ratio, hr_msi.shape[1] // ratio)
        factor = max(n for n in range(1, ratio + 1) if ratio % n == 0 and (n == 1 or ratio // n >= LEAST_SAMPLES))
        # A mean over n samples has the variance (n^2 - 1) / 12; the Gaussian does the rest.
        variance = psf_fwhm_px**2 / (8 * np.log(2)) - (factor**2 - 1) / 12
        self._sigma = float(np.sqrt(max(variance, 0.09))) / factor
        self._per_lr = ratio // factor
        self._reach = int(np.ceil(REACH * self._sigma))
        self._border = self._reach + 1 + BEYOND_LR * self._per_lr
        self._channels = hr_msi.shape[2]
        image, known = _known(hr_msi, valid)
        self._image = _reduced(image, factor, self._border)
        if known is not None:  # one channel more: what part of it is known
            part = _reduced(known.astype(np.float32), factor, self._border)
            self._image = np.concatenate([self._image, part], axis=2)

    def from_pose(self, pose: Pose, *, curved: bool = False) -> Sight:
        """What is seen from there, with second derivatives if `curved`."""
        (rows_at, rows), (cols_at, cols) = (self._taps(axis, pose, 3 if curved else 2) for axis in (0, 1))
        both = _product(self._image, (rows_at, rows), (cols_at, cols))
        image, known = both[:, :, : self._channels], both[0, 0, self._channels :]
        seen = np.logical_and.outer(self._inside(0, pose), self._inside(1, pose)) & (known > WHOLE).all(axis=0)
        wanted = [(0, 0), (0, 1), (1, 0), *([(0, 2), (2, 0)] if curved else [])]
        there, by_x, by_y, *curvatures = (np.ascontiguousarray(image[orders]) for orders in wanted)
        return Sight(there, by_x, by_y, tuple(curvatures), seen)

    def around(self, margin_lr: int) -> tuple[Float, NDArray[np.bool_]]:
        """The degraded frame with so many LR pixels more on each side, `(channels, h + 2 margin, w + 2 margin)`.

        Its second part says where it is seen, as `Sight.seen` does.
        """
        (rows_at, rows), (cols_at, cols) = (self._taps(axis, Pose(), 1, margin_lr) for axis in (0, 1))
        both = _product(self._image, (rows_at, rows), (cols_at, cols))[0, 0]
        image, known = both[: self._channels], both[self._channels :]
        return image, np.pad(np.ones(self.lr_shape, np.bool_), margin_lr) & (known > WHOLE).all(axis=0)

    def _positions_lr(self, axis: int, pose: Pose, margin_lr: int = 0) -> Matrix:
        length = self.lr_shape[axis]
        middle, shift = length / 2, (pose.dy_lr, pose.dx_lr)[axis]
        at = np.arange(-margin_lr, length + margin_lr) + 0.5
        moved: Matrix = middle + (1 + pose.growth) * (at - middle) + shift
        return moved

    def _inside(self, axis: int, pose: Pose) -> NDArray[np.bool_]:
        """LR pixels that look far enough from the frame's border: what lies beyond it is not known."""
        at, length = self._positions_lr(axis, pose), self.lr_shape[axis]
        margin = max(0.5, MARGIN * self._sigma / self._per_lr) if length >= LEAST_WITH_BORDER else 0.5
        inside: NDArray[np.bool_] = np.abs(at - length / 2) <= length / 2 - margin + 1e-9
        return inside

    def _taps(self, axis: int, pose: Pose, orders: int, margin_lr: int = 0) -> tuple[NDArray[np.intp], Float]:
        """For every LR position its first sample `(positions,)`, and the weights `(positions, orders, taps)`."""
        at = self._positions_lr(axis, pose, margin_lr) * self._per_lr - 0.5
        first = np.floor(at).astype(np.intp) - self._reach
        taps = 2 * self._reach + 2
        x = (first[:, None] + np.arange(taps) - at[:, None]) / self._sigma
        weights = np.exp(-0.5 * x * x)
        weights /= weights.sum(axis=1, keepdims=True)
        unit = self._per_lr / self._sigma
        polynomials = (1.0, unit * x, unit**2 * (x * x - 1))[:orders]
        stacked = np.stack([weights * p for p in polynomials], axis=1)
        for order in range(1, orders):  # a derivative of what is constant is zero
            stacked[:, order] -= weights * stacked[:, order].sum(axis=1, keepdims=True)
        # What lies farther off than there are samples is not seen anyway.
        return (first + self._border).clip(0, self._image.shape[axis] - taps), stacked.astype(np.float32)


def _known(
    hr_msi: NDArray[np.generic], valid: NDArray[np.bool_] | None
) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
    """The image with zeros where it is invalid, and where it is valid; None for everywhere."""
    if hr_msi.dtype.kind == "f":
        finite = np.isfinite(hr_msi).all(axis=2)
        valid = finite if valid is None else valid & finite
    if valid is None or valid.all():
        return hr_msi, None
    cv2 = require("cv2", feature="registration of frames", extra="opencv")
    return np.asarray(cv2.copyTo(hr_msi, valid.astype(np.uint8))).reshape(hr_msi.shape), valid


def _reduced(image: NDArray[np.generic], factor: int, border: int) -> Float:
    """Means over `factor x factor` pixels, the outermost repeated `border` times, `(rows, cols, channels)`."""
    cv2 = require("cv2", feature="registration of frames", extra="opencv")
    image = np.ascontiguousarray(image)
    if factor > 1:
        size = (image.shape[1] // factor, image.shape[0] // factor)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    bordered = np.pad(np.atleast_3d(image), ((border, border), (border, border), (0, 0)), mode="edge")
    return bordered.astype(np.float32)


def _product(image: Float, row_taps: tuple[NDArray[np.intp], Float], col_taps: tuple[NDArray[np.intp], Float]) -> Float:
    """`(row orders, col orders, channels, rows, cols)`: both matrices applied, of every order."""
    rows, cols, channels = image.shape
    across = _narrow(image.reshape(rows, cols * channels), *row_taps)  # (h, orders, cols * channels)
    height, row_orders, _ = across.shape
    turned = across.reshape(height * row_orders, cols, channels).transpose(1, 0, 2).reshape(cols, -1)
    down = _narrow(turned, *col_taps)  # (w, orders, h * orders * channels)
    width, col_orders, _ = down.shape
    parts = down.reshape(width, col_orders, height, row_orders, channels)
    product: Float = parts.transpose(3, 1, 4, 2, 0)
    return product


def _narrow(lines: Float, first: NDArray[np.intp], weights: Float) -> Float:
    """`(positions, orders, width)`: weighted sums of a few lines each, in products too small for BLAS to share out."""
    positions, orders, taps = weights.shape
    sums = np.empty((positions, orders, lines.shape[1]), np.float32)
    for position, start in enumerate(first.tolist()):
        np.matmul(weights[position], lines[start : start + taps], out=sums[position])
    return sums
