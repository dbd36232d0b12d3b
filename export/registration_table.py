"""The registrations as a page with tables, for people, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.registration import (
    CRITERIA_LIMITS,
    FRAME_LIMITS,
    RIG_LIMITS,
    CriterionResult,
    RealResult,
    Registrations,
    SimulatedResult,
)
from export.registration_estimates import Estimate
from export.registration_trials import AFFINE, HOMOGRAPHY, SIMILARITY, TrialResult
from hsi_edge.report.measured import facts, table, write_measured

WANTED_LR, WANTED_DB = 0.02, 0.5
NOTES = f"""\
Where is each spectral pixel on the RGB? Errors are distances between where an estimate and the truth put the middle of
an LR pixel, root mean square over the frame, in LR pixels; wanted is {WANTED_LR}. Inside 1 and 2 sigma: the share of
the errors per axis, over pixels and draws, within one and two of the standard errors that the estimate itself claims;
68 and 95 percent would be exact. Lost: PSNR of the fused result with the true registration less that with the estimate,
without the outermost LR pixels, in dB, median and worst; wanted is at most {WANTED_DB}. Times were taken on a
machine with 2 cores that may have been busy: they are rough, and an idle one takes less."""
REAL_NOTE = """\
One pair each, whole frames, no starting point where none is stated. Where the truth was itself estimated or leaves
something out, the error is a disagreement. For ground that is not at infinity, RigRelatives are off by a shift that is
the same everywhere: "but for a shift" is the error without it. Explained: part of the variance of the bands in the
RGB's range, under the estimate and under what is taken for the truth, the latter with the PSF that suits it best."""
RIG_NOTE = f"""\
The test scenes, the RGB camera shifted by up to {RIG_LIMITS.shift_lr:g} LR pixels along each axis, turned by up to
{RIG_LIMITS.angle_deg:g} degree and up to {100 * RIG_LIMITS.growth:g} percent closer or farther, with another response
each time, noise of 0.004 (spectral) and 0.005 (RGB), and 8 bits. The spectral sensor's PSF is a Gaussian with the given
FWHM in LR pixels, or drawn from that range; the estimate is told neither it nor where to begin."""
FRAME_NOTE = f"""\
The refinement of a single frame: shift by up to {FRAME_LIMITS.shift_lr:g} LR pixels along each axis, scale by up to
{100 * FRAME_LIMITS.growth:g} percent; PSF and the rest as calibrated; noise and bits as above."""
TRIAL_NOTE = f"""\
Other pairs of the same scenes, ratios and limits, with a PSF of {SIMILARITY.psf_fwhm_lr[0]:g} to
{SIMILARITY.psf_fwhm_lr[1]:g} LR pixels. Affine: each entry of the linear part is changed by up to
{100 * AFFINE.affine:g} percent besides. Homography: so is the depth, at the middle of the frame's longer sides by up to
{100 * HOMOGRAPHY.perspective:g} percent. Vignetting: the RGB is darker by so much in its corners, by the squared
distance from its middle. Gamma: the RGB's 8 bits hold the light to the power of 1/2.2. True model: share of the
estimates whose model (similarity, affine or homography) is that of the pair."""
CRITERIA_NOTE = f"""\
What else could be asked of a registration, on the same pairs, all begun at the middle with the nominal scale and the
true PSF: shift by up to {CRITERIA_LIMITS["similarity"].shift_lr:g} LR pixels along each axis, without and with up to
{CRITERIA_LIMITS["similarity"].angle_deg:g} degree and {100 * CRITERIA_LIMITS["similarity"].growth:g} percent, noise and
bits as above. The others compare the mean of the bands with the mean of the RGB's channels, blurred and sampled anew in
each round. Phase correlation finds shifts only; OpenCV's ECC knows no similarity and finds an affine transform."""


