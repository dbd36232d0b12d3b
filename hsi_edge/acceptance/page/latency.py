"""The page's section on latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from hsi_edge.acceptance.page import chart
from hsi_edge.acceptance.page.chart import Line
from hsi_edge.acceptance.page.parts import card, table
from hsi_edge.acceptance.result import UNTOLD, EngineCheck
from hsi_edge.report import page


def latency_section(engines: Sequence[EngineCheck]) -> str:
    """Percentiles, the start, the engine's own stages, and the frames one by one."""
    names = [escape(engine.label) for engine in engines]
    body = table(
        ["", *names], [[escape(name), *(value(e) for e in engines)] for name, value in _LATENCY.items()], words=1
    )
    stages = dict.fromkeys(stage for engine in engines for stage in engine.latency.stages_ms)
    body += "<h3>The engine's own stages, median and p99</h3>" + table(
        ["stage", *names],
        [[escape(stage), *(_stage(engine, stage) for engine in engines)] for stage in stages],
        words=1,
    )
    period = engines[0].latency.fps
    limits = {} if period is None else {f"deadline at {period:g} per second": 1000 / period}
    lines = [Line(e.label, np.arange(1.0, e.latency.frames + 1), np.array(e.run.latencies_ms)) for e in engines]
    labels = [engine.label for engine in engines]
    over = chart.line_chart(lines, "frame", "latency (ms)", limits=limits, from_zero=True)
    marks = {"p50": engines[0].latency.p50_ms, "p99": engines[0].latency.p99_ms}
    spread = chart.distribution({e.label: e.run.latencies_ms for e in engines}, "latency (ms)", marks=marks)
    shown = labels if len(labels) > 1 else []
    charts = card("Latency, frame by frame", over, shown) + card("How often each latency came", spread, shown)
    note = (
        f"From the call with a frame pair in memory to its result in memory, every copy included. {engines[0].frames}. "
        "A percentile is a latency that was measured, not one computed between two."
    )
    return page.section("Latency", note, f'{body}<div class="spectra">{charts}</div>')


def _ms(value: float | None, untold: str = UNTOLD) -> str:
    return untold if value is None else page.milliseconds(value)


def _misses(engine: EngineCheck) -> str:
    latency = engine.latency
    if latency.deadline_misses is None:
        return "no frame rate given"
    return f"{latency.deadline_misses} of {latency.frames} at {latency.fps:g} per second"


def _stage(engine: EngineCheck, stage: str) -> str:
    told = engine.latency.stages_ms.get(stage)
    return "" if told is None else f"{page.milliseconds(told[0])}, {page.milliseconds(told[1])}"


_LATENCY: dict[str, Callable[[EngineCheck], str]] = {
    "median (p50)": lambda e: _ms(e.latency.p50_ms),
    "p90": lambda e: _ms(e.latency.p90_ms),
    "p95": lambda e: _ms(e.latency.p95_ms),
    "p99": lambda e: _ms(e.latency.p99_ms),
    "p99.9": lambda e: _ms(e.latency.p999_ms) + (" (= worst)" if e.latency.p999_ms == e.latency.max_ms else ""),
    "worst": lambda e: _ms(e.latency.max_ms),
    "mean": lambda e: _ms(e.latency.mean_ms),
    "jitter: standard deviation": lambda e: _ms(e.latency.jitter_ms),
    "jitter: p99 less p50": lambda e: _ms(e.latency.spread_ms),
    "deadlines missed": _misses,
    "host's part, median": lambda e: _ms(e.latency.host_ms, "not told by this backend"),
    "device's part, median": lambda e: _ms(e.latency.device_ms, "not told by this backend"),
    "first frame after opening": lambda e: _ms(e.opening.first_frame_ms),
    "opening": lambda e: _ms(e.opening.open_ms),
    "very first opening on this device": lambda e: _ms(e.opening.first_open_ms, "was before this check"),
}
