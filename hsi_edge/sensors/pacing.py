"""Frames out of files at the rate of a camera."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hsi_edge.errors import InputError, SensorError, SensorTimeout
from hsi_edge.host_clock import host_time_ns


class Pace:
    """Says when a frame is due, counted from the first one; frames that are read late come at once, none is left out.

    Args:
        fps: Frames per second; 0 for as fast as they are read.
        clock: Gives host time in nanoseconds.
        wait: Waits so many seconds, and says whether it was stopped meanwhile; None for the real time.

    Raises:
        InputError: If the rate is negative.
    """

    def __init__(
        self, fps: float, clock: Callable[[], int] = host_time_ns, wait: Callable[[float], bool] | None = None
    ) -> None:
        if not fps >= 0:
            raise InputError(f"fps is {fps}; wanted frames per second, or 0 for as fast as they are read")
        self._fps = fps
        self._clock = clock
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._start_ns: int | None = None

    def frame_due(self, index: int, timeout_s: float) -> int:
        """Wait until the frame of that index is due; return its timestamp: the host's time where there is no rate.

        Raises:
            SensorTimeout: It is not due within that time.
            SensorError: `stop` was called.
        """
        now_ns = self._clock()
        if self._fps == 0:
            return now_ns
        if self._start_ns is None:
            self._start_ns = now_ns
        due_ns = self._start_ns + round(index * 1e9 / self._fps)
        wait_s = max(0, due_ns - now_ns) / 1e9
        if self._wait(min(wait_s, timeout_s)):
            raise SensorError("it was closed while it was read; open it first")
        if wait_s > timeout_s:
            raise SensorTimeout(f"the next frame is due in {wait_s:.3f} s; waited for {timeout_s:g} s")
        return due_ns

    def stop(self) -> None:
        """End a waiting `frame_due`."""
        self._stop.set()
