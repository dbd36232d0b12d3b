"""One sensor's thread: reads frame after frame, for as long as there are any."""

from __future__ import annotations

import logging
import threading
from collections import deque

from hsi_edge.errors import HSIEdgeError, SensorEnded, SensorTimeout
from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.failure import failure
from hsi_edge.live.feed import Feed
from hsi_edge.live.pairing import StreamCounts
from hsi_edge.live.status import StreamState, StreamStatus
from hsi_edge.sensors.reopening import Reopening
from hsi_edge.sensors.stream import Stream

_log = logging.getLogger(__name__)
TIMEOUT_S = 0.2
RATE_FRAMES = 30
SILENT_S = 2.0
"""A sensor that sent before, and has not for so long and for five of its own intervals, is called lost."""


class Reading:
    """Reads a source into a feed.

    Args:
        stream: Which sensor it is.
        source: Its frames; a lost one is opened again.
        feed: Where they go.

    Attributes:
        ended: Whether there are no more frames.
        error: What it gave up for; None where it did not.
    """

    def __init__(self, stream: Stream, source: Reopening, feed: Feed) -> None:
        self.stream = stream
        self.source = source
        self._feed = feed
        self._stop = threading.Event()
        self._times: deque[int] = deque(maxlen=RATE_FRAMES)
        self._thread = threading.Thread(target=self._read, name=f"hsi-edge-{stream}", daemon=True)
        self.ended = False
        self.error: HSIEdgeError | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading and give back the sensor."""
        self._stop.set()
        self.source.close()
        if self._thread.ident is not None:
            self._thread.join()

    def status(self, counts: StreamCounts) -> StreamStatus:
        """How the sensor is; `counts` are the intake's."""
        times = tuple(self._times)
        age_s = (host_time_ns() - times[-1]) / 1e9 if times else None
        interval_s = (times[-1] - times[0]) / (len(times) - 1) / 1e9 if len(times) > 1 else None
        # Since the last frame, where that is longer than usual: a sensor that stopped does not keep its rate.
        slowest = None if interval_s is None or age_s is None else max(interval_s, age_s / 2)
        return StreamStatus(
            state=self._state(age_s, interval_s),
            frames=counts.frames,
            frames_per_s=1 / slowest if slowest else 0.0,
            newest_age_ms=None if age_s is None else age_s * 1000,
            lost=counts.lost,
            refused=counts.refused,
            reopened=self.source.reopened,
            clock_jumps=counts.clock_jumps,
            error=self.source.error if self.error is None else str(self.error),
        )

    def _state(self, age_s: float | None, interval_s: float | None) -> StreamState:
        if self.ended:
            return "ended"
        if age_s is None:
            return "waiting"
        return "lost" if age_s > max(SILENT_S, 5 * (interval_s or 0.0)) else "running"

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                frame = self.source.read(TIMEOUT_S)
            except SensorTimeout:
                continue
            except SensorEnded as end:
                _log.info("the %s sensor has ended: %s", self.stream, end)
                break
            except Exception as err:  # without an end of the feed everybody would wait for ever
                if not self._stop.is_set():
                    self.error = failure(err)
                    _log.warning("the %s sensor: %s", self.stream, self.error)
                break
            self._times.append(host_time_ns())
            self._feed.arrive(self.stream, frame)
        self.ended = True
        self._feed.end(self.stream)
