"""One stream of a recording as a source."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hsi_edge.errors import RecordingError, SensorEnded, SensorError, SensorTimeout
from hsi_edge.live.recording import Recording
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream


@dataclass(frozen=True, kw_only=True)
class RecordedSettings:
    """Which recording to read, and how.

    Attributes:
        source: The tag of this kind of source.
        path: A file of it, or its folder.
        stream: Which of its two.
        paced: Whether frames come as far apart as they arrived in flight, or as fast as they are read.
    """

    source: Literal["recording"]
    path: str
    stream: Stream
    paced: bool = True


class RecordedSource:
    """Hands out the frames of one stream in order of arrival; their `arrival_ns` is that of the flight.

    Args:
        settings: Of which recording, and how.
    """

    def __init__(self, settings: RecordedSettings) -> None:
        self._settings = settings
        self._frames: Iterator[SensorFrame] | None = None
        self._next: SensorFrame | None = None
        self._lead_ns: int | None = None
        self._closed = threading.Event()

    def open(self) -> None:
        """Go to the first frame.

        Raises:
            SensorError: If the recording cannot be read.
        """
        try:
            self._frames = Recording.open(self._settings.path).frames(self._settings.stream)
        except RecordingError as err:
            raise SensorError(str(err)) from err
        self._next, self._lead_ns = None, None
        self._closed.clear()

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the next frame, when it is time for it.

        Raises:
            SensorTimeout: If it is not time for it yet.
            SensorEnded: After the last one.
            SensorError: If the source is closed, or the recording is damaged here.
        """
        frame = self._next or self._read()
        if self._settings.paced and not self._wait(frame, timeout_s):
            self._next = frame
            raise SensorTimeout(f"the recording has no frame of {self._settings.stream} for {timeout_s} s here")
        self._next = None
        return frame

    def close(self) -> None:
        """Give back the recording's file."""
        self._closed.set()
        self._frames = None

    def _read(self) -> SensorFrame:
        frames = self._frames
        if frames is None:
            raise SensorError(f"the recording {self._settings.path} is not open; open the source first")
        try:
            frame = next(frames, None)
        except RecordingError as err:
            raise SensorError(str(err)) from err
        if frame is None:
            raise SensorEnded(f"the recording {self._settings.path} is over")
        return frame

    def _wait(self, frame: SensorFrame, timeout_s: float) -> bool:
        """Wait until the frame is due; False if that is later than the timeout, which has passed then."""
        now_ns = time.monotonic_ns()
        if self._lead_ns is None:
            self._lead_ns = frame.arrival_ns - now_ns
        wait_s = (frame.arrival_ns - self._lead_ns - now_ns) / 1e9
        if self._closed.wait(min(max(wait_s, 0.0), timeout_s)):
            raise SensorError(f"the recording {self._settings.path} was closed")
        return wait_s <= timeout_s
