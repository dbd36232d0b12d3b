"""The page's sections on power, memory and heat, and on the soak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from hsi_edge.acceptance.drift import Drift
from hsi_edge.acceptance.page import chart
from hsi_edge.acceptance.page.chart import Line
from hsi_edge.acceptance.page.parts import card, table
from hsi_edge.acceptance.result import Curve, EngineCheck, Soak
from hsi_edge.report import page


def power_section(engines: Sequence[EngineCheck]) -> str:
    """Energy, memory, drift, and what the system told meanwhile."""
    numbers = _POWER if any(engine.energy is not None for engine in engines) else _NO_POWER
    body = table(
        ["", *(escape(engine.label) for engine in engines)],
        [[escape(name), *(escape(value(engine)) for engine in engines)] for name, value in (numbers | _MEMORY).items()],
    )
    first = engines[0]
    body += "<h3>Did it slow down?</h3>" + page.facts(_drift_facts(first.drift))
    note = "Energy is all that its rails feed, the machine's own need included. What is not told is left out."
    return page.section("Power, memory, heat", note, f'{body}<div class="spectra">{_curve_charts(first.curves)}</div>')


def soak_section(soak: Soak, drift: Drift) -> str:
    """The long run as curves."""
    latency = soak.latency
    misses = "" if latency.deadline_misses is None else f", {latency.deadline_misses} deadlines missed"
    note = (
        f"{soak.minutes:.3g} minutes, {latency.frames} frames: p50 {latency.p50_ms:.4g} ms, p99 {latency.p99_ms:.4g} "
        f"ms, worst {latency.max_ms:.4g} ms{misses}. The drift above is over this run: {drift.percent:+.1f} percent."
    )
    return page.section("Soak", note, f'<div class="spectra">{_curve_charts(soak.curves)}</div>')


def _energy(engine: EngineCheck, name: str, unit: str) -> str:
    if engine.energy is None:
        return engine.energy_untold
    value = getattr(engine.energy, name)
    return "not measured" if value is None else f"{value:.3g} {unit}"


def _mib(value: float | None, remark: str) -> str:
    if value is None:
        return f"not measured: {remark}"
    return f"{value / (1 << 20):.4g} MiB{f' ({remark})' if remark else ''}"


_POWER: dict[str, Callable[[EngineCheck], str]] = {
    "energy per frame": lambda e: _energy(e, "per_frame_j", "J"),
    "energy per frame above idle": lambda e: _energy(e, "above_idle_j", "J"),
    "power while frames ran": lambda e: _energy(e, "power_w", "W"),
    "power while idle, before": lambda e: _energy(e, "idle_w", "W"),
    "these contain": lambda e: e.energy_untold if e.energy is None else e.energy.contains,
}
_NO_POWER: dict[str, Callable[[EngineCheck], str]] = {"energy and power": lambda e: e.energy_untold}
_MEMORY: dict[str, Callable[[EngineCheck], str]] = {
    "peak memory of the process": lambda e: _mib(e.memory.peak_bytes, e.memory.peak_remark),
    "growth of the process's memory": lambda e: _mib(e.memory.growth_bytes, e.memory.growth_remark),
    "peak memory of the GPU, all programs": lambda e: _mib(e.memory.gpu_bytes, e.memory.gpu_remark),
}


def _drift_facts(drift: Drift) -> dict[str, str]:
    words = {
        True: "yes: frames became slower while clocks fell or were held down",
        False: "no",
        None: "frames became slower, and the system tells nothing of its clocks",
    }
    return {"throttled": words[drift.throttled], "evidence": "; ".join(drift.evidence)}


def _curve_charts(curves: Sequence[Curve]) -> str:
    """One drawing for each group of curves of one unit, at most `chart.COLOURS` in each."""
    by_unit: dict[str, list[Curve]] = {}
    for curve in curves:
        by_unit.setdefault(curve.unit, []).append(curve)
    cards = ""
    for unit, group in by_unit.items():
        for start in range(0, len(group), chart.COLOURS):
            part = group[start : start + chart.COLOURS]
            lines = [Line(curve.name, np.array(curve.times_s), np.array(curve.values)) for curve in part]
            drawing = chart.line_chart(lines, "time (s)", unit, from_zero=unit in ("ms", "W", "MiB"))
            cards += card(_TITLES.get(unit, unit), drawing, [curve.name for curve in part])
    return cards


_TITLES = {"ms": "Latency", "W": "Power", "°C": "Temperature", "MHz": "Clocks", "MiB": "Memory"}
