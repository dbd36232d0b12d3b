"""Finds, frame by frame, how far the RGB lies off where the rig's calibration puts it, and whether to trust that."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.registration.doubts import doubts_about, standard_errors
from hsi_edge.registration.explanation import (
    NOTHING,
    Explanation,
    Matrix,
    Seen,
    Spectra,
    explain,
    explained_share,
    score,
)
from hsi_edge.registration.guide_samples import GuideSamples, Pose, Sight
from hsi_edge.registration.refine import Refinement
from hsi_edge.resampling import Float, multiply

CAPTURE_LR = 2
"""Whole LR pixels to either side among which the search starts."""
MOST_STEPS = 10
LARGEST_STEP_LR, LARGEST_GROWTH_STEP = 0.5, 0.02
"""Farther, the linear model does not hold. In LR pixels, and of scale."""
RESTING_LR = 0.01
"""After a step that short, one more is the last: it is exact to a thousandth of an LR pixel."""
RESTLESS_LR = 0.02
"""A last step that long is no rest. (Pixels that come and go at the border keep small frames moving a little.)"""
MOST_BANDS = 12
PIXELS_PER_BAND = 8
"""Of fewer pixels per band, the covariance of what is unexplained would be made up."""
SEARCH_PIXELS = 1000
"""That suffice to find the nearest LR pixel."""
LEAST_PIXELS = 16
"""With fewer, the regression explains them all wherever the RGB frame is."""


class Refiner:
    """Estimates what shift and scale are left between a pair on the rig's grid.

    The degraded RGB must explain the bands: where it is, and how large, is what explains them best. Nothing is kept
    from one frame to the next, so the same pair gives the same answer.

    Args:
        ratio: HR pixels per LR pixel.
        psf_fwhm_px: FWHM of the spectral sensor's Gaussian PSF, in HR pixels.

    Raises:
        InputError: Numbers that are none.
    """

    def __init__(self, ratio: int, psf_fwhm_px: float) -> None:
        if ratio < 1 or not psf_fwhm_px > 0:
            raise InputError(f"ratio {ratio} and PSF of {psf_fwhm_px} HR pixels; both must be positive")
        self._ratio = ratio
        self._fwhm_px = psf_fwhm_px

    def refine(
        self, lr_hsi: NDArray[np.float32], hr_msi: NDArray[np.generic], valid: NDArray[np.bool_] | None = None
    ) -> Refinement:
        """Find what is left.

        Args:
            lr_hsi: `(h, w, bands)`, NaN where invalid. Bands that the RGB cannot see do no harm.
            hr_msi: `(h * ratio, w * ratio, channels)`, uint8, uint16 or float32, as the rig (and perhaps an earlier
                refinement) puts it on the HR grid.
            valid: `(h * ratio, w * ratio)`, False where the RGB frame shows nothing; None for everywhere.

        Raises:
            InputError: The shapes do not belong together.
            MissingPackageError: OpenCV is not installed.
        """
        rows, cols = lr_hsi.shape[:2]
        if hr_msi.ndim != 3 or hr_msi.shape[:2] != (rows * self._ratio, cols * self._ratio):
            raise InputError(
                f"the RGB frame is {hr_msi.shape}; for an LR-HSI of {rows} x {cols} at ratio {self._ratio}, "
                f"({rows * self._ratio}, {cols * self._ratio}, channels) is wanted: bring it to the HR grid first "
                "(GridWarp)"
            )
        bands, measured = _bands(lr_hsi)
        if measured.sum() < LEAST_PIXELS:
            return Refinement(explained=0.0, trusted=False, doubts=("too few valid spectral pixels",))
        pair = _Pair(bands, measured, GuideSamples(hr_msi, valid, self._ratio, self._fwhm_px))
        try:
            return self._refined(pair, _nearest(pair))
        except _ApartError:
            return Refinement(explained=0.0, trusted=False, doubts=("RGB and spectral frame hardly overlap",))

    def _refined(self, pair: _Pair, pose: Pose) -> Refinement:
        for _ in range(MOST_STEPS):
            sight, found = pair.seen_from(pose)
            pose, moved_lr = _stepped(pose, score(found, moves(sight)).step, sight.seen.shape)
            if moved_lr < RESTING_LR:
                break
        sight, found = pair.seen_from(pose, curved=True)
        fit = score(found, (*moves(sight), *(curvature * np.float32(0.5) for curvature in sight.curvatures)))
        pose, moved_lr = _stepped(pose, fit.first(3).step, sight.seen.shape)
        std = standard_errors(fit, max(sight.seen.shape))
        explained = explained_share(pair.bands, sight.image, found.spectra.seen)
        doubts = doubts_about(sight, found, fit, std, explained=explained)
        if not moved_lr < RESTLESS_LR:
            doubts = ("does not fit: the search found no rest", *doubts)
        return Refinement(
            dx_lr=pose.dx_lr,
            dy_lr=pose.dy_lr,
            scale=1 + pose.growth,
            dx_std_lr=float(std[0]),
            dy_std_lr=float(std[1]),
            scale_std=float(std[2]),
            explained=explained,
            trusted=not doubts,
            doubts=doubts,
        )


class _ApartError(Exception):
    """The two frames have hardly any pixels in common."""


class _Pair:
    """The two frames of one moment: `bands` `(bands, h, w)`, finite where `measured`, and the RGB."""

    def __init__(self, bands: Float, measured: NDArray[np.bool_], guide: GuideSamples) -> None:
        self.bands, self.measured, self.guide = bands, measured, guide
        self._spectra: Spectra | None = None

    def seen_from(self, pose: Pose, *, curved: bool = False) -> tuple[Sight, Explanation]:
        """How the RGB looks from a pose, and what it explains there."""
        sight = self.guide.from_pose(pose, curved=curved)
        where = sight.seen & self.measured
        if where.sum() < LEAST_PIXELS:
            raise _ApartError
        if self._spectra is None or not np.array_equal(where, self._spectra.seen.where):
            self._spectra = Spectra.of(self.bands, Seen(where))
        return sight, explain(self._spectra, sight.image)


def _stepped(pose: Pose, step: Matrix, lr_shape: tuple[int, ...]) -> tuple[Pose, float]:
    """The pose after a step, as far as the linear model holds, and how far that moves a border, in LR pixels."""
    limits = (LARGEST_STEP_LR, LARGEST_STEP_LR, LARGEST_GROWTH_STEP)
    step = np.clip(step, np.negative(limits), limits)
    moved = Pose(*(np.array([pose.dx_lr, pose.dy_lr, pose.growth]) + step).tolist())
    return moved, float(np.abs(step * (1, 1, max(lr_shape) / 2)).max())


def moves(sight: Sight) -> tuple[Float, Float, Float]:
    """The image's derivatives with respect to `Pose`."""
    rows, cols = sight.seen.shape
    x = (np.arange(cols) + 0.5 - cols / 2).astype(np.float32)
    y = (np.arange(rows) + 0.5 - rows / 2).astype(np.float32)
    return sight.by_x, sight.by_y, x * sight.by_x + y[:, None] * sight.by_y


