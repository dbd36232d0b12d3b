"""How well cameras are registered: estimates against the truth, what they claim, and what their errors cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.compare import cropped
from export.data.misaligned import Misalignment
from export.data.registered_pairs import RegisteredPair, registered_pairs
from export.data.responses import Response, measured_cameras
from export.data.scenes import Scene, load_scenes
from export.methods import Method, open_methods
from export.registration_criteria import CRITERIA
from export.registration_estimates import (
    Estimate,
    Limits,
    Matrix,
    calibrated,
    drawn_pair,
    errors_lr,
    estimated,
    true_rig,
)
from export.registration_trials import TrialResult, explained_part, trials
from hsi_edge.cube import Cube
from hsi_edge.errors import HSIEdgeError
from hsi_edge.quality import psnr_db
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.refiner import Refiner
from hsi_edge.registration.rig import Rig
from hsi_edge.registration.warp import GridWarp

Float = NDArray[np.float32]

DRAWS = 8
"""Cameras, misalignments and noises per scene, ratio and PSF."""
FRAME_DRAWS = 40
"""The same for what is left frame by frame, which takes milliseconds."""
PSF_FWHM_LR = ((1.0, 1.0), (1.4, 1.4), (0.8, 1.6))
"""Ranges to draw the width of the spectral sensor's PSF from. The calibration is told none and estimates it."""
COMPARED_LR = 1
"""LR pixels that are left out at each side when fused images are compared."""

RIG_LIMITS = Limits(shift_lr=3.0, angle_deg=1.0, growth=0.02, margin_lr=5)
"""A rig that was mounted by hand."""
FRAME_LIMITS = Limits(shift_lr=1.5, angle_deg=0.0, growth=0.02)
"""What may be left of it from frame to frame, at most."""
CRITERIA_LIMITS = {
    "shift": Limits(shift_lr=1.5, angle_deg=0.0, growth=0.0, margin_lr=5),
    "similarity": Limits(shift_lr=1.5, angle_deg=1.0, growth=0.02, margin_lr=5),
}
"""What criteria are compared on: all begin at the middle, and none but ours could find larger ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RealResult:
    """A pair of real cameras; no estimate where it failed, with the reason.

    Attributes:
        explained_by_truth: Part of the bands' variance that the RGB explains under the published registration.
    """

    pair: RegisteredPair
    explained_by_truth: float
    estimate: Estimate | None
    failure: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedResult:
    """All draws of one setting.

    Attributes:
        scene, ratio: What was seen.
        psf_fwhm_lr: Range of the widths of the spectral sensor's PSF.
        estimates: Of the draws that did not fail.
        failures: Why the others did.
    """

    scene: str
    ratio: int
    psf_fwhm_lr: tuple[float, float]
    estimates: list[Estimate]
    failures: list[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class CriterionResult:
    """One criterion on one kind of transform: errors in LR pixels, root mean square over the frame, and seconds."""

    kind: str
    criterion: str
    errors_lr: list[float]
    seconds: list[float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Registrations:
    """All that the page shows."""

    real: list[RealResult]
    rigs: list[SimulatedResult]
    frames: list[SimulatedResult]
    trials: list[TrialResult]
    criteria: list[CriterionResult]


def measure_registration(bundles: Sequence[Path], data: Path) -> Registrations:
    """Register the real pairs and simulated ones, rigs and single frames.

    Args:
        bundles: Models whose results show what errors cost; their ratios are those of the simulation.
        data: The research data folder.

    Raises:
        InputError: A file of the research data is missing.
        ManifestError: A bundle is damaged.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        by_ratio = {ratio: _fusing(methods) for ratio, methods in open_methods(bundles, folder, stack).items()}
        scenes, cameras = load_scenes(data, "test"), measured_cameras(data)
        settings = [(cropped(scene, ratio), ratio) for ratio in by_ratio for scene in scenes]
        return Registrations(
            real=[_real(pair, by_ratio.get(pair.ratio, {})) for pair in registered_pairs(data)],
            rigs=[_rigs(scene, r, psf, cameras, by_ratio[r]) for psf in PSF_FWHM_LR for scene, r in settings],
            frames=[_frames(scene, r, cameras) for scene, r in settings],
            trials=trials(settings, cameras),
            criteria=_criteria(settings, cameras),
        )


def _fusing(methods: Mapping[str, Method]) -> dict[str, Method]:
    return {name: one for name, one in methods.items() if one.manifest is not None and one.manifest.task == "fusion"}


def _real(pair: RegisteredPair, methods: Mapping[str, Method]) -> RealResult:
    frame = Cube(data=pair.lr_hsi, wavelengths_nm=pair.wavelengths_nm)
    by_truth = explained_part(frame, pair.msi, pair.truth)
    try:
        found, seconds = calibrated(frame, pair.msi, bend=pair.bend, start=pair.start)
    except HSIEdgeError as err:
        return RealResult(pair=pair, explained_by_truth=by_truth, estimate=None, failure=str(err))
    loss = {}
    if pair.scene is not None:
        free = {name: method for name, method in methods.items() if method.any_bands}
        loss = _losses(free, pair.lr_hsi, pair.msi, (found.rig, pair.truth), pair.scene, pair.ratio)
    return RealResult(pair=pair, explained_by_truth=by_truth, estimate=estimated(found, pair.truth, seconds, loss))


