"""A video file, played as if a camera sent it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hsi_edge.errors import SensorEnded, SensorError, require
from hsi_edge.host_clock import host_time_ns
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.grabbing import rgb_from_bgr
from hsi_edge.sensors.pacing import Pace


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """A video file.

    Attributes:
        path: Of the file.
        loop: Whether to begin again at its end; times and sequence numbers go on.
        fps: Frames per second, for their times and their pace; None for the file's own, 0 for as fast as they are read.
    """

    source: Literal["video"]
    path: str
    loop: bool = False
    fps: float | None = None


class VideoSource:
    """Every frame of a video file in order, at a steady rate, as it lies in the file (not turned by its metadata).

    Args:
        settings: Which file, and how it is played.
        clock: Gives host time in nanoseconds.
        wait: See `Pace`.

    Raises:
        InputError: If the rate is negative.
    """

    def __init__(
        self,
        settings: VideoSettings,
        clock: Callable[[], int] = host_time_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._pace = Pace(settings.fps or 0.0, clock, wait)
        self._capture: Any = None
        self._lock = threading.Lock()
        self._sequence = 0
        self._ended = False

    def open(self) -> None:
        """Open the file.

        Raises:
            SensorError: If it is missing, no video that this OpenCV can decode, or says no rate and none was given.
            MissingPackageError: If OpenCV is missing.
        """
        self.close()
        capture = self._opened()
        try:
            fps = self._rate(capture)
        except SensorError:
            capture.release()
            raise
        self._pace = Pace(fps, self._clock, self._wait)
        self._sequence, self._ended = 0, False
        self._capture = capture

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the next frame when it is due; see `Source`."""
        if self._capture is None:
            raise SensorError(f"the video {self._settings.path} is not open; open it first")
        if self._ended:
            raise SensorEnded(f"the video {self._settings.path} has no more frames")
        timestamp_ns = self._pace.frame_due(self._sequence, timeout_s)
        with self._lock:
            pixels = self._next()
        sequence, self._sequence = self._sequence, self._sequence + 1
        return SensorFrame(
            data=rgb_from_bgr(pixels), timestamp_ns=timestamp_ns, sequence=sequence, arrival_ns=self._clock()
        )

    def close(self) -> None:
        """Close the file."""
        self._pace.stop()
        with self._lock:
            if self._capture is not None:
                self._capture.release()
            self._capture = None

    def _opened(self) -> Any:
        cv2 = require("cv2", feature="playing a video file", extra="opencv")
        if not Path(self._settings.path).is_file():
            raise SensorError(f"there is no video {self._settings.path}; check the path")
        capture = cv2.VideoCapture(self._settings.path)
        if not capture.isOpened():
            capture.release()
            raise SensorError(
                f"{self._settings.path} is no video that this OpenCV can decode; convert it, or repair it"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture

    def _rate(self, capture: Any) -> float:
        if self._settings.fps is not None:
            return self._settings.fps
        cv2 = require("cv2", feature="playing a video file", extra="opencv")
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        if not 0 < fps < 1e5:
            raise SensorError(f"the video {self._settings.path} does not say its rate; give it as fps")
        return fps

    def _next(self) -> Any:
        """Pixels of the next frame, the first one again after the last in a loop."""
        if self._capture is None:
            raise SensorError(f"the video {self._settings.path} was closed; open it first")
        good, pixels = self._capture.read()
        if not good and self._settings.loop and self._sequence > 0:
            # Seeking to the start fails in many formats; opening the file again does not.
            self._capture.release()
            self._capture = self._opened()
            good, pixels = self._capture.read()
        if not good:
            self._ended = True
            raise SensorEnded(f"the video {self._settings.path} has no more frames")
        return pixels
