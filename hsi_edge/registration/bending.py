"""The bend of a frame: a smooth local displacement beyond what any camera pose explains.

A frame that a line scanner sweeps together is bent by what its platform does meanwhile. The bend is a surface of cubic
B-splines, found by Gauss-Newton steps like the rest (see `fitting`), kept smooth by its thin-plate energy. It starts
stiff and is given more and more freedom, as long as pixels that were held out are explained better by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsi_edge.registration.evidence import Evidence
from hsi_edge.registration.fitting import (
    Freedom,
    Mask,
    Matrix,
    explained_under,
    moved,
    normal_equations,
)
from hsi_edge.registration.regression import Explained
from hsi_edge.registration.rig import Rig

SPACING_LR, FEWEST_SPANS, MOST_SPANS = 4.0, 2, 14
"""Between control points, in LR pixels; and how many such distances fit into a side of the frame."""
STIFFEST, SOFTENING, MOST_RUNGS = 30.0, 3.0, 12
"""Weight of the energy to begin with, relative to the data's; its factor from rung to rung; how many there are."""
HELD_PX = 3
"""Side of the squares of pixels that are held out."""
LEAST_GAIN = 0.02
"""Of log-likelihood per held out pixel and rung, for which more freedom is given: less comes from what has changed
between two frames of different days."""
STEPS = 2
"""Gauss-Newton steps per rung."""
LARGEST_STEP_LR = 0.5
STRONGEST = 3
"""Of the components: least squares hardly sees the others."""
STRETCH_LR = 1.0
"""Distance over which stretching costs as much as bending: where the frame shows no texture, the bend stays even."""
ANCHOR = 1e-3
"""Pull of the control points towards 0, relative to the data's strength: for where the frame shows nothing."""
PLAIN = Freedom("none", plain=True)


@dataclass(frozen=True, eq=False)
class _Splines:
    """Cubic B-splines over the frame, `basis` `(rows, cols of controls, points)`, and their thin-plate energy."""

    down: Matrix
    across: Matrix
    energy: Matrix

    @classmethod
    def over(cls, lr_shape: tuple[int, int]) -> _Splines:
        spans = [int(np.clip(round(side / SPACING_LR), FEWEST_SPANS, MOST_SPANS)) for side in lr_shape]
        down, across = (_basis(side, count, 0) for side, count in zip(lr_shape, spans, strict=True))
        grams = []
        for side, count in zip(lr_shape, spans, strict=True):
            fine = [_basis(side, count, derivative) for derivative in range(3)]
            grams.append([one.T @ one for one in fine])
        (row0, row1, row2), (col0, col1, col2) = grams
        energy = np.kron(row0, col2) + 2 * np.kron(row1, col1) + np.kron(row2, col0)
        energy += (np.kron(row0, col1) + np.kron(row1, col0)) / STRETCH_LR**2
        return cls(down, across, energy)

    def field(self, coefficients: Matrix) -> Matrix:
        """The displacement per LR pixel, `(rows, cols, 2)`, of coefficients `(2 * controls,)`."""
        grid = coefficients.reshape(2, self.down.shape[1], self.across.shape[1])
        field: Matrix = np.einsum("ri,aij,cj->rca", self.down, grid, self.across, optimize=True)
        return field

    def columns(self, step: int) -> Matrix:
        """What each coefficient moves the pixels of a frame reduced by `step`, `(2 * controls, pixels, 2)`."""
        down, across = (_block_means(one, step) for one in (self.down, self.across))
        basis = np.einsum("ri,cj->ijrc", down, across).reshape(self.energy.shape[0], -1)
        zero = np.zeros_like(basis)
        return np.concatenate([np.stack([basis, zero], axis=2), np.stack([zero, basis], axis=2)])


def _basis(side: int, spans: int, derivative: int) -> Matrix:
    """Uniform cubic B-splines, or a derivative per LR pixel, at the pixels' middles: `(side, spans + 3)`."""
    spacing = side / spans
    position = (np.arange(side) + 0.5) / spacing
    span = np.minimum(position.astype(np.intp), spans - 1)
    t = position - span
    parts = [
        [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6],
        [-((1 - t) ** 2) / 2, (3 * t**2 - 4 * t) / 2, (-3 * t**2 + 2 * t + 1) / 2, t**2 / 2],
        [1 - t, 3 * t - 2, 1 - 3 * t, t],
    ][derivative]
    basis = np.zeros((side, spans + 3))
    for offset, part in enumerate(parts):
        basis[np.arange(side), span + offset] = part / spacing**derivative
    return basis


def _block_means(basis: Matrix, step: int) -> Matrix:
    whole = len(basis) // step * step
    means: Matrix = basis[:whole].reshape(-1, step, basis.shape[1]).mean(axis=1)
    return means


