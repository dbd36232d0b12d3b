from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsi_edge.live.log import JsonLines, log_to_stderr
from tests.hsi_edge.live.test_command import _own_log as _own_log


def test_a_record_is_one_line_of_json_with_what_the_caller_added() -> None:
    record = logging.makeLogRecord(
        {
            "name": "hsi_edge.live.pipeline",
            "levelname": "WARNING",
            "msg": "two\nlines %d",
            "args": (3,),
            "created": 0.25,
        }
    )
    record.mode, record.path = "single", Path("x")
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250+00:00",
        "level": "warning",
        "part": "live.pipeline",
        "message": "two\nlines 3",
        "mode": "single",
        "path": "x",
    }


def test_a_traceback_stays_in_its_line() -> None:
    try:
        int("odd")
    except ValueError:
        record = logging.makeLogRecord({"name": "hsi_edge", "msg": "failed", "exc_info": sys.exc_info()})
    assert "ValueError: invalid literal" in json.loads(JsonLines().format(record))["traceback"]


@pytest.mark.parametrize("terminal", [True, False])
def test_people_get_plain_lines_and_programs_json_each_once(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    log_to_stderr()
    log_to_stderr()
    logging.getLogger("hsi_edge.live.test").info("taken off")
    logging.getLogger("hsi_edge.live.test").debug("not this")
    (line,) = stderr.getvalue().splitlines()
    assert line.endswith("INFO taken off") if terminal else json.loads(line)["message"] == "taken off"


FAILING_CAMERAS = """
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from hsi_edge.errors import SensorError, SensorTimeout
from hsi_edge.live.log import log_to_stderr
from hsi_edge.sensors.camera import RtspCamera, RtspSettings, UsbCamera, UsbSettings
from hsi_edge.sensors.grabbing import Camera, Capture
from hsi_edge.sensors.video import VideoSettings, VideoSource

log_to_stderr()
from tests.hsi_edge.sensors.test_grabbing import Stream  # imports OpenCV, which reads its environment then

server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
server.silent, server.gone = threading.Event(), threading.Event()
threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
Path("video.mp4").write_text("no video" * 100)
for source in (
    UsbCamera(UsbSettings(source="usb", device="/dev/video9")),
    UsbCamera(UsbSettings(source="usb", device=9)),
    VideoSource(VideoSettings(source="video", path="missing.mp4")),
    VideoSource(VideoSettings(source="video", path="video.mp4")),
    RtspCamera(RtspSettings(source="rtsp", url="rtsp://127.0.0.1:1/")),
    Camera(Capture(name="the stream", target=f"http://127.0.0.1:{server.server_port}/", backend="CAP_FFMPEG")),
):
    try:
        source.open()
        server.gone.set()
        while True:
            try:
                source.read(0.1)
            except SensorTimeout:
                pass
    except SensorError as err:
        print(err)
    source.close()
server.shutdown()
server.server_close()
"""


def failing_cameras(folder: Path, **environment: str) -> tuple[list[str], str]:
    """What is said of cameras that fail, by us and by OpenCV and FFmpeg themselves, in a process of its own."""
    root = Path(__file__).parents[3]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", FAILING_CAMERAS],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(root)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_cameras_that_fail_say_one_line_each_and_opencv_none(tmp_path: Path) -> None:
    ours, theirs = failing_cameras(tmp_path)
    assert theirs == ""
    wanted = (
        "the USB camera /dev/video9 cannot be opened",
        "the USB camera 9 cannot be opened",
        "there is no video missing.mp4",
        "video.mp4 is no video that this OpenCV can decode",
        "the RTSP camera 127.0.0.1:1 cannot be opened",
        "the stream was lost: it gives no more frames",
    )
    assert len(ours) == len(wanted)
    assert all(one.startswith(begin) for one, begin in zip(ours, wanted, strict=True))


def test_who_wants_to_hear_opencv_and_ffmpeg_does(tmp_path: Path) -> None:
    out, err = failing_cameras(tmp_path, OPENCV_LOG_LEVEL="WARNING", OPENCV_FFMPEG_LOGLEVEL="16")
    assert "can't open camera by index" in err
    assert any("Connection refused" in line for line in out)  # where OpenCV writes FFmpeg's lines to


def test_the_environment_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "")
    monkeypatch.delenv("OPENCV_FFMPEG_LOGLEVEL")
    log_to_stderr()
    assert (os.environ["OPENCV_LOG_LEVEL"], os.environ["OPENCV_FFMPEG_LOGLEVEL"]) == ("DEBUG", "-8")
