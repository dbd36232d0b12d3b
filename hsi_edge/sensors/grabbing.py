"""What all live cameras share: a thread of their own around OpenCV's capture.

OpenCV's `grab` may block for long when a camera goes away, its buffers grow old when nobody empties them, and a capture
must not be released while another thread is in it. So one thread per camera opens it, grabs all the time, keeps the
newest picture alone, and releases it; whoever reads never touches the capture.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import SensorError, SensorTimeout, require
from hsi_edge.host_clock import host_time_ns
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.gstreamer import check_gstreamer
from hsi_edge.sensors.newest import Newest

_log = logging.getLogger(__name__)

Timestamps = Literal["arrival", "stream"]

_OPEN_S = 15.0
_SILENCE_S = 10.0
_CLOSE_S = 2.0
_MAX_FAULTS = 30


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What OpenCV is to open, and how: `name` is for messages, `secret` never shows in one.

    `options` go with the call that opens it, `properties` are set once it is open; both by OpenCV's names.
    """

    name: str
    target: int | str
    backend: str
    options: tuple[tuple[str, float], ...] = ()
    properties: tuple[tuple[str, float], ...] = ()
    size: tuple[int | None, int | None] = (None, None)  # (rows, cols)
    timestamps: Timestamps = "arrival"
    secret: str = ""
    hint: Callable[[], str] = lambda: "check that it is there and that no other program uses it"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Picture:
    pixels: NDArray[Any]
    timestamp_ns: int
    arrival_ns: int
    sequence: int


