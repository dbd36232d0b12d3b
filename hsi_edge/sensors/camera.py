"""Live cameras through OpenCV: USB, RTSP, GStreamer and a Jetson's CSI."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hsi_edge.errors import InputError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.sensors.grabbing import Camera, Capture, Timestamps
from hsi_edge.sensors.gstreamer import csi_pipeline

_NETWORK_TIMEOUT_MS = 5000
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SCHEMES = ("rtsp://", "rtsps://")


@dataclass(frozen=True, kw_only=True)
class UsbSettings:
    """A USB (V4L2) camera.

    Attributes:
        device: Its number, or better its path under `/dev/v4l/by-id`, which stays the same.
        width, height: Of its pictures; None takes what it gives by itself.
        fps: Frames per second; None takes what it gives by itself.
        fourcc: Pixel format: many cameras reach their full size and rate with `MJPG` alone.
        timestamps: `arrival` at the host, or `stream`: the driver's time of the capture.
    """

    source: Literal["usb"]
    device: int | str = 0
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None
    timestamps: Timestamps = "arrival"


@dataclass(frozen=True, kw_only=True)
class RtspSettings:
    """A network camera.

    Attributes:
        url: `rtsp://...`; `${NAME}` stands for an environment variable, which keeps a password out of the file.
        timestamps: `arrival` at the host, or `stream`: the camera's presentation times.
    """

    source: Literal["rtsp"]
    url: str = field(repr=False)
    timestamps: Timestamps = "arrival"


@dataclass(frozen=True, kw_only=True)
class GStreamerSettings:
    """A GStreamer pipeline that ends in an `appsink` with BGR or grey pictures."""

    source: Literal["gstreamer"]
    pipeline: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CsiSettings:
    """A camera at a Jetson's CSI port; `flip` as nvvidconv's `flip-method`."""

    source: Literal["csi"]
    sensor_id: int = 0
    width: int = 1920
    height: int = 1080
    fps: int = 30
    flip: int = 0


class UsbCamera(Camera):
    """A USB camera through V4L2; see `Camera`.

    Raises:
        InputError: If `fourcc` is not four characters.
    """

    def __init__(self, settings: UsbSettings, clock: Callable[[], int] = host_time_ns) -> None:
        super().__init__(_usb_capture(settings), clock)


class RtspCamera(Camera):
    """A network camera through FFmpeg; see `Camera`.

    Raises:
        InputError: If the URL is not one of RTSP, or names an environment variable that is not set.
    """

    def __init__(self, settings: RtspSettings, clock: Callable[[], int] = host_time_ns) -> None:
        super().__init__(_rtsp_capture(settings), clock)


class GStreamerCamera(Camera):
    """Any GStreamer pipeline; see `Camera`.

    Raises:
        InputError: If the pipeline has no appsink.
    """

    def __init__(self, settings: GStreamerSettings, clock: Callable[[], int] = host_time_ns) -> None:
        if "appsink" not in settings.pipeline:
            raise InputError(
                "the GStreamer pipeline has no appsink; end it in 'appsink drop=true max-buffers=1 sync=false'"
            )
        first = settings.pipeline.split(maxsplit=1)[0]
        super().__init__(
            Capture(
                name=f"the GStreamer camera ({first})",
                target=settings.pipeline,
                backend="CAP_GSTREAMER",
                secret=settings.pipeline,
                hint=lambda: "try the pipeline with gst-launch-1.0, with fakesink in place of appsink",
            ),
            clock,
        )


class CsiCamera(Camera):
    """A camera at a Jetson's CSI port; see `Camera`.

    Raises:
        InputError: If a size or the rate is not positive, or the flip is none of nvvidconv's.
    """

    def __init__(self, settings: CsiSettings, clock: Callable[[], int] = host_time_ns) -> None:
        sensor_id, width, height, fps = settings.sensor_id, settings.width, settings.height, settings.fps
        if min(width, height, fps) < 1 or sensor_id < 0 or not 0 <= settings.flip <= 7:
            raise InputError(f"{settings} is no CSI camera; wanted sizes and fps from 1, sensor_id from 0, flip 0 to 7")
        pipeline = csi_pipeline(sensor_id=sensor_id, width=width, height=height, fps=fps, flip=settings.flip)
        super().__init__(
            Capture(
                name=f"the CSI camera {sensor_id}",
                target=pipeline,
                backend="CAP_GSTREAMER",
                hint=lambda: (
                    "check the cable and the mode, and restart a hung daemon: sudo systemctl restart nvargus-daemon"
                ),
            ),
            clock,
        )


def _usb_capture(settings: UsbSettings) -> Capture:
    if settings.fourcc is not None and len(settings.fourcc) != 4:
        raise InputError(f"fourcc is {settings.fourcc!r}; wanted four characters, such as MJPG")
    # The format comes first: a size may exist in one format alone.
    code = None if settings.fourcc is None else int.from_bytes(settings.fourcc.encode("ascii", "replace"), "little")
    wanted = (
        ("CAP_PROP_FOURCC", code),
        ("CAP_PROP_FRAME_WIDTH", settings.width),
        ("CAP_PROP_FRAME_HEIGHT", settings.height),
        ("CAP_PROP_FPS", settings.fps),
    )
    return Capture(
        name=f"the USB camera {settings.device}",
        target=settings.device,
        backend="CAP_V4L2" if sys.platform == "linux" else "CAP_ANY",
        properties=tuple((name, value) for name, value in wanted if value is not None),
        size=(settings.height, settings.width),
        timestamps=settings.timestamps,
        hint=_plugged,
    )


def _plugged() -> str:
    found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*")))
    return f"found: {found}; another program may hold it" if found else "no camera is plugged in (no /dev/video*)"


def _rtsp_capture(settings: RtspSettings) -> Capture:
    if not settings.url.lower().startswith(_SCHEMES):
        raise InputError("the url of an RTSP camera does not start with rtsp:// or rtsps://")
    missing = [name for name in _VARIABLE.findall(settings.url) if name not in os.environ]
    if missing:
        raise InputError(f"the url of an RTSP camera names the environment variable {missing[0]}, which is not set")
    url = _VARIABLE.sub(lambda match: os.environ[match[1]], settings.url)
    return Capture(
        name=f"the RTSP camera {_host(url)}",
        target=url,
        backend="CAP_FFMPEG",
        options=(
            ("CAP_PROP_OPEN_TIMEOUT_MSEC", _NETWORK_TIMEOUT_MS),
            ("CAP_PROP_READ_TIMEOUT_MSEC", _NETWORK_TIMEOUT_MS),
        ),
        timestamps=settings.timestamps,
        secret=url,
        hint=lambda: "check address, path, user and password, and that the camera's network is up",
    )


def _host(url: str) -> str:
    """The part of the URL that is no secret: passwords stand before the @, and in many cameras in path and query."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in url and "@" not in authority:
        return "(its address is not shown: it may hold a password)"
    return authority.rpartition("@")[2]
