"""A source that is opened again when it is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hsi_edge.errors import SensorEnded, SensorError, SensorTimeout
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.source import Source

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class Reopening:
    """Closes a lost source and opens it again, in a thread of its own, after pauses of 0.5 s that double up to 30 s.

    Meanwhile `read` raises `SensorTimeout`, as it does where the source is there and silent. The pauses start anew once
    a frame has been read. Errors that are no `SensorError` (a package that is missing) are raised: time heals none.

    Attributes:
        reopened: How often it came back.
        error: Its latest error, in words; empty while it is well.

    Args:
        source: What is wrapped.
        wait: Waits so many seconds, and says whether it was stopped meanwhile; None for the real time.
    """

    def __init__(self, source: Source, wait: Callable[[float], bool] | None = None) -> None:
        self.reopened = 0
        self.error = ""
        self._source = source
        self._stop = threading.Event()
        self._given_wait = wait
        self._switch = threading.Lock()
        self._pause_s = _FIRST_PAUSE_S
        self._is_open = False
        self._failure: Exception | None = None
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, *, needed: bool = False) -> None:
        """Open the source; if it cannot be opened, `read` waits for it.

        Args:
            needed: Whether it has to be there now.

        Raises:
            SensorError: It has to be, and is not.
        """
        self.close()
        self._stop, self._settled = threading.Event(), threading.Event()
        self._pause_s, self._failure, self.error = _FIRST_PAUSE_S, None, ""
        self._is_open = True
        try:
            self._source.open()
        except SensorError as err:
            if needed:
                self._is_open = False
                raise
            self._lose(err)
        except BaseException:
            self._is_open = False
            raise
        else:
            self._settled.set()

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the source's next frame; see `Source`. A lost source is a `SensorTimeout` with its error in words."""
        if not self._is_open:
            raise SensorError("the sensor is not open; open it first")
        if not self._settled.wait(timeout_s):
            raise SensorTimeout(f"{self.error}; it will be opened again")
        if self._failure is not None:
            raise self._failure
        try:
            frame = self._source.read(timeout_s)
        except (SensorTimeout, SensorEnded):
            raise
        except SensorError as err:
            if not self._is_open:
                raise
            self._lose(err)
            raise SensorTimeout(f"{err}; it will be opened again") from err
        self._pause_s, self.error = _FIRST_PAUSE_S, ""
        return frame

    def close(self) -> None:
        """Close the source, and stop trying."""
        with self._switch:
            self._is_open = False
            self._stop.set()
            thread, self._thread = self._thread, None
        self._source.close()
        if thread is not None:
            thread.join()
            # It may have been opened between the two.
            self._source.close()

    def _lose(self, err: SensorError) -> None:
        self.error = str(err)
        _log.warning("%s; it will be opened again", err)
        with self._switch:
            if self._is_open:
                self._settled.clear()
                self._thread = threading.Thread(target=self._reopen, args=(self._stop,), name="reopening", daemon=True)
                self._thread.start()

    def _reopen(self, stop: threading.Event) -> None:
        wait = self._given_wait or stop.wait
        try:
            self._source.close()
            while not wait(self._pause_s) and not stop.is_set():
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
                try:
                    self._source.open()
                except SensorError as err:
                    self.error = str(err)
                else:
                    self.reopened += 1
                    break
        except Exception as err:  # the reading thread has to hear of it
            self._failure = err
        self._settled.set()
