"""A gate judged, limit by limit: what was wanted, what was measured, and whether it passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Literal

from hsi_edge.acceptance.accuracy import SceneAccuracy
from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.result import EngineCheck

Outcome = Literal["passed", "failed", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One line of the gate, judged.

    Attributes:
        gate: Its key in the file.
        what: The same in words.
        wanted: In words, with the unit.
        measured: In words, with the unit; why there is no number, where there is none.
        outcome: What is not measured does not pass.
    """

    gate: str
    what: str
    wanted: str
    measured: str
    outcome: Outcome


@dataclass(frozen=True)
class _Number:
    """Where a gate's number comes from: a value and a remark, or why there is none."""

    value: float | None
    remark: str = ""


@dataclass(frozen=True)
class _Line:
    what: str
    unit: str
    number: Callable[[EngineCheck], _Number]


def judge(gate: Gate, check: EngineCheck) -> tuple[Verdict, ...]:
    """Judge every limit of a gate that is not None, and that no pixel is lost."""
    judged = [_lost(check)]
    for field in fields(gate):
        limit = getattr(gate, field.name)
        if field.name == "no_fallback":
            judged += [_fallback(check)] if limit else []
        elif limit is not None:
            judged.append(_verdict(field.name, float(limit), _LINES[field.name], check))
    return tuple(judged)


def scene_failures(gate: Gate, accuracy: SceneAccuracy) -> list[str]:
    """What of one scene does not meet the gate's limits of accuracy, in words."""
    failures = [f"{accuracy.lost_px} pixels are NaN or infinite that FP32 computed"] if accuracy.lost_px else []
    for key, (what, unit, value) in _ACCURACY.items():
        limit, measured = getattr(gate, key), value(accuracy)
        if limit is not None and measured is not None and not _meets(key, measured, limit):
            failures.append(f"{what} is {_text(measured, unit)}; wanted {_wanted(key, limit, unit)}")
    return failures


def _verdict(key: str, limit: float, line: _Line, check: EngineCheck) -> Verdict:
    number = line.number(check)
    wanted = _wanted(key, limit, line.unit)
    if number.value is None:
        measured = f"not measured: {number.remark}"
        return Verdict(gate=key, what=line.what, wanted=wanted, measured=measured, outcome="not measured")
    remark = f" ({number.remark})" if number.remark else ""
    return Verdict(
        gate=key,
        what=line.what,
        wanted=wanted,
        measured=f"{_text(number.value, line.unit)}{remark}",
        outcome="passed" if _meets(key, number.value, limit) else "failed",
    )


def _meets(key: str, value: float, limit: float) -> bool:
    """NaN meets nothing."""
    return value >= limit if key.startswith("min_") else value <= limit


def _wanted(key: str, limit: float, unit: str) -> str:
    return f"{'at least' if key.startswith('min_') else 'at most'} {_text(limit, unit)}"


def _text(value: float, unit: str) -> str:
    return f"{'infinite' if value == math.inf else f'{value:.4g}'} {unit}"


def _lost(check: EngineCheck) -> Verdict:
    lost = {accuracy.scene: accuracy.lost_px for accuracy in check.accuracy if accuracy.lost_px}
    measured = ", ".join(f"{px} in {scene}" for scene, px in lost.items()) or "none"
    return Verdict(
        gate="no_lost_pixels",
        what="pixels lost to NaN or infinity",
        wanted="none",
        measured=measured,
        outcome="failed" if lost else "passed",
    )


def _fallback(check: EngineCheck) -> Verdict:
    return Verdict(
        gate="no_fallback",
        what="the engine that was asked for ran",
        wanted="no fallback",
        measured=check.fallback or f"{check.backend} {check.precision} ran",
        outcome="failed" if check.fallback else "passed",
    )


def _worst(key: str) -> Callable[[EngineCheck], _Number]:
    """The worst of the scenes that have the number."""
    value = _ACCURACY[key][2]

    def number(check: EngineCheck) -> _Number:
        found = [(number, a.scene) for a in check.accuracy if (number := value(a)) is not None]
        if not found:
            return _Number(
                None, "no scene tells it" if key == "min_psnr_to_fp32_db" else "no scene has a truth (hr_hsi)"
            )
        # What is no number at all is the worst; comparisons would skip it.
        lacking = [one for one in found if math.isnan(one[0])]
        worst, scene = lacking[0] if lacking else (min if key.startswith("min_") else max)(found)
        return _Number(worst, f"worst of {len(found)}: {scene}" if len(found) > 1 else scene)

    return number


def _mean_loss_db(scenes: list[SceneAccuracy]) -> float:
    return fmean(loss for scene in scenes if (loss := scene.psnr_loss_db) is not None)


