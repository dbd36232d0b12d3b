"""How far off a registration may be: what the scatter of its evidence says, and what the model of the rig leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hsi_edge.registration.evidence import Evidence
from hsi_edge.registration.fitting import Fit, Freedom, Matrix, columns, explained_under, lens_move, normal_equations
from hsi_edge.registration.regression import Explained
from hsi_edge.registration.rig import Rig

CLUSTER_PX, FEWEST_CLUSTERS = 4, 60
"""Side of the squares of LR pixels within which residuals may depend on each other; smaller where there are few."""
REGRESSED = 12
"""Parameters that stand against the squares of a pair: those of the regression and of the rig, roughly."""
INFLATION = 1.5
"""Of the standard error from the scores, by simulated pairs of the training scenes (docs/registration.md)."""
FLOOR_LR = 0.002
"""What real sensors' bands are off against each other, which no pair of frames tells."""
BISECTIONS = 30
BLOCK_PX, FEWEST_BLOCKS, MOST_BLOCKS = 10, 2, 6
"""Side of the blocks whose own displacement is looked at, in LR pixels; and how many there are along a side."""


def mean_distance_lr(rig: Rig, other: Rig) -> float:
    """Between where two rigs put a pixel, per axis, root mean square over the frame, in LR pixels."""
    points = _points_of_frame(rig)
    off = (rig.msi_points(points) - other.msi_points(points)) / rig.msi_px_per_lr_px
    return float(np.sqrt(np.mean(off**2)))


def standard_error_lr(pairs: Sequence[Evidence], fit: Fit) -> float:
    """Of a pixel's place, per axis, root mean square over the frame, in LR pixels: what the scatter of pixels says."""
    points = _points_of_frame(fit.rig)
    moves = columns(fit.freedom.model, fit.rig, points)
    if fit.freedom.lens:
        moves = np.concatenate([moves, lens_move(fit.rig, points)[None] / fit.rig.msi_px_per_lr_px])
    covariance = _covariance(pairs, fit.found)[: len(moves), : len(moves)]
    variance = np.einsum("inc,ij,jnc->", moves, covariance, moves) / moves[0].size
    return INFLATION * float(np.sqrt(max(variance, 0.0)))


def _points_of_frame(rig: Rig) -> Matrix:
    rows, cols = rig.lr_shape
    y, x = np.meshgrid(np.linspace(0.5, rows - 0.5, 9), np.linspace(0.5, cols - 0.5, 9), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def misfit_lr(pairs: Sequence[Evidence], rig: Rig, *, plain: bool = False) -> float:
    """What parts of the frame are still displaced by, per axis, in LR pixels, beyond what their noise explains.

    Each of some blocks of the frame is displaced by itself. The variance between blocks is that with which, added to
    their own, their displacements scatter as they should (Paule, Mandel, Journal of Research of the National Bureau of
    Standards 1982).

    Args:
        pairs: What the frames show.
        rig: As found.
        plain: Whether it was found by least squares (see `Freedom`).
    """
    shifts = [_block_shifts(pair, rig) for pair in pairs]
    found = [
        explained_under(pair, rig, Freedom("none", plain=plain), shifts=shift)
        for pair, shift in zip(pairs, shifts, strict=True)
    ]
    normal, gradient = normal_equations(found)
    inverse = np.linalg.inv(normal)
    count = len(shifts[0])
    displaced = (inverse @ gradient)[:count]
    variance = np.diag(_covariance(pairs, found))[:count]
    low, high = 0.0, float(np.max(displaced**2))
    for _ in range(BISECTIONS):
        between = (low + high) / 2
        scatters_more = np.mean(displaced**2 / (variance + between)) > 1
        low, high = (between, high) if scatters_more else (low, between)
    return math.sqrt(low)


def _block_shifts(pair: Evidence, rig: Rig) -> Matrix:
    """A shift of each block along x, then along y, `(2 * blocks, points, 2)`."""
    points = pair.points
    counts = [
        int(np.clip(side // (BLOCK_PX * pair.step), FEWEST_BLOCKS, MOST_BLOCKS)) for side in reversed(rig.lr_shape)
    ]
    index = [
        np.minimum((points[:, axis] * counts[axis] / rig.lr_shape[1 - axis]).astype(int), counts[axis] - 1)
        for axis in (0, 1)
    ]
    block = index[1] * counts[0] + index[0]
    inside = (block == np.arange(counts[0] * counts[1])[:, None]).astype(np.float64)
    zero = np.zeros_like(inside)
    return np.concatenate([np.stack([inside, zero], axis=2), np.stack([zero, inside], axis=2)])


def _covariance(pairs: Sequence[Evidence], found: Sequence[Explained]) -> Matrix:
    """The covariance of the parameters from the scores of squares of pixels (Liang, Zeger, Biometrika 1986)."""
    normal, _ = normal_equations(found)
    inverse, meat = np.linalg.inv(normal), np.zeros_like(normal)
    clusters = 0
    for pair, one in zip(pairs, found, strict=True):
        scores = (one.moves * one.residual).sum(axis=1) * one.trust
        rows, cols = pair.image.shape[1:]
        side = int(np.clip(np.sqrt((one.trust > 0).sum() / FEWEST_CLUSTERS), 1, CLUSTER_PX))
        y, x = np.indices((rows, cols)) // side
        square = (y * cols + x).ravel()
        sums = np.stack([np.bincount(square, score) for score in scores])
        meat += sums @ sums.T
        clusters += int((sums != 0).any(axis=0).sum())
    meat *= clusters / max(1, clusters - REGRESSED * len(found))
    return np.asarray(inverse @ meat @ inverse)
