"""The translation that is left between a registered pair: estimated to a hundredth of an LR pixel, and undone.

A registered pair still moves against each other by fractions of an HR pixel, and each costs more than noise does. The
spectral frame itself shows how far: degraded to its grid, the HR-MSI must explain its bands (least squares), and the
displacement is what explains them best. Variable projection (Golub, Pereyra, SIAM Journal on Numerical Analysis 1973)
solves for it with the regression inside, by Gauss-Newton steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.principal_axes import principal_axes
from hsi_edge.resampling import Blur, Float

Matrix = NDArray[np.float64]
Degraded = Callable[[Sequence[tuple[Blur, Blur]]], list[Float]]

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
        degraded: Gives the MSI degraded to the same pixels, `(msi_bands, pixels)`, for every pair of a blur for rows
            and one for columns.
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
        rows, cols = (Blur.gaussian(psf_fwhm_px, ratio, at) for at in shift)
        rows_slope, cols_slope = (_slope(psf_fwhm_px, ratio, at) for at in shift)
        guide, *slopes = (_centred(one) for one in degraded([(rows, cols), (rows_slope, cols), (rows, cols_slope)]))
        step, error = _step(wanted, guide, slopes)
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


def _slope(fwhm_px: float, ratio: int, at: float) -> Blur:
    """The derivative of a blur with respect to the displacement: as it is linear, so is that of what it degrades."""
    ahead, behind = (Blur.gaussian(fwhm_px, ratio, at + side) for side in (DIFFERENCE_PX, -DIFFERENCE_PX))
    first = min(ahead.offset, behind.offset)
    taps = np.zeros(max(blur.offset + len(blur.taps) for blur in (ahead, behind)) - first)
    for blur, weight in ((ahead, 0.5), (behind, -0.5)):
        taps[blur.offset - first :][: len(blur.taps)] += weight * np.array(blur.taps) / DIFFERENCE_PX
    return Blur(tuple(taps.tolist()), first)


def _step(wanted: Matrix, guide: Matrix, slopes: list[Matrix]) -> tuple[Matrix, Matrix]:
    """One Gauss-Newton step and its standard errors, from the scores of single pixels (White, Econometrica 1980)."""
    gram = guide @ guide.T
    inverse = np.linalg.pinv(gram + RIDGE * np.trace(gram) * np.eye(len(gram)), hermitian=True)
    weights = wanted @ guide.T @ inverse

    def unexplained(image: Matrix) -> Matrix:
        rest: Matrix = image - (image @ guide.T) @ inverse @ guide
        return rest

    parts = np.stack([unexplained(image) for image in (wanted, *(weights @ slope for slope in slopes))])
    # (part, part, component, component): all that the reweighting looks at, however many pixels there are.
    products = parts[:, None] @ parts.swapaxes(1, 2)[None]
    step, trust = np.zeros(len(slopes)), np.eye(len(wanted))
    for _ in range(REWEIGHTINGS):
        trust = _trust(_left(products, step) / wanted.shape[1])
        step, inverse_normal = _weighted_step(products, trust)
    left = parts[0] - np.tensordot(step, parts[1:], axes=1)
    scores = np.einsum("ikp,kp->ip", parts[1:], trust @ left)
    covariance = inverse_normal @ (scores @ scores.T) @ inverse_normal
    return step, np.sqrt(np.maximum(np.diag(covariance), 0))


def _left(products: Matrix, step: Matrix) -> Matrix:
    """The products of what a step leaves of the residual."""
    taken = np.concatenate([[1.0], -step])
    left: Matrix = np.einsum("i,ijkl,j->kl", taken, products, taken)
    return left


def _trust(covariance: Matrix) -> Matrix:
    """The inverse of what is left: a component of which little is left tells most about where the guide is."""
    powers, axes = principal_axes(covariance)
    trust: Matrix = (axes / (powers + RIDGE * powers.sum() + np.finfo(np.float64).tiny)) @ axes.T
    return trust


def _weighted_step(products: Matrix, trust: Matrix) -> tuple[Matrix, Matrix]:
    """The step by generalised least squares, and the inverse of its normal matrix."""
    weighted = np.einsum("ijkl,kl->ij", products, trust)
    inverse_normal: Matrix = np.linalg.pinv(weighted[1:, 1:], hermitian=True)
    return inverse_normal @ weighted[1:, 0], inverse_normal


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
    margin, whole = margin_px(shift_px), int(np.floor(shift_px))
    length = image.shape[axis] - 2 * margin
    index: list[slice] = [slice(None)] * image.ndim

    def further(pixels: int) -> Float:
        index[axis] = slice(margin + pixels, margin + pixels + length)
        part: Float = image[tuple(index)]
        return part

    fraction = round(shift_px - whole, 4)
    if fraction == 0:
        return further(whole)
    result = np.zeros_like(further(0))
    for offset, tap in enumerate(sinc_taps(fraction), whole - (TAPS // 2 - 1)):
        result += np.float32(tap) * further(offset)
    return result