class Camera:
    """A live camera: `read` gives the newest picture that was not read yet, as RGB, and never an old one.

    Args:
        wanted: What to open.
        clock: Gives host time in nanoseconds.
    """

    def __init__(self, wanted: Capture, clock: Callable[[], int] = host_time_ns) -> None:
        self._wanted = wanted
        self._clock = clock
        self._heard_ns = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._pictures: Newest[_Picture] = Newest()
        self._pictures.close(f"{wanted.name} is not open; open it first")

    @property
    def dropped(self) -> int:
        """Pictures that came and were not read, as newer ones took their place."""
        return self._pictures.dropped

    def open(self) -> None:
        """Open the camera; waits for the driver or the network for at most 15 s.

        Raises:
            SensorError: If it is not there, busy, or still held by a driver that does not return.
            MissingPackageError: If OpenCV is missing, or was built without GStreamer where that is needed.
        """
        self.close()
        if self._thread is not None:
            name = self._wanted.name
            raise SensorError(f"{name} cannot be opened again yet: its driver still holds the last attempt")
        cv2 = require("cv2", feature="a camera", extra="opencv")
        if self._wanted.backend == "CAP_GSTREAMER":
            check_gstreamer(cv2)
        self._pictures, self._stop, opened = Newest(), threading.Event(), threading.Event()
        grabbing = _Grabbing(cv2, self._wanted, self._clock, self._pictures, self._stop)
        self._thread = threading.Thread(target=grabbing.run, args=(opened,), name="camera", daemon=True)
        self._thread.start()
        if not opened.wait(_OPEN_S):
            self.close()
            raise SensorError(f"{self._wanted.name} did not open within {_OPEN_S:g} s; {self._wanted.hint()}")
        if grabbing.failed_to_open:
            self.close()
            raise SensorError(grabbing.failed_to_open)
        self._heard_ns = self._clock()

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the newest picture; see `Source`. A camera that is silent for 10 s is lost."""
        try:
            picture = self._pictures.take(timeout_s, self._wanted.name)
        except SensorTimeout as err:
            if self._clock() - self._heard_ns > _SILENCE_S * 1e9:
                raise SensorError(f"{self._wanted.name} was lost: it sent nothing for {_SILENCE_S:g} s") from err
            raise
        self._heard_ns = picture.arrival_ns
        return SensorFrame(
            data=rgb_from_bgr(picture.pixels),
            timestamp_ns=picture.timestamp_ns,
            sequence=picture.sequence,
            arrival_ns=picture.arrival_ns,
        )

    def close(self) -> None:
        """Stop grabbing; a driver that does not return within 2 s is left to itself, and lets go when it does."""
        self._pictures.close(f"{self._wanted.name} is closed; open it first")
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_S)
            if thread.is_alive():
                _log.warning("%s: its driver does not return; it is left to itself", self._wanted.name)
            else:
                self._thread = None


class _Grabbing:
    """What the camera's thread does."""

    def __init__(
        self,
        cv2: ModuleType,
        wanted: Capture,
        clock: Callable[[], int],
        pictures: Newest[_Picture],
        stop: threading.Event,
    ) -> None:
        self._cv2 = cv2
        self._wanted = wanted
        self._clock = clock
        self._pictures = pictures
        self._stop = stop
        self._latest_ns = -1
        self.failed_to_open = ""

    def run(self, opened: threading.Event) -> None:
        """Open, grab until stopped or lost, release: all of it here, as a capture belongs to one thread."""
        capture = None
        try:
            capture = self._opened()
            opened.set()
            self._grab(capture)
        except Exception as err:  # what drivers raise is not documented
            reason = self._without_secret(str(err) or type(err).__name__)
            if not opened.is_set():
                self.failed_to_open = reason
            self._pictures.fail(reason)
        finally:
            if capture is not None:
                capture.release()
            opened.set()

    def _opened(self) -> Any:
        cv2, wanted = self._cv2, self._wanted
        options = [int(number) for name, value in wanted.options for number in (getattr(cv2, name), value)]
        capture = cv2.VideoCapture(wanted.target, getattr(cv2, wanted.backend), options)
        if not capture.isOpened():
            capture.release()
            raise SensorError(f"{wanted.name} cannot be opened; {wanted.hint()}")
        for name, value in wanted.properties:
            capture.set(getattr(cv2, name), value)
        return capture

    def _grab(self, capture: Any) -> None:
        sequence = faults = 0
        while not self._stop.is_set():
            if not capture.grab():
                raise SensorError(f"{self._wanted.name} was lost: it gives no more frames; {self._wanted.hint()}")
            arrival_ns = self._clock()
            fault, pixels = self._retrieved(capture)
            timestamp_ns = arrival_ns
            if not fault and self._wanted.timestamps == "stream":
                timestamp_ns = round(capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1e6)
                if timestamp_ns <= self._latest_ns:
                    fault = "its times do not grow; set timestamps: arrival"
            if not fault:
                faults, self._latest_ns = 0, timestamp_ns
                self._pictures.put(
                    _Picture(pixels=pixels, timestamp_ns=timestamp_ns, arrival_ns=arrival_ns, sequence=sequence)
                )
            else:
                faults += 1
            if faults >= _MAX_FAULTS:
                raise SensorError(f"{self._wanted.name} was lost: {_MAX_FAULTS} bad frames in a row: {fault}")
            sequence += 1

    def _retrieved(self, capture: Any) -> tuple[str, Any]:
        """What is wrong with the picture, or nothing, and the picture."""
        good, pixels = capture.retrieve()
        if not good or pixels is None or pixels.size == 0:
            return "it cannot be decoded", None
        for given, wanted in zip(pixels.shape, self._wanted.size, strict=False):
            if wanted is not None and given != wanted:
                raise SensorError(
                    f"{self._wanted.name} gives pictures of {pixels.shape[1]} x {pixels.shape[0]}, not the width and "
                    "height asked for; choose a size that it has (v4l2-ctl --list-formats-ext), or try fourcc: MJPG"
                )
        if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2:] not in ((), (1,), (3,)):
            return f"it is {pixels.dtype} of shape {pixels.shape}; wanted BGR or grey of 8 or 16 bit", None
        return "", pixels

    def _without_secret(self, text: str) -> str:
        return text.replace(self._wanted.secret, "...") if self._wanted.secret else text


def rgb_from_bgr(pixels: NDArray[Any]) -> NDArray[Any]:
    """OpenCV's picture, grey `(rows, cols)` or `(rows, cols, 3)` with blue first, as three axes with red first."""
    if pixels.ndim == 2:
        return pixels[:, :, np.newaxis]
    if pixels.shape[2] == 1:
        return pixels
    cv2 = require("cv2", feature="a camera", extra="opencv")  # ten times as fast as a reversed copy
    return cast(NDArray[Any], cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