def _mean_sam_change_percent(scenes: list[SceneAccuracy]) -> float:
    angles = [(a.to_truth.sam_deg, a.fp32_to_truth.sam_deg) for a in scenes if a.to_truth and a.fp32_to_truth]
    ours, fp32s = (fmean(side) for side in zip(*angles, strict=True))
    return 100 * (ours / fp32s - 1) if fp32s else 0.0


def _mean(mean: Callable[[list[SceneAccuracy]], float], key: str) -> Callable[[EngineCheck], _Number]:
    """A mean over the scenes with a truth, with the worst of them, which has its own `key`, as the remark."""
    unit = _ACCURACY[key][1]

    def number(check: EngineCheck) -> _Number:
        known = [accuracy for accuracy in check.accuracy if accuracy.psnr_loss_db is not None]
        worst = _worst(key)(check)
        if not known or worst.value is None:
            return _Number(None, "no scene has a truth (hr_hsi)")
        return _Number(mean(known), f"mean over {len(known)}; {_text(worst.value, unit)}, {worst.remark}")

    return number


def _to_truth(name: str) -> Callable[[SceneAccuracy], float | None]:
    return lambda accuracy: None if accuracy.to_truth is None else float(getattr(accuracy.to_truth, name))


_ACCURACY: dict[str, tuple[str, str, Callable[[SceneAccuracy], float | None]]] = {
    "max_psnr_loss_db": ("PSNR lost to FP32, against the truth", "dB", lambda a: a.psnr_loss_db),
    "max_sam_change_percent": ("change of the spectral angle to FP32's", "percent", lambda a: a.sam_change_percent),
    "min_psnr_to_fp32_db": ("PSNR against FP32", "dB", lambda a: None if a.to_fp32 is None else a.to_fp32.psnr_db),
    "min_psnr_db": ("PSNR against the truth", "dB", _to_truth("psnr_db")),
    "max_sam_deg": ("mean spectral angle to the truth", "degrees", _to_truth("sam_deg")),
}


def _misses(check: EngineCheck) -> _Number:
    latency = check.latency
    remark = (
        f"of {latency.frames} at {latency.fps:g} frames per second"
        if latency.fps
        else "no frame rate was given (--fps)"
    )
    return _Number(latency.deadline_misses, remark)


def _mib(n_bytes: float | None, remark: str) -> _Number:
    return _Number(None if n_bytes is None else n_bytes / (1 << 20), remark)


def _growth(check: EngineCheck) -> _Number:
    over = "over the soak" if check.soak is not None else "over the measured frames"
    number = _mib(check.memory.growth_bytes, check.memory.growth_remark)
    return _Number(number.value, number.remark or over)


def _energy(check: EngineCheck) -> _Number:
    if check.energy is None:
        return _Number(None, check.energy_untold)
    return _Number(check.energy.per_frame_j, check.energy.contains)


def _drift(check: EngineCheck) -> _Number:
    over = "the soak" if check.soak is not None else f"{check.latency.frames} frames"
    return _Number(check.drift.slower_percent, f"over {over}")


_LINES: dict[str, _Line] = {
    "max_mean_psnr_loss_db": _Line(
        "PSNR lost to FP32, against the truth, mean", "dB", _mean(_mean_loss_db, "max_psnr_loss_db")
    ),
    "max_mean_sam_change_percent": _Line(
        "change of the spectral angle to FP32's, mean",
        "percent",
        _mean(_mean_sam_change_percent, "max_sam_change_percent"),
    ),
    **{key: _Line(what, unit, _worst(key)) for key, (what, unit, _) in _ACCURACY.items()},
    "max_p50_ms": _Line("latency, median", "ms", lambda c: _Number(c.latency.p50_ms, f"{c.latency.frames} frames")),
    "max_p99_ms": _Line(
        "latency, 99th percentile", "ms", lambda c: _Number(c.latency.p99_ms, f"{c.latency.frames} frames")
    ),
    "max_deadline_misses": _Line("deadlines missed", "frames", _misses),
    "max_first_frame_ms": _Line("first frame after opening", "ms", lambda c: _Number(c.opening.first_frame_ms)),
    "max_open_ms": _Line("opening", "ms", lambda c: _Number(c.opening.open_ms)),
    "max_peak_memory_mb": _Line(
        "peak memory of the process", "MiB", lambda c: _mib(c.memory.peak_bytes, c.memory.peak_remark)
    ),
    "max_gpu_memory_mb": _Line(
        "peak memory of the GPU", "MiB", lambda c: _mib(c.memory.gpu_bytes, c.memory.gpu_remark)
    ),
    "max_memory_growth_mb": _Line("growth of the process's memory", "MiB", _growth),
    "max_energy_j": _Line("energy per frame", "J", _energy),
    "max_drift_percent": _Line("drift of the latency", "percent", _drift),
}
