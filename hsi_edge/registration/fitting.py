"""Gauss-Newton over the rig: the registration under which the RGB, degraded, explains the spectral frame best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import RegistrationError
from hsi_edge.registration.evidence import Evidence, Seen, seen
from hsi_edge.registration.lens import Lens
from hsi_edge.registration.regression import Explained, background, explained
from hsi_edge.registration.rig import Rig

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Model = Literal["none", "similarity", "affine", "homography"]

MOST_STEPS = 20
RESTING_LR, RESTING = 3e-4, 1e-3
"""Steps that move no corner of the frame by more, in LR pixels (of a reduced frame: its pixels), and change lens and
PSF by no more, end a fit."""
LARGEST_STEP_LR, LARGEST_WIDENING = 1.0, 0.25
PSF_FWHM_LR = (0.3, 4.0)
DAMPING, SOFTER, HARDER, HARDEST = 1e-6, 0.25, 16.0, 1e3
"""Of Levenberg and Marquardt."""
HALF_LR = 0.25
"""To either side of a point, for the derivative of its place on the RGB."""
FEWEST_PIXELS = 36


@dataclass(frozen=True)
class Freedom:
    """Which changes of a rig are tried.

    Attributes:
        model: Of the matrix.
        lens: Whether the first coefficient of the lens's distortion is free.
        plain: Whether to judge by least squares instead of robustly (see `regression`).
    """

    model: Model
    lens: bool = False
    plain: bool = False


@dataclass(frozen=True, eq=False)
class Fit:
    """A rig as fitted.

    Attributes:
        found: How it explains each pair.
    """

    rig: Rig
    freedom: Freedom
    found: tuple[Explained, ...]

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of a pixel."""
        return float(np.mean([one.loss for one in self.found]))

    @property
    def gain(self) -> float:
        """Log-likelihood gained over no relation between the images, over all pixels."""
        return float(sum(np.nansum(one.gains * (one.trust > 0)) for one in self.found))

    @property
    def part(self) -> float:
        """Part of the variance that is explained."""
        return float(np.mean([one.part for one in self.found]))


def columns(model: Model, rig: Rig, points: Matrix) -> Matrix:
    """What each parameter of the matrix moves points `(n, 2)` of the LR frame by, `(parameters, n, 2)` in LR pixels.

    A parameter of 1 moves the middle of the frame's longer sides by an LR pixel.
    """
    rows, cols = rig.lr_shape
    x, y = ((points - np.array([cols, rows]) / 2) / _reach(rig)).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    shift = [(one, zero), (zero, one)]
    linear = [(x, zero), (y, zero), (zero, x), (zero, y)]
    bow = [(-x * x, -x * y), (-x * y, -y * y)]
    moves = {
        "none": [],
        "similarity": [*shift, (x, y), (-y, x)],
        "affine": [*shift, *linear],
        "homography": [*shift, *linear, *bow],
    }[model]
    shifts: Matrix = np.array(moves).reshape(-1, 2, len(points)).transpose(0, 2, 1)
    return shifts


def _reach(rig: Rig) -> float:
    return max(rig.lr_shape) / 2


def moved(rig: Rig, freedom: Freedom, step: Matrix) -> Rig:
    """The rig after a step of the free parameters: those of `columns`, then the lens's, then the PSF's."""
    inner, rest = _inner(freedom.model, list(step / _reach(rig)), list(step))
    rows, cols = rig.lr_shape
    reach = _reach(rig)
    normal = np.array([[1 / reach, 0, -cols / 2 / reach], [0, 1 / reach, -rows / 2 / reach], [0, 0, 1]])
    matrix = rig.msi_from_lr @ np.linalg.inv(normal) @ inner @ normal
    lens = rig.lens
    if freedom.lens:
        lens = Lens.centred(rig.msi_shape, rest.pop(0) + (lens.k1 if lens else 0.0))
    widening = np.exp(np.clip(rest.pop(0), -LARGEST_WIDENING, LARGEST_WIDENING))
    psf_fwhm_lr = float(np.clip(rig.psf_fwhm_lr * widening, *PSF_FWHM_LR))
    return replace(rig, msi_from_lr=matrix / matrix[2, 2], lens=lens, psf_fwhm_lr=psf_fwhm_lr)


def _inner(model: Model, scaled: list[float], step: list[float]) -> tuple[Matrix, list[float]]:
    """The matrix of a step in coordinates between -1 and 1, and the rest of the step."""
    inner = np.eye(3)
    if model == "none":
        return inner, step
    inner[:2, 2] = scaled[:2]
    if model == "similarity":
        grow, turn = scaled[2:4]
        inner[:2, :2] += [[grow, -turn], [turn, grow]]
        return inner, step[4:]
    inner[:2, :2] += np.reshape(scaled[2:6], (2, 2))
    if model == "affine":
        return inner, step[6:]
    inner[2, :2] = scaled[6:8]
    return inner, step[8:]


