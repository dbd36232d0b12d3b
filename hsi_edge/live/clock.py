"""A sensor's clock, brought to the host's from no more than the frames' time stamps and their times of arrival.

A frame arrives after it was taken: its arrival is its time in the host's clock plus a delay that is never negative and
now and then nearly as short as it gets. So the host's time is a line below all points (time stamp, arrival): of all
such lines the one whose summed delays are least, which is the edge of the points' lower convex hull at their mean time
(Zhang, Liu, Xia, "Clock synchronization algorithms for network measurements", INFOCOM 2002; Olson, "A passive solution
to the sensor synchronization problem", IROS 2010, bounds the drift likewise). The shortest delay itself cannot be told
from the clock's offset: it is a constant of the sensor, and a setting.
"""

from __future__ import annotations

import itertools
import statistics
from collections import deque

MAX_SKEW = 300e-6
"""Quartz clocks run within 100 parts in a million of the truth; two of them, with some reserve."""
SLOT_NS = 2_000_000_000
SLOTS = 60
"""The line follows the drift of the last two minutes: of each slot, its promptest frame."""
STEPS = 9
"""The sensor's period is the median of so many steps."""
FEWEST_STEPS = 3

Point = tuple[int, int]
"""Time stamp and delay, both since the model's first frame, in nanoseconds."""


class ClockModel:
    """Maps one sensor's time stamps to the host's time, frame by frame.

    The first frame is taken to have come without delay. From then on the offset is that of the promptest frames, and
    the skew, at most `MAX_SKEW`, is theirs too. A host time, once told, stays: later frames do not correct it.

    A step of the clock makes the model start anew. A late frame is no such step: its time stamp follows the one before
    by the sensor's period, and its arrival does not. However long frames stay late, their time moves towards that of
    their arrival by no more than `MAX_SKEW`: a camera that begins to lag does not come to look prompt.

    Args:
        latency_ms: From exposure to arrival at best, which no time stamp tells.
        jump_ms: Differences between clock and arrival up to this one are delay, not a step of the clock.

    Attributes:
        jumps: How often the clock stepped.
    """

    def __init__(self, latency_ms: float = 0.0, jump_ms: float = 100.0) -> None:
        self._latency_ns = round(latency_ms * 1e6)
        self._jump_ns = round(jump_ms * 1e6)
        self.jumps = 0
        self._start_anew()

    def _start_anew(self) -> None:
        self._origin: tuple[int, int] | None = None
        self._last = (0, 0, 0)
        self._slots: deque[Point] = deque(maxlen=SLOTS)
        self._periods: deque[float] = deque(maxlen=STEPS)
        self._skew, self._offset_ns = 0.0, 0.0
        self._told = (0, 0.0)

    def host_time_ns(self, timestamp_ns: int, arrival_ns: int, sequence: int) -> int:
        """When a frame was taken, in the host's time: never later than it arrived.

        Args:
            timestamp_ns: By the sensor's clock.
            arrival_ns: By the host's.
            sequence: The sensor's count, by which lost frames are told from a step of the clock.
        """
        if self._origin is not None and self._stepped(timestamp_ns, arrival_ns, sequence):
            # A lone frame before says nothing of the clock: it may have been late, as a sensor's first one often is.
            self.jumps += bool(self._periods)
            self._start_anew()
        if self._origin is None:
            self._origin = (timestamp_ns, arrival_ns)
        else:
            self._learn_period(timestamp_ns, sequence)
        self._last = (timestamp_ns, arrival_ns, sequence)
        point = self._point(timestamp_ns, arrival_ns)
        if self._add(point):
            self._fit()
        self._told = (point[0], self._drift(point[0]))
        return self._origin[1] + point[0] + round(self._told[1]) - self._latency_ns

    def _point(self, timestamp_ns: int, arrival_ns: int) -> Point:
        assert self._origin is not None
        since = timestamp_ns - self._origin[0]
        return since, arrival_ns - self._origin[1] - since

    def _line(self, since_ns: int) -> float:
        return self._offset_ns + self._skew * since_ns

    def _drift(self, since_ns: int) -> float:
        """The line, but for a rise that no skew makes."""
        return min(self._line(since_ns), self._told[1] + MAX_SKEW * (since_ns - self._told[0]))

    def _stepped(self, timestamp_ns: int, arrival_ns: int, sequence: int) -> bool:
        step, arrival_step = timestamp_ns - self._last[0], arrival_ns - self._last[1]
        if step <= 0:
            return True
        if abs(arrival_step - step) <= self._jump_ns:
            return False
        since, delay = self._point(timestamp_ns, arrival_ns)
        if arrival_step < step:  # else the frame before was late
            return delay < self._drift(since) - self._jump_ns
        return self._is_off_beat(step, sequence - self._last[2])

    def _is_off_beat(self, step: int, frames: int) -> bool:
        if frames < 1 or len(self._periods) < FEWEST_STEPS:
            return False
        return abs(step - frames * statistics.median(self._periods)) > self._jump_ns / 2

    def _learn_period(self, timestamp_ns: int, sequence: int) -> None:
        if (frames := sequence - self._last[2]) > 0:
            self._periods.append((timestamp_ns - self._last[0]) / frames)

    def _add(self, point: Point) -> bool:
        """Keep the promptest frame of each slot; whether this one is it."""
        if not self._slots or point[0] // SLOT_NS != self._slots[-1][0] // SLOT_NS:
            self._slots.append(point)
        elif point[1] - self._line(point[0]) < self._slots[-1][1] - self._line(self._slots[-1][0]):
            self._slots[-1] = point
        else:
            return False
        return True

    def _fit(self) -> None:
        hull = lower_hull(self._slots)
        mean = sum(since for since, _ in self._slots) / len(self._slots)
        slope = 0.0
        for (x0, y0), (x1, y1) in itertools.pairwise(hull):
            slope = (y1 - y0) / (x1 - x0)
            if x1 >= mean:
                break
        # The sum of delays is a convex function of the slope, so the best one allowed is the nearest to the best.
        self._skew = min(max(slope, -MAX_SKEW), MAX_SKEW)
        self._offset_ns = min(y - self._skew * x for x, y in hull)


def lower_hull(points: deque[Point]) -> list[Point]:
    """The lower convex hull of points with ascending x (Andrew's monotone chain, 1979)."""
    hull: list[Point] = []
    for x, y in points:
        while len(hull) > 1 and _is_above(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    return hull


def _is_above(left: Point, middle: Point, right: Point) -> bool:
    rise, run = right[1] - left[1], right[0] - left[0]
    return (middle[1] - left[1]) * run >= rise * (middle[0] - left[0])
