"""A network stream through the real OpenCV: motion JPEG over HTTP, which needs no camera."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from hsi_edge.errors import SensorError, SensorTimeout
from hsi_edge.sensors.grabbing import Camera, Capture


class Stream(BaseHTTPRequestHandler):
    """Sends pictures whose brightness counts up, until its server says `silent` or `gone`."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for count in range(10_000):
                if self.server.gone.is_set():
                    return
                if self.server.silent.is_set():
                    self.server.gone.wait(20)
                    return
                _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), (0, 0, count % 200), np.uint8))
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                self.server.gone.wait(0.01)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    server.daemon_threads = False
    server.silent, server.gone = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.gone.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def source(server):
    source = Camera(
        Capture(
            name="the stream",
            target=f"http://127.0.0.1:{server.server_port}/",
            backend="CAP_FFMPEG",
            options=(("CAP_PROP_OPEN_TIMEOUT_MSEC", 5000), ("CAP_PROP_READ_TIMEOUT_MSEC", 500)),
        )
    )
    source.open()
    yield source
    source.close()


def lost(source):
    for _ in range(100):
        try:
            source.read(0.1)
        except SensorTimeout:
            continue
        except SensorError as err:
            return str(err)
    return pytest.fail("it was not lost")


def test_a_real_stream_is_read_and_its_newest_picture_wins(source):
    first = source.read(10)
    assert first.data.shape == (48, 64, 3)
    for _ in range(500):
        if source.dropped >= 10:
            break
        source._stop.wait(0.01)
    later = source.read(10)
    assert later.sequence - first.sequence > 10
    assert later.data[..., 0].mean() > later.data[..., 2].mean() + 5


def test_a_stream_that_falls_silent_is_lost_after_the_time_that_opencv_was_told(source, server):
    source.read(10)
    server.silent.set()
    assert "the stream was lost" in lost(source)


def test_a_stream_whose_server_hangs_up_is_lost_and_can_be_opened_again(source, server):
    source.read(10)
    server.gone.set()
    assert "the stream was lost" in lost(source)
    source.close()
    server.gone.clear()
    source.open()
    assert source.read(10).sequence >= 0
