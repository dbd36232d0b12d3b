"""Runs as curves of few points, fit for a page and for a reader."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hsi_edge.acceptance.latency import Run
from hsi_edge.acceptance.result import Curve
from hsi_edge.acceptance.telemetry import Kind, Signal
from hsi_edge.acceptance.telemetry.sampler import Float, Sampler

POINTS = 240
"""At most, in a curve."""
LATENCY_MEDIAN, LATENCY_WORST = "latency, median", "latency, worst"
_UNITS: dict[Kind, tuple[str, float]] = {
    "power_w": ("W", 1.0),
    "energy_j": ("W", 1.0),
    "temperature_c": ("°C", 1.0),
    "clock_mhz": ("MHz", 1.0),
    "process_bytes": ("MiB", 1 / (1 << 20)),
    "gpu_bytes": ("MiB", 1 / (1 << 20)),
}


def latency_curves(run: Run) -> tuple[Curve, ...]:
    """The median and the worst latency of each stretch of a run."""
    times, latencies = np.array(run.starts_s) - run.span[0], np.array(run.latencies_ms)
    kinds: dict[str, Callable[[Float], float]] = {LATENCY_MEDIAN: _median, LATENCY_WORST: _largest}
    return tuple(_curve(name, "ms", times, latencies, by) for name, by in kinds.items())


def signal_curves(run: Run, sampler: Sampler) -> tuple[Curve, ...]:
    """What the system told during a run; a counter of energy is shown as power."""
    found = []
    for kind, (unit, scale) in _UNITS.items():
        for signal in sampler.signals(kind):
            times, values = _within(run, sampler, signal)
            if kind == "energy_j" and times.size > 1:
                times, values = (times[1:] + times[:-1]) / 2, np.diff(values) / np.diff(times)
            if times.size > 1:
                found.append(_curve(signal.part, unit, times - run.span[0], values * scale, _median))
    return tuple(found)


def growth_bytes(run: Run, sampler: Sampler) -> float | None:
    """Growth of the process's memory from the first fifth of a run to the last; None where it is not told."""
    for signal in sampler.signals("process_bytes"):
        _, values = _within(run, sampler, signal)
        if values.size >= 5:
            fifth = values.size // 5
            return float(np.median(values[-fifth:]) - np.median(values[:fifth]))
    return None


def _within(run: Run, sampler: Sampler, signal: Signal) -> tuple[Float, Float]:
    times, values = sampler.series(signal)
    inside = (times >= run.span[0]) & (times <= run.span[1])
    return times[inside], values[inside]


def _curve(name: str, unit: str, times: Float, values: Float, by: Callable[[Float], float]) -> Curve:
    groups = np.array_split(np.arange(times.size), min(POINTS, times.size))
    return Curve(
        name=name,
        unit=unit,
        times_s=tuple(float(np.median(times[group])) for group in groups),
        values=tuple(by(values[group]) for group in groups),
    )


def _median(values: Float) -> float:
    return float(np.median(values))


def _largest(values: Float) -> float:
    return float(values.max())
