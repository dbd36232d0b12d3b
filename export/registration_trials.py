"""What registration is put through beyond similarities: richer transforms, and RGBs that show the light falsely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.responses import Response
from export.data.scenes import Scene
from export.registration_estimates import Estimate, Limits, calibrated, drawn_pair, estimated, true_rig
from hsi_edge.cube import Cube
from hsi_edge.errors import HSIEdgeError
from hsi_edge.registration.evidence import FINE_PX, evidence_from_pair
from hsi_edge.registration.fitting import Freedom, explained_under
from hsi_edge.registration.rig import Rig

DRAWS = range(100, 108)
"""Per trial, scene and ratio: none that anything else is drawn from."""
SIMILARITY = Limits(shift_lr=3.0, angle_deg=1.0, growth=0.02, psf_fwhm_lr=(0.8, 1.6), margin_lr=5)
AFFINE = replace(SIMILARITY, affine=0.03)
HOMOGRAPHY = replace(AFFINE, perspective=0.03)
TRIALS = {
    "similarity": SIMILARITY,
    "affine": AFFINE,
    "homography": HOMOGRAPHY,
    **{
        f"similarity, vignetting of {percent} percent": replace(SIMILARITY, vignetting=percent / 100)
        for percent in (10, 20, 30)
    },
    "similarity, gamma of 2.2": replace(SIMILARITY, gamma=2.2),
}
WIDTHS_LR = np.geomspace(0.6, 2.6, 20)
"""Of the PSF, tried for a registration that was published without one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialResult:
    """All draws of one trial.

    Attributes:
        name: What was tried.
        estimates: Of the draws that did not fail.
        models: Which model each of them took.
        failures: Why the others did.
    """

    name: str
    estimates: list[Estimate]
    models: list[str]
    failures: list[str]


def trials(settings: Sequence[tuple[Scene, int]], responses: Sequence[Response]) -> list[TrialResult]:
    """Each trial on every scene, at its ratio."""
    return [_trial(name, limits, settings, responses) for name, limits in TRIALS.items()]


def _trial(
    name: str, limits: Limits, settings: Sequence[tuple[Scene, int]], responses: Sequence[Response]
) -> TrialResult:
    result = TrialResult(name=name, estimates=[], models=[], failures=[])
    for scene, ratio in settings:
        for draw in DRAWS:
            _, pair = drawn_pair(scene, ratio, responses, limits, draw)
            try:
                found, seconds = calibrated(pair.lr_hsi, pair.msi)
            except HSIEdgeError as err:
                result.failures.append(f"{scene.name}, ratio {ratio}: {err}")
                continue
            result.estimates.append(estimated(found, true_rig(pair), seconds))
            result.models.append(found.model)
    return result


def explained_part(lr_hsi: Cube, msi: NDArray[Any], rig: Rig) -> float:
    """Part of the bands' variance that the RGB explains where a rig puts it, with the width of the PSF that fits it."""
    evidence = evidence_from_pair(lr_hsi, msi)
    evidence = evidence.coarse_planes(max(1, int(rig.msi_px_per_lr_px / FINE_PX)))
    plain = Freedom("none", plain=True)
    return max(explained_under(evidence, replace(rig, psf_fwhm_lr=float(w)), plain).part for w in WIDTHS_LR)
