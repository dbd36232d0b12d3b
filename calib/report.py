"""What a calibration measured, as text and as files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calib.gate import checks, failures
from calib.judge import Scores, TruthScores
from calib.search import Outcome
from hsi_edge.manifest import GraphPrecision
from hsi_edge.report.measured import facts, table, write_measured

WIDER: Mapping[str, str] = {"fp16": "FP32", "int8": "FP16"}
"""What a layer is put back to."""
ARITHMETIC: Mapping[GraphPrecision, str] = {
    "fp32": "FP32 in OpenVINO on the CPU",
    "fp16": "every FP16 tensor rounded to half when it is written, sums in FP32, as on tensor cores",
    "int8": "INT8 in OpenVINO on the CPU with the rest in FP32; on a device the rest runs in FP16 or BF16",
}
NOTES = """\
Judged in bands, on frames that took no part in the calibration, after all that the runtime does. PSNR and spectral
angle (SAM) are means over scenes; against FP32, PSNR is that of the mean squared error over all of them, and the worst
band is the largest RMSE of a band of a scene, in parts of the frame's peak."""
HEADER = ["graph", "PSNR [dB]", "loss [dB]", "SAM [deg]", "change [%]", "p95 change [%]", "worst band", "to FP32 [dB]"]


def outcome_markdown(outcome: Outcome, machine: Mapping[str, str]) -> str:
    """The report for people."""
    name = outcome.precision.upper()
    parts = [f"# The {name} graph", NOTES, facts(_conditions(outcome) | dict(machine))]
    rows = [fp32_row(outcome.fp32)] if outcome.fp32 else []
    rows += [score_row(f"{name}: {tried.what}", tried.scores) for tried in outcome.tried]
    if outcome.with_bf16:
        rows.append(score_row("the chosen INT8 graph, the rest in BF16", outcome.with_bf16))
    parts += ["## All graphs that were judged", table(HEADER, rows)]
    gate = [
        [check.name, check.form.format(check.value), check.allowed, "passed" if check.passed else "failed"]
        for check in checks(outcome.gate, outcome.scores)
    ]
    parts += ["## The gate", table(["measured", "value", "allowed", "verdict"], gate)]
    if losses := outcome.scores.psnr_loss_by_scene_db:
        parts.append(table(["scene", "PSNR loss [dB]"], [[scene, number(loss, 3)] for scene, loss in losses.items()]))
    parts.append(_put_back(outcome))
    if outcome.ranking:
        parts += ["## Ranking", _RANKING, _ranking(outcome)]
    return "\n\n".join(parts)


_RANKING = """\
What each layer, or block of neighbouring layers, costs alone: the root mean square error of the bands in parts of the
peak, and its share of the multiply-accumulates. What has the largest squared error for its share is put back first."""


def write_outcome(folder: Path, outcome: Outcome, machine: Mapping[str, str]) -> None:
    """Write `calib-PRECISION.md` and `.json` into the bundle's `report/`.

    Raises:
        OutputError: If the system refuses to write.
    """
    plain = {
        "precision": outcome.precision,
        "method": outcome.method,
        "conditions": _conditions(outcome),
        "machine": dict(machine),
        "gate": asdict(outcome.gate),
        "passed": not failures(outcome.gate, outcome.scores),
        "fp32": None if outcome.fp32 is None else asdict(outcome.fp32),
        "scores": plain_scores(outcome.scores),
        "scores_with_bf16": None if outcome.with_bf16 is None else plain_scores(outcome.with_bf16),
        "put_back": list(outcome.put_back),
        "overflowing": list(outcome.overflowing),
        "tried": [{"what": tried.what, "scores": plain_scores(tried.scores)} for tried in outcome.tried],
        "ranking": [
            {"layers": list(each.layers), "rms_error": finite(math.sqrt(each.error)), "share_of_macs": each.share}
            for each in outcome.ranking
        ],
    }
    write_measured(folder, f"calib-{outcome.precision}", outcome_markdown(outcome, machine), plain)


def plain_scores(scores: Scores) -> dict[str, Any]:
    """The scores for JSON, which knows no infinity."""
    plain = asdict(scores)
    return {name: finite(value) if isinstance(value, float) else value for name, value in plain.items()}


def number(value: float, digits: int) -> str:
    """With so many digits after the point, and no minus before a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def finite(value: float) -> float | None:
    """None in place of NaN and infinity."""
    return value if math.isfinite(value) else None


def fp32_row(truth: TruthScores) -> list[str]:
    """FP32's cells under `HEADER`."""
    return ["FP32", f"{truth.psnr_db:.2f}", "", f"{truth.sam_deg:.3f}", "", "", "", ""]


def score_row(name: str, scores: Scores) -> list[str]:
    """A graph's cells under `HEADER`."""
    if scores.overflowed:
        return [name, "NaN or infinity", *[""] * (len(HEADER) - 2)]
    truth = scores.truth
    near = [f"{scores.worst_band_rmse:.5f}", f"{scores.psnr_db:.1f}"]
    if truth is None:
        return [name, *[""] * 5, *near]
    return [
        name,
        number(truth.psnr_db, 2),
        number(truth.psnr_loss_db, 3),
        number(truth.sam_deg, 3),
        number(truth.sam_change_percent, 2),
        number(truth.sam_p95_change_percent, 2),
        *near,
    ]


def _conditions(outcome: Outcome) -> dict[str, str]:
    chosen = outcome.chosen
    return {
        "made by": outcome.method,
        "judged with": ARITHMETIC[outcome.precision],
        "calibration tiles": f"{len(chosen.calibration)}, of {_names(tile.scene for tile in chosen.calibration)}",
        "fingerprint of the calibration tiles": chosen.sha256,
        "judged on": f"{chosen.held_out_tiles} tiles, of {_names(frame.scene for frame in chosen.held_out)}",
        "truth": "" if outcome.scores.truth else "not known for any scene: judged against FP32 alone",
    }


def _names(scenes: Any) -> str:
    return ", ".join(dict.fromkeys(scenes))


def _put_back(outcome: Outcome) -> str:
    wide = WIDER[outcome.precision]
    lines = ["## Layers put back"]
    if outcome.overflowing:
        lines.append(f"FP32, since their numbers overflow in FP16: {', '.join(outcome.overflowing)}.")
    if not outcome.put_back:
        lines.append("None: the gate passed with every layer in the precision.")
        return "\n\n".join(lines)
    kept = sum(each.share for each in outcome.ranking if each.layers[0] not in outcome.put_back)
    lines.append(
        f"{wide}, since the gate failed without, the most sensitive first: {', '.join(outcome.put_back)}. "
        f"{100 * kept:.0f} percent of the multiply-accumulates are left in {outcome.precision.upper()}."
    )
    return "\n\n".join(lines)


def _ranking(outcome: Outcome) -> str:
    rows = [
        [_words(each.layers), f"{math.sqrt(each.error):.2e}", f"{100 * each.share:.1f} %", _where(outcome, each.layers)]
        for each in outcome.ranking
    ]
    return table(["layers", "RMS error", "share", "now in"], rows)


def _words(layers: tuple[str, ...]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]} ({len(layers)})"


def _where(outcome: Outcome, layers: tuple[str, ...]) -> str:
    return WIDER[outcome.precision] if layers[0] in outcome.put_back else outcome.precision.upper()
