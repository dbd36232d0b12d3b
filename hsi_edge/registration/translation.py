"""The translation that is left between a registered pair: estimated to a hundredth of an LR pixel, and undone.

A registered pair still moves against each other by fractions of an HR pixel, and each costs more than noise does. The
spectral frame itself shows how far: degraded to its grid, the HR-MSI must explain its bands (least squares), and the
displacement is what explains them best. Variable projection (Golub, Pereyra, SIAM Journal on Numerical Analysis 1973)
solves for it with the regression inside, by Gauss-Newton steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.principal_axes import principal_axes
from hsi_edge.resampling import Blur, Float

Matrix = NDArray[np.float64]
Degraded = Callable[[Blur, Blur], Float]

MOST_STEPS = 6
"""Gauss-Newton steps; from half an LR pixel away, three or four come to rest."""
LARGEST_STEP_LR, RESTING_LR = 0.25, 0.002
"""Of LR pixels: farther, the linear model does not hold; below it, a further step changes nothing."""
REWEIGHTINGS = 8
"""Of the components, within a step."""
DIFFERENCE_PX = 0.25
"""Of HR pixels, to either side, for the derivative with respect to the displacement."""
SIGNIFICANT = 3.0
"""Standard errors that a displacement must have to be undone: noise and spectral variety look like a small one."""
MOST_LR = 0.75
"""A larger displacement, in LR pixels, is not trusted: the pair is not registered."""
LEAST_PIXELS = 9
"""With fewer, the regression explains them all wherever the HR-MSI is, and nothing tells the displacement."""
RIDGE = 1e-6
TAPS = 12
"""Of the windowed sinc that undoes a displacement; fewer would blur fine texture."""


@dataclass(frozen=True)
class Translation:
    """How far the HR-MSI lies off, in HR pixels: its pixel `(row + rows_px, col + cols_px)` belongs to `(row, col)`.

    Attributes:
        rows_px, cols_px: The displacement to undo; 0 where it is not significant.
        rows_std_px, cols_std_px: Standard errors of the estimate.
        trusted: False where the pair is off by more than this can tell.
    """

    rows_px: float = 0.0
    cols_px: float = 0.0
    rows_std_px: float = 0.0
    cols_std_px: float = 0.0
    trusted: bool = True

    @property
    def is_zero(self) -> bool:
        """Whether there is nothing to undo."""
        return self.rows_px == 0 == self.cols_px


NO_TRANSLATION = Translation()


def estimate_translation(components: Float, degraded: Degraded, ratio: int, psf_fwhm_px: float) -> Translation:
    """Estimate how far an HR-MSI lies off its LR-HSI.

    Args:
        components: `(rank, pixels)`, the LR-HSI in components (`hsi_edge.noise.Spectra`).
        degraded: Gives the MSI degraded to the same pixels, `(msi_bands, pixels)`, with one blur for rows and one for
            columns.
        ratio: HR pixels per LR pixel.
        psf_fwhm_px: FWHM of the degradation in HR pixels.
    """
    if not len(components):
        return Translation()
    if components.shape[1] < LEAST_PIXELS:
        return Translation(trusted=False)
    wanted = _centred(components)
    shift, step, error = np.zeros(2), np.zeros(2), np.zeros(2)
    for _ in range(MOST_STEPS):
        blurs = [Blur.gaussian(psf_fwhm_px, ratio, value) for value in shift]
        slopes = [_slope(degraded, blurs, axis, shift[axis], ratio, psf_fwhm_px) for axis in (0, 1)]
        step, error = _step(wanted, _centred(degraded(blurs[0], blurs[1])), slopes)
        step = np.clip(step, -LARGEST_STEP_LR * ratio, LARGEST_STEP_LR * ratio)
        shift += step
        if np.abs(step).max() < RESTING_LR * ratio or np.abs(shift).max() > MOST_LR * ratio:
            break
    rests = np.abs(step).max() < 10 * RESTING_LR * ratio
    return _judged(shift, error, trusted=bool(rests and np.abs(shift).max() <= MOST_LR * ratio))


def _judged(shift: Matrix, error: Matrix, *, trusted: bool) -> Translation:
    if not trusted:
        return Translation(rows_std_px=float(error[0]), cols_std_px=float(error[1]), trusted=False)
    rows, cols = np.where(np.abs(shift) > SIGNIFICANT * error, shift, 0.0).round(4)
    return Translation(float(rows), float(cols), float(error[0]), float(error[1]))


def _slope(degraded: Degraded, blurs: list[Blur], axis: int, at: float, ratio: int, fwhm_px: float) -> Matrix:
    """The derivative of the degraded MSI with respect to the displacement along an axis."""
    ahead, behind = list(blurs), list(blurs)
    ahead[axis] = Blur.gaussian(fwhm_px, ratio, at + DIFFERENCE_PX)
    behind[axis] = Blur.gaussian(fwhm_px, ratio, at - DIFFERENCE_PX)
    return _centred(degraded(ahead[0], ahead[1]) - degraded(behind[0], behind[1])) / (2 * DIFFERENCE_PX)


def _step(wanted: Matrix, guide: Matrix, slopes: list[Matrix]) -> tuple[Matrix, Matrix]:
    """One Gauss-Newton step and its standard errors, from the scores of single pixels (White, Econometrica 1980)."""
    gram = guide @ guide.T
    inverse = np.linalg.pinv(gram + RIDGE * np.trace(gram) * np.eye(len(gram)), hermitian=True)
    weights = wanted @ guide.T @ inverse

    def unexplained(image: Matrix) -> Matrix:
        rest: Matrix = image - (image @ guide.T) @ inverse @ guide
        return rest

    residual = unexplained(wanted)
    moves = np.stack([unexplained(weights @ slope) for slope in slopes])
    left, step, error = residual, np.zeros(len(moves)), np.zeros(len(moves))
    for _ in range(REWEIGHTINGS):
        step, error = _weighted_step(residual, moves, left)
        left = residual - np.tensordot(step, moves, axes=1)
    return step, error


def _weighted_step(residual: Matrix, moves: Matrix, left: Matrix) -> tuple[Matrix, Matrix]:
    """Generalised least squares: a component of which little is `left` tells most about where the guide is."""
    powers, axes = principal_axes(left @ left.T / left.shape[1])
    whitening = (axes / np.sqrt(powers + RIDGE * powers.sum() + np.finfo(np.float64).tiny)).T
    residual, moves = whitening @ residual, whitening @ moves
    inverse_normal: Matrix = np.linalg.pinv(np.einsum("ikp,jkp->ij", moves, moves), hermitian=True)
    step: Matrix = inverse_normal @ np.einsum("ikp,kp->i", moves, residual)
    scores = np.einsum("ikp,kp->ip", moves, residual - np.tensordot(step, moves, axes=1))
    covariance = inverse_normal @ (scores @ scores.T) @ inverse_normal
    return step, np.sqrt(np.maximum(np.diag(covariance), 0))


def _centred(image: Float | Matrix) -> Matrix:
    values: Matrix = image.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    return values


@functools.lru_cache(maxsize=64)
def sinc_taps(fraction: float) -> tuple[float, ...]:
    """The `TAPS` weights, windowed sinc, that read an image that fraction of a pixel further on; they sum to 1."""
    x = np.arange(TAPS) - (TAPS // 2 - 1) - fraction
    half = TAPS // 2
    taps = np.sinc(x) * np.sinc(x / half) * (np.abs(x) < half)
    return tuple((taps / taps.sum()).tolist())


def margin_px(shift_px: float) -> int:
    """How many pixels to either side `resampled` reads."""
    return int(np.ceil(abs(shift_px))) + TAPS // 2


def resampled(image: Float, shift_px: float, axis: int) -> Float:
    """The image at positions `shift_px` further along an axis, by a windowed sinc (Lanczos).

    Args:
        image: Has `margin_px(shift_px)` pixels more than the result at either end of the axis.
        shift_px: In pixels; a fraction.
        axis: Of the image.
    """
    margin = margin_px(shift_px)
    whole = int(np.floor(shift_px))
    first = margin + whole - (TAPS // 2 - 1)
    length = image.shape[axis] - 2 * margin
    result: Float | None = None
    index: list[slice] = [slice(None)] * image.ndim
    for offset, tap in enumerate(sinc_taps(round(shift_px - whole, 4))):
        index[axis] = slice(first + offset, first + offset + length)
        part = np.float32(tap) * image[tuple(index)]
        result = part if result is None else np.add(result, part, out=result)
    assert result is not None
    return result
