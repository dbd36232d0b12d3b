"""The hand-over between a thread that receives frames and the one that reads them: the newest wins."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from hsi_edge.errors import SensorError, SensorTimeout

T = TypeVar("T")


class Newest(Generic[T]):
    """Keeps the newest items until they are taken, oldest first; tells the taker when the giver failed.

    Attributes:
        dropped: Items that a newer one pushed out, as nobody took them in time.

    Args:
        depth: How many items wait at most.
    """

    def __init__(self, depth: int = 1) -> None:
        self.dropped = 0
        self._items: deque[T] = deque(maxlen=depth)
        self._failure = ""
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Hand an item over; after a failure nobody wants it."""
        with self._changed:
            if self._failure:
                return
            self.dropped += len(self._items) == self._items.maxlen
            self._items.append(item)
            self._changed.notify_all()

    def fail(self, reason: str) -> None:
        """Make `take` raise a `SensorError` once the items that wait have been taken; the first reason stands."""
        with self._changed:
            self._failure = self._failure or reason
            self._changed.notify_all()

    def close(self, reason: str) -> None:
        """Forget the items that wait, and make every `take` from now on raise a `SensorError`."""
        with self._changed:
            self._items.clear()
            self._failure = reason
            self._changed.notify_all()

    def take(self, timeout_s: float, waiting_for: str) -> T:
        """Return the oldest item that waits.

        Args:
            timeout_s: How long to wait for one.
            waiting_for: For the message when none comes: `USB camera 0`.

        Raises:
            SensorTimeout: None came in that time.
            SensorError: The giver failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._failure, timeout_s)
            if self._items:
                return self._items.popleft()
            if self._failure:
                raise SensorError(self._failure)
            raise SensorTimeout(f"{waiting_for}: no frame within {timeout_s:g} s")