def explained_under(
    pair: Evidence, rig: Rig, freedom: Freedom, used: Mask | None = None, shifts: Matrix | None = None
) -> Explained:
    """Regress a pair under a rig, with what its free parameters would change.

    Args:
        pair: What the frames show.
        rig: Where to read the RGB, and how blurred.
        freedom: The parameters.
        used: `(points,)`, pixels that the regression may use; None for all.
        shifts: `(parameters, points, 2)`, displacements in LR pixels, in place of those of the model.
    """
    view = seen(pair, rig)
    points = pair.points
    changes = [_changes(points, rig, view, columns(freedom.model, rig, points) if shifts is None else shifts)]
    if freedom.lens:
        move = lens_move(rig, points)
        changes.append((view.along_x * move[:, 0] + view.along_y * move[:, 1])[None])
    changes.append(view.wider[None])
    wanted = pair.components
    there = view.reached & np.isfinite(wanted).all(axis=0)
    within = there if used is None else there & used
    if within.sum() < FEWEST_PIXELS:
        raise RegistrationError(f"the two frames share {within.sum()} LR pixels; wanted {FEWEST_PIXELS} or more")
    ground = background(points, rig.lr_shape)
    return explained(wanted, view.values, np.concatenate(changes), ground, there, within, plain=freedom.plain)


def _changes(points: Matrix, rig: Rig, view: Seen, shifts: Matrix) -> Matrix:
    """What displacements `(m, points, 2)` in LR pixels change in the RGB as seen, `(m, channels, points)`."""
    along = []
    for axis in ([HALF_LR, 0.0], [0.0, HALF_LR]):
        side = (rig.msi_points(points + axis) - rig.msi_points(points - axis)) / (2 * HALF_LR)
        along.append(view.along_x * side[:, 0] + view.along_y * side[:, 1])
    return shifts[:, None, :, 0] * along[0] + shifts[:, None, :, 1] * along[1]


def lens_move(rig: Rig, points: Matrix) -> Matrix:
    """What the lens's first coefficient moves LR points by on the RGB, `(points, 2)` in RGB pixels."""
    ideal = replace(rig, lens=None).msi_points(points)
    return Lens.centred(rig.msi_shape, 1.0).seen(ideal) - ideal


def fit(pairs: Sequence[Evidence], rig: Rig, freedom: Freedom, resting_lr: float = RESTING_LR) -> Fit:
    """Improve a rig until it rests. Starts within some LR pixels of the truth find it.

    Args:
        pairs: One or more, taken by the same rig.
        rig: To start from.
        freedom: What of it may change; the PSF's width always may.
        resting_lr: A step that moves no corner by more, in pixels of the frame as given, is the last.

    Raises:
        RegistrationError: The frames do not overlap enough.
    """
    best: Fit | None = None
    damping, normal, gradient, pixel = DAMPING, np.empty((0, 0)), np.empty(0), pairs[0].step
    for _ in range(MOST_STEPS):
        found = tuple(explained_under(pair, rig, freedom) for pair in pairs)
        loss = float(np.mean([one.loss for one in found]))
        if best is None or loss < best.loss:
            normal, gradient = normal_equations(found)
            best = Fit(rig, freedom, found)
            damping *= SOFTER
        else:
            damping *= HARDER
        step = np.asarray(np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient), np.float64)
        moves = len(columns(freedom.model, rig, np.zeros((1, 2))))
        size = float(np.abs(step[:moves]).max(initial=0.0))
        if (
            size < resting_lr * pixel and np.abs(step[moves:]).max() < RESTING * resting_lr / RESTING_LR
        ) or damping > HARDEST:
            break
        step *= min(1.0, LARGEST_STEP_LR * pixel / max(size, RESTING_LR))
        rig = moved(best.rig, freedom, step)
    assert best is not None
    return best


def normal_equations(found: Sequence[Explained]) -> tuple[Matrix, Matrix]:
    """Of the least squares over all pairs, in the order of the parameters."""
    count = len(found[0].moves)
    normal, gradient = np.zeros((count, count)), np.zeros(count)
    for one in found:
        moves = one.moves.reshape(count, -1)
        trusted = (one.moves * one.trust).reshape(count, -1)
        normal += trusted @ moves.T
        gradient += trusted @ one.residual.ravel()
    # So that a parameter that nothing tells of is left alone.
    normal += 1e-9 * np.trace(normal) / count * np.eye(count)
    return normal, gradient
