"""Whether frames became slower during a run, and what else changed with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_edge.acceptance.latency import Run
from hsi_edge.acceptance.telemetry import Signal
from hsi_edge.acceptance.telemetry.sampler import Float, Sampler

SLOWER_PERCENT = 5.0
"""From where on a drift is told of as one; smaller ones are common on any busy machine."""
_FELL_PERCENT = 3.0
_WARMER_C = 5.0
_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the latency moved over a run.

    Attributes:
        percent: Change over the run by the Theil-Sen slope (the median of the slopes between all pairs of points).
        ends_percent: Median of the last fifth of the frames against that of the first fifth.
        throttled: Whether frames became slower and the system told of clocks that fell or were held down meanwhile;
            None where frames became slower and the system told nothing of its clocks.
        evidence: What was seen, in words.
    """

    percent: float
    ends_percent: float
    throttled: bool | None
    evidence: tuple[str, ...]

    @property
    def slower_percent(self) -> float:
        """How much slower frames became by the measure that sees less of it: one alone is easily fooled."""
        return min(self.percent, self.ends_percent)


def drift_of(run: Run, sampler: Sampler) -> Drift:
    """Judge a run's latency against its own beginning.

    Each frame is taken relative to its scene's median, so that scenes of different sizes do not look like a drift.
    Frames are slower only if both measures say so: the slope over all of them, and the last fifth against the first.
    """
    times, relative = np.array(run.starts_s), _relative(run)
    percent = 100 * _slope(times, relative) * float(times[-1] - times[0])
    first, last = _ends(relative)
    ends_percent = 100 * (float(np.median(last)) / float(np.median(first)) - 1)
    slower = bool(min(percent, ends_percent) > SLOWER_PERCENT)
    clocks = _clock_evidence(run, sampler)
    evidence = (
        f"latency {percent:+.1f} percent over the run by its robust slope",
        f"latency of the last fifth of the frames {ends_percent:+.1f} percent against the first fifth",
        *(clocks.words or ("the system tells nothing of its clocks",)),
        *_temperature_evidence(run, sampler),
    )
    throttled = None if slower and not clocks.words else slower and clocks.fell
    return Drift(percent=percent, ends_percent=ends_percent, throttled=throttled, evidence=evidence)


@dataclass(frozen=True)
class _Clocks:
    fell: bool
    words: tuple[str, ...]


def _clock_evidence(run: Run, sampler: Sampler) -> _Clocks:
    fell, words = False, []
    for signal in sampler.signals("clock_mhz"):
        ends = _signal_ends(run, sampler, signal)
        if ends is not None:
            change = 100 * (ends[1] / max(ends[0], 1e-9) - 1)
            fell |= bool(change < -_FELL_PERCENT)
            words.append(f"clock of {signal.part} {ends[0]:.0f} to {ends[1]:.0f} MHz ({change:+.1f} percent)")
    for signal in sampler.signals("throttled"):
        held = sampler.within(signal, run.span)
        if held.size:
            fell |= bool(held.any())
            words.append(
                f"{signal.part} says that it held its clocks down in {100 * held.mean():.0f} percent of the run"
            )
    for signal in sampler.signals("throttle_count"):
        counts = sampler.within(signal, run.span)
        if counts.size:
            fell |= bool(counts[-1] > counts[0])
            words.append(f"{signal.part} counted {counts[-1] - counts[0]:.0f} throttling events")
    return _Clocks(fell, tuple(words))


def _temperature_evidence(run: Run, sampler: Sampler) -> list[str]:
    words = []
    for signal in sampler.signals("temperature_c"):
        ends = _signal_ends(run, sampler, signal)
        if ends is not None and ends[1] - ends[0] >= _WARMER_C:
            words.append(f"temperature of {signal.part} {ends[0]:.0f} to {ends[1]:.0f} °C")
    return words


def _signal_ends(run: Run, sampler: Sampler, signal: Signal) -> tuple[float, float] | None:
    values = sampler.within(signal, run.span)
    if values.size < 5:
        return None
    first, last = _ends(values)
    return float(np.median(first)), float(np.median(last))


def _ends(values: Float) -> tuple[Float, Float]:
    fifth = max(1, len(values) // 5)
    return values[:fifth], values[-fifth:]


def _relative(run: Run) -> Float:
    latencies, scenes = np.array(run.latencies_ms), np.array(run.scenes)
    relative = np.empty_like(latencies)
    for scene in np.unique(scenes):
        here = scenes == scene
        relative[here] = latencies[here] / np.median(latencies[here])
    return relative


def _slope(times: Float, values: Float) -> float:
    """Theil-Sen over at most `_POINTS` medians: as robust, and the pairs stay few."""
    groups = np.array_split(np.arange(len(times)), min(_POINTS, len(times)))
    x = np.array([np.median(times[group]) for group in groups])
    y = np.array([np.median(values[group]) for group in groups])
    first, second = np.triu_indices(len(x), k=1)
    apart = x[second] - x[first]
    slopes = (y[second] - y[first])[apart > 0] / apart[apart > 0]
    return float(np.median(slopes)) if slopes.size else 0.0
