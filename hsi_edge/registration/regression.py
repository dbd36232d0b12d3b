"""The robust regression of a calibration: how well the RGB explains the spectral frame, and what would improve it.

For a calibration, which has seconds: components of the bands, robust. `explanation` is its counterpart for live frames,
which have milliseconds: all bands by generalised least squares, for shift and scale alone.

Components are weighted by how well they are explained (generalised least squares), pixels by
Student's t, so that what has changed or moved between two frames counts little (Lange, Little, Taylor, "Robust
Statistical Modeling Using the t Distribution", JASA 1989). It is solved inside the search for the rig (variable
projection: Golub, Pereyra, SIAM Journal on Numerical Analysis 1973; derivatives as in Kaufman, BIT 1975).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.principal_axes import principal_axes

Matrix = NDArray[np.float64]

FREEDOM = 4.0
"""Degrees of freedom of Student's t: the usual choice for data with a few gross errors."""
GAUSSIAN = 1e6
"""With so many, Student's t is Gaussian."""
REWEIGHTINGS = 6
RIDGE = 1e-7
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Explained:
    """A spectral frame regressed on the RGB.

    Attributes:
        residual: `(components, points)`, whitened.
        moves: `(parameters, components, points)`: what each parameter changes in the prediction, whitened likewise.
        trust: `(points,)`, weight of each pixel in the regression; 0 where it is not used.
        losses: `(points,)`, negative log-likelihood of each pixel, also of one that is held out; NaN where an image
            lacks it.
        gains: `(points,)`, by how much that is less than without any relation to the RGB.
        part: Part of the components' variance that is explained.
    """

    residual: Matrix
    moves: Matrix
    trust: Matrix
    losses: Matrix
    gains: Matrix
    part: float

    @property
    def loss(self) -> float:
        """Mean over the pixels that are used."""
        return float(self.losses[self.trust > 0].mean())


def background(points: Matrix, lr_shape: tuple[int, int]) -> Matrix:
    """The second-order polynomial over the frame, `(6, points)`: what lenses darken, and haze, need no RGB."""
    middle = np.array(lr_shape[::-1]) / 2
    x, y = ((points - middle) / middle).T
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])


def explained(
    wanted: Matrix,
    guide: Matrix,
    changes: Matrix,
    background: Matrix,
    there: NDArray[np.bool_],
    used: NDArray[np.bool_],
    *,
    plain: bool = False,
) -> Explained:
    """Regress components on the RGB's channels and a background.

    Args:
        wanted: `(components, points)`.
        guide: `(channels, points)`, the RGB as seen.
        changes: `(parameters, channels, points)`, its derivatives.
        background: `(terms, points)`, such as vignetting: regressed on too, with the RGB and for comparison without.
        there: `(points,)`, where both images have a measurement.
        used: `(points,)`, what of it the regression may use.
        plain: All components and pixels count alike: least squares. For differences that are still gross everywhere.
    """
    wanted, changes = np.where(there, wanted, 0), np.where(there, changes, 0)
    background, channels = np.where(there, background, 0), len(guide)
    guide = np.concatenate([np.where(there, guide, 0), background])
    base = (there & used).astype(np.float64)
    weights, whitening, trust, losses = _robust(wanted, guide, base, plain)
    _, _, _, without = _robust(wanted, background, base, plain)
    rest = wanted - weights @ guide
    moves = (whitening @ weights[:, :channels]) @ changes
    inverse = _inverse((guide * trust) @ guide.T)
    moves -= ((moves * trust) @ guide.T @ inverse) @ guide
    centred = wanted - (wanted @ base[:, None]) / max(1.0, base.sum())
    part = 1 - (np.square(rest) @ base).sum() / max((np.square(centred) @ base).sum(), TINY)
    absent = np.where(there, 0, np.nan)
    return Explained(whitening @ rest, moves, trust, losses + absent, without - losses + absent, float(part))


def _robust(wanted: Matrix, guide: Matrix, base: Matrix, plain: bool) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Weights of the regression, whitening of what it leaves, weight of each pixel, and its negative log-likelihood."""
    trust, count = base, len(wanted)
    freedom = GAUSSIAN if plain else FREEDOM
    for _ in range(REWEIGHTINGS):
        weights = ((wanted * trust) @ guide.T) @ _inverse((guide * trust) @ guide.T)
        rest = wanted - weights @ guide
        powers, axes = principal_axes((rest * trust) @ rest.T / max(1.0, base.sum()))
        powers = np.full_like(powers, powers.mean()) if plain else powers
        powers = powers + RIDGE * powers.sum() + TINY
        whitening = (axes / np.sqrt(powers)).T
        distance = np.square(whitening @ rest).sum(axis=0)
        trust = base * (freedom + count) / (freedom + distance)
    losses = 0.5 * (np.log(powers).sum() + (freedom + count) * np.log1p(distance / freedom))
    return weights, whitening, trust, losses


def _inverse(gram: Matrix) -> Matrix:
    inverse: Matrix = np.linalg.inv(gram + (RIDGE * np.trace(gram) + TINY) * np.eye(len(gram)))
    return inverse