def write_registration(folder: Path, results: Registrations, machine: dict[str, str]) -> None:
    """Write `registration-table.md` and `registration-table.json`.

    Raises:
        OutputError: If the system refuses to write.
    """
    write_measured(folder, "registration-table", registration_markdown(results, machine), _plain(results, machine))


def registration_markdown(results: Registrations, machine: dict[str, str]) -> str:
    """The page."""
    parts = ["# Registration", NOTES, facts(machine), "## Real pairs", REAL_NOTE, _real_table(results.real)]
    parts.append("\n".join(f"- {one.pair.name}: {one.pair.note}{_failure(one)}" for one in results.real))
    parts += ["## Simulated rigs", RIG_NOTE, _rig_table(results.rigs), *_failures(results.rigs)]
    parts += ["## Simulated frames", FRAME_NOTE, _frame_table(results.frames)]
    parts += ["## Transforms, vignetting and gamma", TRIAL_NOTE, _trial_table(results.trials)]
    parts += _listed([text for one in results.trials for text in one.failures])
    parts += ["## Criteria", CRITERIA_NOTE, _criteria_table(results.criteria)]
    return "\n\n".join(parts)


def _real_table(results: Sequence[RealResult]) -> str:
    header = ["pair", "error", "largest", "but for a shift", "claimed", "inside 1 sigma"]
    header += ["explained", "by the truth", "seconds", "lost [dB]"]
    return table(header, [_real_row(one) for one in results])


def _real_row(one: RealResult) -> list[str]:
    found = one.estimate
    if found is None:
        return [one.pair.name, "failed", *["-"] * 5, f"{one.explained_by_truth:.3f}", "-", "-"]
    left = found.errors_lr - found.errors_lr.mean(axis=0)
    return [
        one.pair.name,
        f"{found.rms_lr:.3f}",
        f"{np.sqrt(np.square(found.errors_lr).sum(axis=1).max()):.3f}",
        f"{np.sqrt(np.square(left).sum(axis=1).mean()):.3f}" if one.pair.parallax else "-",
        f"{float(np.mean(found.std_lr)):.3f}",
        f"{100 * found.inside(1):.0f}",
        f"{found.explained:.3f}",
        f"{one.explained_by_truth:.3f}",
        f"{found.seconds:.1f}",
        ", ".join(f"{name} {loss:.2f}" for name, loss in found.loss_db.items()) or "-",
    ]


def _failure(one: RealResult) -> str:
    return f". **Failed**: {one.failure}" if one.failure else ""


def _rig_table(results: Sequence[SimulatedResult]) -> str:
    methods = list(dict.fromkeys(name for one in results for found in one.estimates for name in found.loss_db))
    header = ["scene", "ratio", "PSF", *_ERRORS, *(f"lost: {name}" for name in methods)]
    rows = [
        [*_setting(one), _psf(one), *_errors(one), *(_median_and_worst(_losses(one, name), 2) for name in methods)]
        for one in results
    ]
    return table(header, rows)


def _frame_table(results: Sequence[SimulatedResult]) -> str:
    header = ["scene", "ratio", *_ERRORS, "trusted"]
    rows = [[*_setting(one), *_errors(one), f"{sum(found.trusted for found in one.estimates)}"] for one in results]
    return table(header, rows)


def _trial_table(results: Sequence[TrialResult]) -> str:
    header = ["trial", "pairs", "failed", "error: median", "9 of 10 below", "worst", "claimed"]
    return table([*header, "inside 1 sigma", "2 sigma", "true model"], [_trial_row(one) for one in results])


def _trial_row(one: TrialResult) -> list[str]:
    row = [one.name, str(len(one.estimates) + len(one.failures)), str(len(one.failures))]
    if not one.estimates:
        return [*row, *["-"] * 7]
    true_model = one.name.split(",")[0]
    shares = [np.mean([found.inside(count) for found in one.estimates]) for count in (1, 2)]
    shares.append(np.mean([model == true_model for model in one.models]))
    return [
        *row,
        *(f"{np.percentile([found.rms_lr for found in one.estimates], part):.4f}" for part in (50, 90, 100)),
        f"{np.median([found.std_lr for found in one.estimates]):.4f}",
        *(f"{100 * share:.0f}" for share in shares),
    ]