def _rigs(
    scene: Scene, ratio: int, psf: tuple[float, float], responses: Sequence[Response], methods: Mapping[str, Method]
) -> SimulatedResult:
    result = SimulatedResult(scene=scene.name, ratio=ratio, psf_fwhm_lr=psf, estimates=[], failures=[])
    limits = replace(RIG_LIMITS, psf_fwhm_lr=psf)
    for draw in range(DRAWS):
        _, pair = drawn_pair(scene, ratio, responses, limits, draw)
        truth = true_rig(pair)
        try:
            found, seconds = calibrated(pair.lr_hsi, pair.msi)
        except HSIEdgeError as err:
            result.failures.append(str(err))
            continue
        loss = _losses(methods, pair.lr_hsi, pair.msi, (found.rig, truth), pair.truth, ratio)
        result.estimates.append(estimated(found, truth, seconds, loss))
    return result


def _losses(
    methods: Mapping[str, Method],
    lr_hsi: Float,
    msi: NDArray[np.generic],
    rigs: tuple[Rig, Rig],
    scene: Float,
    ratio: int,
) -> dict[str, float]:
    """By method, what is lost with the first rig, the estimate, against the second, the truth."""
    border = COMPARED_LR * ratio
    inner = slice(border, -border), slice(border, -border)
    guides = [GridWarp(rig, ratio).on_grid(msi)[0] for rig in rigs]
    largest = np.iinfo(msi.dtype.name).max if msi.dtype.kind == "u" else 1
    losses = {}
    for name, method in methods.items():
        found, wanted = (
            psnr_db(method.run(lr_hsi, (guide / np.float32(largest)).astype(np.float32))[inner], scene[inner])
            for guide in guides
        )
        losses[name] = wanted - found
    return losses


def _frames(scene: Scene, ratio: int, responses: Sequence[Response]) -> SimulatedResult:
    """What a refinement finds on pairs that lie on the HR grid but for a shift and a scale."""
    estimates = []
    refiner = Refiner(ratio, float(ratio))
    for draw in range(FRAME_DRAWS):
        true, pair = drawn_pair(scene, ratio, responses, FRAME_LIMITS, draw)
        begin = time.perf_counter_ns()
        found = refiner.refine(pair.lr_hsi, pair.msi)
        seconds = (time.perf_counter_ns() - begin) / 1e9
        truth = true_rig(pair)
        seen = replace(true, dx_lr=found.dx_lr, dy_lr=found.dy_lr, scale=found.scale)
        rig = replace(truth, msi_from_lr=seen.msi_from_lr(truth.lr_shape, truth.msi_shape, ratio))
        estimates.append(
            Estimate(
                errors_lr=errors_lr(rig, truth),
                std_lr=_std_over_frame(found, truth.lr_shape),
                explained=found.explained,
                seconds=seconds,
                trusted=found.trusted,
            )
        )
    return SimulatedResult(
        scene=scene.name, ratio=ratio, psf_fwhm_lr=FRAME_LIMITS.psf_fwhm_lr, estimates=estimates, failures=[]
    )


def _criteria(settings: Sequence[tuple[Scene, int]], responses: Sequence[Response]) -> list[CriterionResult]:
    """Each criterion on the same pairs, without a search: the start knows the nominal scale and the PSF."""
    results = []
    for kind, limits in CRITERIA_LIMITS.items():
        drawn = [
            (ratio, drawn_pair(scene, ratio, responses, limits, d)[1])
            for scene, ratio in settings
            for d in range(DRAWS)
        ]
        for name, criterion in CRITERIA.items():
            result = CriterionResult(kind=kind, criterion=name, errors_lr=[], seconds=[])
            for ratio, pair in drawn:
                truth = true_rig(pair)
                nominal = Misalignment().msi_from_lr(truth.lr_shape, truth.msi_shape, ratio)
                begin = time.perf_counter_ns()
                found = criterion(pair.lr_hsi, pair.msi, replace(truth, msi_from_lr=nominal), kind == "shift")
                result.seconds.append((time.perf_counter_ns() - begin) / 1e9)
                result.errors_lr.append(float(np.sqrt(np.square(errors_lr(found, truth)).sum(axis=1).mean())))
            results.append(result)
    return results


def _std_over_frame(found: Refinement, shape: tuple[int, int]) -> Matrix:
    """`(pixels, 2)`, along x and y: the scale's error adds to the shift's with the distance from the middle."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    from_middle = np.stack([x.ravel() - shape[1] / 2, y.ravel() - shape[0] / 2], axis=1)
    std: Matrix = np.hypot((found.dx_std_lr, found.dy_std_lr), found.scale_std * from_middle)
    return std
