"""When a simulated sensor takes its frames, what its clock says, and when they arrive."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hsi_edge.errors import InputError
from hsi_edge.sensors.simulated_faults import Script
from hsi_edge.sensors.stream import Stream

LONGEST_JITTER = 0.5
"""As a part of the period, so that jitter alone never changes the order."""
REPEAT_S = 0.001
"""A repeated or overtaken frame comes so long after the other."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One simulated sensor's rate, clock and transport.

    Attributes:
        fps: Frames per second.
        first_s: When it takes the first, in seconds of the flight.
        offset_s: What its clock says at the start.
        skew_ppm: How much faster than the host's it runs, in parts per million.
        latency_ms: From exposure to arrival at best.
        jitter_ms: Mean of the delay beyond that, exponentially distributed.
    """

    fps: float
    first_s: float = 0.0
    offset_s: float = 0.0
    skew_ppm: float = 0.0
    latency_ms: float = 0.0
    jitter_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise InputError(f"fps is {self.fps}; wanted frames per second, above 0")
        for name in ("first_s", "latency_ms", "jitter_ms"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; wanted 0 or more")

    def taken_s(self, k: int) -> float:
        """When the frame with count `k` is taken, in seconds of the flight."""
        return self.first_s + k / self.fps


@dataclass(frozen=True)
class Delivery:
    """One arrival of a frame: which, when it was taken and when it arrives in seconds of the flight, and its stamp."""

    sequence: int
    taken_s: float
    arrival_s: float
    timestamp_ns: int


class Schedule:
    """All arrivals of one sensor: a pure function of its arguments.

    Args:
        stream: Which sensor.
        timing: Its rate, clock and transport.
        script: What goes wrong.
        seed: Of the jitter.
        end_s: When the flight is over; infinity for never.
    """

    def __init__(self, stream: Stream, timing: Timing, script: Script, seed: int, end_s: float) -> None:
        self._stream = stream
        self._timing = timing
        self._script = script
        self._seed = (seed, 0 if stream == "rgb" else 1)
        self._end_s = end_s

    def deliveries(self, from_s: float = 0.0) -> Iterator[Delivery]:
        """The arrivals of the frames that are taken from a moment on, in their order."""
        k = max(0, math.ceil((from_s - self._timing.first_s) * self._timing.fps - 1e-6))
        while (taken_s := self._timing.taken_s(k)) < self._end_s:
            silent_until_s = self._silent_until_s(taken_s)
            if silent_until_s is None:
                yield from self._arrivals_of(k)
                k += 1
            else:
                k = max(k + 1, math.ceil((silent_until_s - self._timing.first_s) * self._timing.fps - 1e-6))

    def unplugged(self, at_s: float) -> bool:
        """Whether the sensor is not there."""
        return self._script.active(f"{self._stream}_unplugged", at_s) is not None

    def next_unplugged_s(self, after_s: float) -> float:
        """When it is pulled next; infinity if never."""
        return self._script.next_s(f"{self._stream}_unplugged", after_s)

    def _silent_until_s(self, at_s: float) -> float | None:
        faults = (self._script.active(f"{self._stream}_{what}", at_s) for what in ("unplugged", "stall"))
        return max((fault.until_s for fault in faults if fault is not None), default=None)

    def _arrivals_of(self, k: int) -> list[Delivery]:
        delivery = self._delivery(k)
        if delivery is None:
            return []
        if self._script.active(f"{self._stream}_reordered", delivery.taken_s):
            return self._swapped(k, delivery)
        if self._script.active(f"{self._stream}_duplicated", delivery.taken_s):
            return [delivery, replace(delivery, arrival_s=delivery.arrival_s + REPEAT_S)]
        return [delivery]

    def _swapped(self, k: int, delivery: Delivery) -> list[Delivery]:
        """Of frames 2 n and 2 n + 1 nothing at the first, and both at the second."""
        if k % 2 == 0:
            return []
        before = self._delivery(k - 1)
        late = () if before is None else (replace(before, arrival_s=delivery.arrival_s + REPEAT_S),)
        return [delivery, *late]

    def _delivery(self, k: int) -> Delivery | None:
        taken_s = self._timing.taken_s(k)
        timing = self._timing
        jitter_s = np.random.default_rng((*self._seed, k)).exponential(timing.jitter_ms) / 1e3
        arrival_s = taken_s + timing.latency_ms / 1e3 + min(jitter_s, LONGEST_JITTER / timing.fps)
        if stale := self._script.active(f"{self._stream}_stale", taken_s):
            arrival_s += stale.strength / 1e3
            if arrival_s > stale.until_s:  # still on its way when the camera catches up
                return None
        stamp_s = timing.offset_s + taken_s * (1 + timing.skew_ppm * 1e-6)
        if jump := self._script.active(f"{self._stream}_clock_jump", taken_s):
            stamp_s += jump.strength / 1e3
        return Delivery(k, taken_s, arrival_s, round(stamp_s * 1e9))
