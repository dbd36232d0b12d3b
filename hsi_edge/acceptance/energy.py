"""Energy from sampled power or counters: of all frames, and what of it the machine takes while it waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hsi_edge.acceptance.telemetry import Rail, Signal
from hsi_edge.acceptance.telemetry.sampler import INTERVAL_S, Float, Sampler, Span

SHORTEST_S = 5 * INTERVAL_S
"""Of a span: power is read so seldom that what came just before and after it would be counted in."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What the frames took.

    Attributes:
        per_frame_j: Over the frames' whole time, the machine's own need included; with a frame rate given, the waiting
            between frames too.
        above_idle_j: The same less what the machine took while it waited before; None where that was not measured.
        power_w: Mean over the frames' time.
        idle_w: Mean while the machine waited before, with the engine open.
        contains: What is in it, in words.
        samples: Readings that it rests on.
    """

    per_frame_j: float
    above_idle_j: float | None
    power_w: float
    idle_w: float | None
    contains: str
    samples: int


def energy_of(
    sampler: Sampler, rails: Mapping[str, Rail], spans: Sequence[Span], n_frames: int, idle: Span | None
) -> Energy | None:
    """The energy of frames that ran within spans of time; None where no rail was told of, or a span was too short."""
    signals = [signal for part in rails if (signal := _signal(sampler, part)) is not None]
    if not signals or n_frames == 0:
        return None
    if min(end - start for start, end in spans) < SHORTEST_S:
        return None
    samples = min(sum(len(sampler.within(signal, span)) for span in spans) for signal in signals)
    if samples < 2:
        return None
    total = sum(_joules(sampler, signal, spans) for signal in signals)
    seconds = sum(end - start for start, end in spans)
    idle_w = None
    if idle is not None:
        idle_w = sum(_joules(sampler, signal, [idle]) for signal in signals) / (idle[1] - idle[0])
    return Energy(
        per_frame_j=total / n_frames,
        above_idle_j=None if idle_w is None else (total - idle_w * seconds) / n_frames,
        power_w=total / seconds,
        idle_w=idle_w,
        contains="; ".join(rails[signal.part].contains for signal in signals),
        samples=samples,
    )


def _signal(sampler: Sampler, part: str) -> Signal | None:
    """A counter misses nothing between two readings, so it goes before the power."""
    counted, power = Signal("energy_j", part), Signal("power_w", part)
    if counted in sampler.signals("energy_j"):
        return counted
    return power if power in sampler.signals("power_w") else None


def _joules(sampler: Sampler, signal: Signal, spans: Sequence[Span]) -> float:
    times, values = sampler.series(signal)
    if signal.kind == "power_w":
        values = _integral(times, values)
    ends = np.interp(np.array(spans), times, values)
    return float((ends[:, 1] - ends[:, 0]).sum())


def _integral(times: Float, values: Float) -> Float:
    steps = np.diff(times) * (values[1:] + values[:-1]) / 2
    integral: Float = np.concatenate([[0.0], np.cumsum(steps)])
    return integral
