"""The way from the sensors to the engine: arrivals in order, paired, and a short queue of pairs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.pair import Pair
from hsi_edge.live.pairing import Intake, IntakeCounts, StreamCounts
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream

Policy = Literal["newest", "lossless"]
"""What happens to a pair that finds the queue full: the oldest one is skipped, or its sensor has to wait."""
LONGEST_WAIT_S = 0.1


@dataclass(frozen=True, eq=False)
class Taken:
    """A pair from the queue; `first` where it is the first one since the feed began anew."""

    pair: Pair
    first: bool


class Feed:
    """Takes frames from any thread, gives pairs to one.

    Args:
        intake: Makes the object that pairs frames; called again by `begin_anew`.
        policy: When the queue is full.
        length: Of the queue.
        live: Whether frames arrive now; otherwise they say themselves when they did, and nothing waits for the clock.

    Attributes:
        arrived: Told of every frame in the order in which the intake gets them (the recorder's).
        skipped: Pairs that a newer one overtook.
    """

    def __init__(
        self,
        intake: Callable[[], Intake],
        *,
        policy: Policy,
        length: int,
        live: bool = True,
    ) -> None:
        self._new_intake = intake
        self._intake = intake()
        self._before = IntakeCounts(rgb=StreamCounts(), spectral=StreamCounts(), unpaired_rgb=0, unpaired_spectral=0)
        self._policy = policy
        self._length = length
        self._live = live
        self._queue: deque[Taken] = deque()
        self._first = True
        self._ended: set[Stream] = set()
        self._closed = False
        self._changed = threading.Condition()
        self.arrived: Callable[[Stream, SensorFrame], None] = lambda stream, frame: None
        self.skipped = 0

    def arrive(self, stream: Stream, frame: SensorFrame) -> None:
        """Take a frame from its sensor. Live, its time of arrival is set here, so that their order is that of calls."""
        with self._changed:
            while self._policy == "lossless" and len(self._queue) >= self._length and not self._closed:
                self._changed.wait(LONGEST_WAIT_S)
            if self._closed:
                return
            if self._live:
                frame = replace(frame, arrival_ns=host_time_ns())
            self.arrived(stream, frame)
            self._put(self._intake.arrive(stream, frame))

    def end(self, stream: Stream) -> None:
        """Say that a sensor has no more frames.

        The last spectral frames still wait for the RGB frames that come, as they do when a recording of them is played.
        """
        with self._changed:
            self._ended.add(stream)
            last = self._ended == {"rgb", "spectral"} or not self._live
            if "spectral" in self._ended and last and not self._closed:
                self._put(self._intake.finish())
            self._changed.notify_all()

    def begin_anew(self, then: Callable[[], None]) -> None:
        """Forget the clocks, and do something before the next frame arrives; frames that wait are not waited for.

        A recording that starts then holds all that the results of its frames depend on.
        """
        with self._changed:
            self._put(self._intake.finish())
            self._before = self.counts
            self._intake = self._new_intake()
            self._first = True
            then()

    def take(self) -> Taken | None:
        """Wait for the next pair; None when the spectral sensor has ended, or the feed was closed."""
        with self._changed:
            while not self._queue:
                if self._closed or ("spectral" in self._ended and self._intake.next_due_ns is None):
                    return None
                self._wait()
            taken = self._queue.popleft()
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """End it: nobody waits any more."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()

    @property
    def live(self) -> bool:
        """Whether frames arrive now."""
        return self._live

    @property
    def counts(self) -> IntakeCounts:
        """What came, was refused and found no partner."""
        return _sum(self._before, self._intake.counts)

    @property
    def waiting(self) -> int:
        """Pairs in the queue."""
        return len(self._queue)

    def _wait(self) -> None:
        """Until something changes, or a frame has waited long enough for its partner."""
        due = self._intake.next_due_ns if self._live else None
        if due is None:
            self._changed.wait(LONGEST_WAIT_S)
        elif (now := host_time_ns()) < due:
            self._changed.wait(min(LONGEST_WAIT_S, (due - now) / 1e9))
        else:
            self._put(self._intake.wake(now))

    def _put(self, pairs: list[Pair]) -> None:
        for pair in pairs:
            self._queue.append(Taken(pair, self._first))
            self._first = False
            if self._policy == "newest" and len(self._queue) > self._length:
                skipped = self._queue.popleft()
                self.skipped += 1
                if skipped.first:
                    self._queue[0] = replace(self._queue[0], first=True)
        if pairs:
            self._changed.notify_all()


def _sum(one: IntakeCounts, other: IntakeCounts) -> IntakeCounts:
    return IntakeCounts(
        rgb=_stream_sum(one.rgb, other.rgb),
        spectral=_stream_sum(one.spectral, other.spectral),
        unpaired_rgb=one.unpaired_rgb + other.unpaired_rgb,
        unpaired_spectral=one.unpaired_spectral + other.unpaired_spectral,
    )


def _stream_sum(one: StreamCounts, other: StreamCounts) -> StreamCounts:
    return StreamCounts(
        frames=one.frames + other.frames,
        lost=one.lost + other.lost,
        refused=one.refused + other.refused,
        clock_jumps=one.clock_jumps + other.clock_jumps,
    )
