"""The page's section on accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from hsi_edge.acceptance.accuracy import SceneAccuracy, Scores
from hsi_edge.acceptance.page import chart
from hsi_edge.acceptance.page.chart import Line
from hsi_edge.acceptance.page.parts import card, table
from hsi_edge.acceptance.result import EngineCheck
from hsi_edge.report import page

_BAND_CHARTS = 6
"""Scenes whose errors are drawn band by band; the table has all."""


def accuracy_section(engines: Sequence[EngineCheck]) -> str:
    """What the engine keeps of FP32, how near it comes to the truth, and where along the bands it errs."""
    scenes = [(engine, accuracy) for engine in engines for accuracy in engine.accuracy]
    body = "<h3>Against FP32</h3>" + table(
        [*_named(engines, "scene"), "PSNR (dB)", "SAM (°)", "worst band RMSE", "lost pixels"],
        [[*_name(engines, e, a.scene), *_to_fp32(a)] for e, a in scenes],
        words=len(_named(engines, "scene")),
    )
    judged = [(engine, accuracy) for engine, accuracy in scenes if accuracy.to_truth is not None]
    if judged:
        header = ["PSNR (dB)", "lost to FP32 (dB)", "SAM mean (°)", "change (%)", "SAM p95 (°)"]
        header += ["worst band RMSE", "SSIM", "ERGAS"]
        body += "<h3>Against the truth</h3>" + table(
            [*_named(engines, "scene"), *header],
            [[*_name(engines, e, a.scene), *_to_truth(a)] for e, a in judged],
            words=len(_named(engines, "scene")),
        )
    charts = [_band_chart(a, e.label if len(engines) > 1 else "") for e, a in scenes if _differs(a)]
    shown = "".join(charts[:_BAND_CHARTS])
    note = (
        f"Wanted is the model as it was trained: {engines[0].accuracy[0].reference}. "
        "PSNR: higher is better, each 6 dB halve the error. SAM: the angle between a "
        "pixel's spectrum and the wanted one, lower is better."
    )
    return page.section("Accuracy", note, f'{body}<div class="spectra">{shown}</div>')


def _differs(accuracy: SceneAccuracy) -> bool:
    """Whether there is an error to draw."""
    return accuracy.to_truth is not None or (accuracy.to_fp32 is not None and accuracy.to_fp32.worst_band_rmse > 0)


def _named(engines: Sequence[EngineCheck], what: str) -> list[str]:
    return ["engine", what] if len(engines) > 1 else [what]


def _name(engines: Sequence[EngineCheck], engine: EngineCheck, scene: str) -> list[str]:
    return [escape(engine.label), escape(scene)] if len(engines) > 1 else [escape(scene)]


def _to_fp32(accuracy: SceneAccuracy) -> list[str]:
    lost = str(accuracy.lost_px)
    if accuracy.to_fp32 is None:
        return ["no pixel is left", "", "", lost]
    scores = accuracy.to_fp32
    return [_db(scores.psnr_db), f"{scores.sam_deg:.3g}", _band(scores, accuracy), lost]


def _to_truth(accuracy: SceneAccuracy) -> list[str]:
    scores, loss, change = accuracy.to_truth, accuracy.psnr_loss_db, accuracy.sam_change_percent
    assert scores is not None
    return [
        _db(scores.psnr_db),
        "" if loss is None else f"{loss:+.3f}",
        f"{scores.sam_deg:.3g}",
        "" if change is None else f"{change:+.2f}",
        f"{scores.sam_p95_deg:.3g}",
        _band(scores, accuracy),
        f"{scores.ssim:.4f}",
        f"{scores.ergas:.3g}",
    ]


def _db(value: float) -> str:
    return "exact" if value == float("inf") else f"{value:.2f}"


def _band(scores: Scores, accuracy: SceneAccuracy) -> str:
    known = accuracy.wavelengths_nm
    band = f"{known[scores.worst_band]:.0f} nm" if known else f"band {scores.worst_band}"
    return f"{scores.worst_band_rmse:.3g} ({band})"


def _band_chart(accuracy: SceneAccuracy, label: str) -> str:
    found = {
        "engine to truth": accuracy.to_truth,
        "FP32 to truth": accuracy.fp32_to_truth,
        "engine to FP32": accuracy.to_fp32,
    }
    told = {name: scores for name, scores in found.items() if scores is not None}
    n_bands = len(next(iter(told.values())).rmse_per_band)
    known = accuracy.wavelengths_nm
    axis = np.array(known) if known else np.arange(float(n_bands))
    order = np.argsort(axis, kind="stable")
    lines = [Line(name, axis[order], np.array(scores.rmse_per_band)[order]) for name, scores in told.items()]
    drawing = chart.line_chart(lines, "wavelength (nm)" if known else "band", "RMSE", from_zero=True)
    return card(f"Error per band: {accuracy.scene}{f', {label}' if label else ''}", drawing, list(told))
