"""GStreamer strings for cameras, and whether this machine's OpenCV can run them."""

from __future__ import annotations

import re
from types import ModuleType

from hsi_edge.errors import MissingPackageError

_HAS_GSTREAMER = re.compile(r"^\s*GStreamer:\s*YES", re.MULTILINE)


def csi_pipeline(*, sensor_id: int, width: int, height: int, fps: int, flip: int) -> str:
    """The pipeline of a Jetson's CSI camera: its image processor's NV12 frames, as BGR for OpenCV, the newest alone.

    Source: NVIDIA, "Accelerated GStreamer", Jetson Linux Developer Guide.

    Args:
        sensor_id: Which camera, counted from 0.
        width: Of the frames, one that the sensor has a mode for.
        height: Of the frames.
        fps: Frames per second.
        flip: nvvidconv's `flip-method`: 0 none, 2 by 180 degrees, 1 and 3 by 90, 4 to 7 mirrored.
    """
    mode = f"width=(int){width}, height=(int){height}, framerate=(fraction){fps}/1, format=(string)NV12"
    return (
        f"nvarguscamerasrc sensor-id={sensor_id} ! video/x-raw(memory:NVMM), {mode} ! "
        f"nvvidconv flip-method={flip} ! video/x-raw, format=(string)BGRx ! "
        "videoconvert ! video/x-raw, format=(string)BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def check_gstreamer(cv2: ModuleType) -> None:
    """Make sure that this OpenCV can run GStreamer pipelines; its wheels cannot.

    Raises:
        MissingPackageError: It cannot; says what to do.
    """
    if _HAS_GSTREAMER.search(cv2.getBuildInformation()) is None:
        raise MissingPackageError(
            f"GStreamer cameras need an OpenCV built with GStreamer; {cv2.__version__} at {cv2.__file__} was not, "
            "nor is any wheel. On a Jetson remove it (pip uninstall opencv-python opencv-python-headless), install the "
            "system's (sudo apt install python3-opencv), and make the environment with --system-site-packages"
        )