def bent(pairs: Sequence[Evidence], rig: Rig) -> tuple[Rig, float]:
    """Find the bend that is left, the same in all pairs, and the PSF with it.

    Args:
        pairs: What the frames show.
        rig: As fitted without a bend.

    Returns:
        The rig with its bend, and the standard error of the bend at a pixel, per axis, in LR pixels.
    """
    splines = _Splines.over(rig.lr_shape)
    pairs = [replace(pair, image=pair.image[:STRONGEST]) for pair in pairs]
    kept = [_kept_pixels(pair) for pair in pairs]
    count = 2 * len(splines.energy)
    state = _State(rig, np.zeros(count), np.zeros((count, count)))
    ladder = _Ladder(splines, [splines.columns(pair.step) for pair in pairs], pairs)
    best, before, least = state, state, np.inf
    for rung in range(MOST_RUNGS):
        stiffness = STIFFEST / SOFTENING**rung
        for _ in range(STEPS):
            state = ladder.step(state, stiffness, kept)
        found = [explained_under(pair, state.rig, PLAIN, mask) for pair, mask in zip(pairs, kept, strict=True)]
        loss = float(np.nanmean(_held_losses(pairs, found, kept)))
        if loss > least - LEAST_GAIN:
            break
        best, before, least = replace(state, stiffness=stiffness), best, loss
    for _ in range(STEPS):
        best = ladder.step(best, best.stiffness, [np.ones_like(one) for one in kept])
    # What more freedom still changed is a measure of what stiffness holds back, which the covariance leaves out.
    held_back = float(np.sqrt(np.mean(splines.field(best.coefficients - before.coefficients) ** 2)))
    return best.rig, float(np.hypot(held_back, _standard_error(splines, best.covariance)))


@dataclass(frozen=True, eq=False)
class _State:
    rig: Rig
    coefficients: Matrix
    covariance: Matrix
    stiffness: float = STIFFEST


@dataclass(frozen=True, eq=False)
class _Ladder:
    splines: _Splines
    shifts: list[Matrix]
    pairs: Sequence[Evidence]

    def step(self, state: _State, stiffness: float, used: Sequence[Mask]) -> _State:
        """A Gauss-Newton step of the control points and of the PSF's width."""
        found = [
            explained_under(pair, state.rig, PLAIN, mask, shifts)
            for pair, mask, shifts in zip(self.pairs, used, self.shifts, strict=True)
        ]
        normal, gradient = normal_equations(found)
        count = len(state.coefficients)
        energy = np.kron(np.eye(2), self.splines.energy)
        strength = float(np.trace(normal[:count, :count]))
        penalty = strength * (stiffness * energy / np.trace(energy) + ANCHOR / count * np.eye(count))
        normal[:count, :count] += penalty
        gradient[:count] -= penalty @ state.coefficients
        inverse = np.asarray(np.linalg.inv(normal), np.float64)
        step = inverse @ gradient
        step *= min(1.0, LARGEST_STEP_LR / max(float(np.abs(step[:count]).max()), LARGEST_STEP_LR))
        coefficients = state.coefficients + step[:count]
        bend = self.splines.field(coefficients).astype(np.float32)
        return _State(replace(moved(state.rig, PLAIN, step[count:]), bend=bend), coefficients, inverse)


def _kept_pixels(pair: Evidence) -> Mask:
    """The pixels to fit to, `(points,)`, where the others, in scattered squares, are held out to judge the fit."""
    rows, cols = pair.image.shape[1:]
    y, x = np.indices((rows, cols)) // HELD_PX
    # Every other square of every other row of squares, so that each has neighbours to all sides that are kept.
    kept: Mask = ~((y % 2 == 0) & (x % 2 == (y // 2) % 2)).ravel()
    return kept


def _held_losses(pairs: Sequence[Evidence], found: Sequence[Explained], kept: Sequence[Mask]) -> Matrix:
    """Mean loss of each square that was held out, in all pairs one after the other; NaN where nothing is measured."""
    squares = []
    for pair, one, mask in zip(pairs, found, kept, strict=True):
        rows, cols = pair.image.shape[1:]
        y, x = np.indices((rows, cols)) // HELD_PX
        held = ~mask & np.isfinite(one.losses)
        index, length = (y * cols + x).ravel()[held], rows * cols
        count = np.bincount(index, minlength=length)
        total = np.bincount(index, one.losses[held], length)
        squares.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.concatenate(squares)


def _standard_error(splines: _Splines, inverse: Matrix) -> float:
    count = len(splines.energy)
    within = splines.down.T @ splines.down / len(splines.down), splines.across.T @ splines.across / len(splines.across)
    mean = np.kron(*within)
    variance = sum(float(np.sum(mean * inverse[at : at + count, at : at + count])) for at in (0, count)) / 2
    return float(np.sqrt(variance))