def _bands(lr_hsi: NDArray[np.float32]) -> tuple[Float, NDArray[np.bool_]]:
    """`(bands, h, w)`, means of neighbouring bands where there are too many; and which pixels have them, `(h, w)`."""
    rows, cols, count = lr_hsi.shape
    measured = np.isfinite(lr_hsi.sum(axis=2))
    if not measured.any():  # a band that is dead everywhere must not take the others with it
        alive = np.isfinite(lr_hsi).any(axis=(0, 1))
        if alive.any() and not alive.all():
            return _bands(lr_hsi[:, :, alive])
    groups = max(1, min(count, MOST_BANDS, int(measured.sum()) // PIXELS_PER_BAND))
    starts = np.linspace(0, count, groups, endpoint=False).astype(np.intp)
    means = np.repeat(np.eye(groups), np.diff(starts, append=count), axis=1)
    means /= means.sum(axis=1, keepdims=True)
    pixels = lr_hsi.reshape(rows * cols, count)
    if not measured.all():
        pixels = np.where(measured.reshape(-1, 1), pixels, np.float32(0))
    return multiply(means.astype(np.float32), pixels.T).reshape(groups, rows, cols), measured


def _nearest(pair: _Pair) -> Pose:
    """The shift by whole LR pixels, of all within reach, at which the RGB frame explains the bands best."""
    rows, cols = pair.measured.shape
    stride = max(1, int(np.sqrt(rows * cols / SEARCH_PIXELS)))
    use, wanted = pair.measured[::stride, ::stride], pair.bands[:, ::stride, ::stride]
    wanted = ((wanted - wanted[:, use].mean(axis=1)[:, None, None]) * use).reshape(len(wanted), -1)
    image, visible = pair.guide.around(CAPTURE_LR)
    channels = np.concatenate(
        [image - image.mean(axis=(1, 2), keepdims=True), np.ones((1, *visible.shape), np.float32)]
    )
    windows = sliding_window_view(channels, (rows, cols), (1, 2))[..., ::stride, ::stride]
    seen = use & sliding_window_view(visible, (rows, cols))[..., ::stride, ::stride]
    shares = _explained_shares((windows * seen).reshape(len(channels), -1, use.size), wanted)
    shares[seen.sum(axis=(2, 3)).ravel() < LEAST_PIXELS] = -np.inf
    down, right = divmod(int(np.argmax(shares)), 2 * CAPTURE_LR + 1)
    return Pose(float(right - CAPTURE_LR), float(down - CAPTURE_LR))


def _explained_shares(channels: Float, wanted: Float) -> Matrix:
    """What channels, the last of which is the constant, explain of the bands where they are seen; zero elsewhere.

    Args:
        channels: `(channels, places, pixels)`, of every place that is tried.
        wanted: `(bands, pixels)`.

    Returns:
        `(places,)`, parts of the variance.
    """
    parts = channels.transpose(1, 0, 2)
    gram = multiply(parts, parts.transpose(0, 2, 1)).astype(np.float64)
    cross = multiply(parts, wanted.T).astype(np.float64)
    constant = np.square(cross[:, -1]).sum(axis=1) / np.maximum(gram[:, -1, -1], 1)
    power = multiply(parts[:, -1], np.square(wanted).sum(axis=0)[:, None])[:, 0]
    gram += (1e-9 * np.trace(gram, axis1=1, axis2=2) + NOTHING)[:, None, None] * np.eye(gram.shape[1])
    fitted = (cross * np.linalg.solve(gram, cross)).sum(axis=(1, 2))
    shares: Matrix = (fitted - constant) / np.maximum(power - constant, np.finfo(np.float64).tiny)
    return shares