def _criteria_table(results: Sequence[CriterionResult]) -> str:
    header = ["transform", "criterion", "pairs", "error: median", "9 of 10 below", "worst", "ms: median"]
    rows = [
        [
            one.kind,
            one.criterion,
            str(len(one.errors_lr)),
            *(f"{np.percentile(one.errors_lr, part):.4f}" for part in (50, 90, 100)),
            f"{1000 * np.median(one.seconds):.1f}",
        ]
        for one in results
    ]
    return table(header, rows)


_ERRORS = ["draws", "failed", "error: median", "worst", "claimed", "inside 1 sigma", "2 sigma", "ms: median"]


def _setting(one: SimulatedResult) -> list[str]:
    return [one.scene, str(one.ratio)]


def _psf(one: SimulatedResult) -> str:
    low, high = one.psf_fwhm_lr
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _errors(one: SimulatedResult) -> list[str]:
    draws = [str(len(one.estimates) + len(one.failures)), str(len(one.failures))]
    if not one.estimates:
        return [*draws, *["-"] * 6]
    off = [found.rms_lr for found in one.estimates]
    inside = [100 * float(np.mean([found.inside(count) for found in one.estimates])) for count in (1, 2)]
    return [
        *draws,
        f"{np.median(off):.4f}",
        f"{max(off):.4f}",
        f"{np.median([np.mean(found.std_lr) for found in one.estimates]):.4f}",
        *(f"{share:.0f}" for share in inside),
        f"{1000 * np.median([found.seconds for found in one.estimates]):.1f}",
    ]


def _losses(one: SimulatedResult, method: str) -> list[float]:
    return [found.loss_db[method] for found in one.estimates if method in found.loss_db]


def _median_and_worst(values: Sequence[float], digits: int) -> str:
    return f"{np.median(values):.{digits}f}, {max(values):.{digits}f}" if values else "-"


def _failures(results: Sequence[SimulatedResult]) -> list[str]:
    return _listed(
        [f"{one.scene}, ratio {one.ratio}, PSF {_psf(one)}: {text}" for one in results for text in one.failures]
    )


def _listed(failures: Sequence[str]) -> list[str]:
    return ["Failed draws:", "\n".join(f"- {text}" for text in failures)] if failures else []


def _plain(results: Registrations, machine: dict[str, str]) -> dict[str, Any]:
    return {
        "machine": machine,
        "real": [
            {"pair": one.pair.name, "failure": one.failure, "explained_by_truth": one.explained_by_truth}
            | ({} if one.estimate is None else _plain_estimate(one.estimate))
            for one in results.real
        ],
        "rigs": [_plain_simulated(one) for one in results.rigs],
        "frames": [_plain_simulated(one) for one in results.frames],
        "trials": [
            {"name": one.name, "models": one.models, "failures": one.failures}
            | {"estimates": [_plain_estimate(found) for found in one.estimates]}
            for one in results.trials
        ],
        "criteria": [dataclasses.asdict(one) for one in results.criteria],
    }


def _plain_simulated(one: SimulatedResult) -> dict[str, Any]:
    fields = dataclasses.asdict(dataclasses.replace(one, estimates=[]))
    return fields | {"estimates": [_plain_estimate(found) for found in one.estimates]}


def _plain_estimate(found: Estimate) -> dict[str, Any]:
    return {
        "error_lr": found.rms_lr,
        "std_lr": float(np.mean(found.std_lr)),
        "inside": [found.inside(1), found.inside(2)],
        "explained": found.explained,
        "seconds": found.seconds,
        "trusted": found.trusted,
        "loss_db": dict(found.loss_db),
    }
