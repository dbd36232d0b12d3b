"""Results to sinks: each on a thread of its own behind a short queue, so that none holds up another, or the engine."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from hsi_edge.live.result import LiveResult
from hsi_edge.live.sink import Sink
from hsi_edge.live.status import SinkStatus

_log = logging.getLogger(__name__)


class Delivery:
    """One sink's thread and queue.

    Args:
        sink: Takes results.
        length: Of the queue.
        lossless: Whether `put` waits for room; otherwise the oldest result passes the sink by.
    """

    def __init__(self, sink: Sink, *, length: int, lossless: bool) -> None:
        self.sink = sink
        self._length = length
        self._lossless = lossless
        self._queue: deque[LiveResult] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._taken = self._passed_by = self._failed = 0
        self._error = ""
        self._failing = False
        self._thread = threading.Thread(target=self._deliver, name=f"hsi-edge-{sink.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, result: LiveResult) -> None:
        """Queue a result."""
        with self._changed:
            while self._lossless and len(self._queue) >= self._length and not self._closing:
                self._changed.wait()
            self._queue.append(result)
            if len(self._queue) > self._length:
                self._queue.popleft()
                self._passed_by += 1
            self._changed.notify_all()

    def status(self) -> SinkStatus:
        """What became of the results."""
        return SinkStatus(taken=self._taken, passed_by=self._passed_by, failed=self._failed, error=self._error)

    def finish(self) -> None:
        """Let the sink take what is queued and close it, and wait for no room any more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, timeout_s: float | None) -> None:
        """Wait until the sink is closed; one that takes longer is left to itself, and to the end of the process."""
        if self._thread.ident is None:
            self._done(self.sink.close)
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._failed += 1
            self._error = f"it did not end within {timeout_s:g} s, and was left"
            _log.warning("the sink %s: %s", self.sink.name, self._error)

    def _deliver(self) -> None:
        while (result := self._next()) is not None:
            self._taken += self._done(partial(self.sink.take, result))
        self._done(self.sink.close)

    def _done(self, act: Callable[[], None]) -> bool:
        """Whether the sink did it without an error; whatever it raises ends here."""
        try:
            act()
        except Exception as err:
            self._failed += 1
            self._error = " ".join(str(err).split()) or type(err).__name__
            if not self._failing:
                _log.warning("the sink %s fails: %s", self.sink.name, self._error)
            self._failing = True
            return False
        self._failing = False
        return True

    def _next(self) -> LiveResult | None:
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            result = self._queue.popleft() if self._queue else None
            self._changed.notify_all()
            return result
