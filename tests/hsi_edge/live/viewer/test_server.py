"""The viewer on real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hsi_edge.errors import InputError
from hsi_edge.live.viewer import Viewer, ViewerSettings
from tests.hsi_edge.live.viewer_source import Flying, ViewerPipeline

HERE = "127.0.0.1:0"
NEXT = {"ask": "next", "wish": 0, "after": -1, "view": {"show": "natural"}}


@pytest.fixture
def pipeline():
    pipeline = ViewerPipeline(lr=32, ratio=8)
    pipeline.step()
    return pipeline


def page(viewer, **options):
    return connect(viewer.url.replace("http", "ws") + "live", origin=viewer.url.rstrip("/"), **options)


def next_number(visit, after=-1):
    while True:
        visit.send(json.dumps({**NEXT, "after": after}))
        while isinstance(message := visit.recv(10), str):
            if json.loads(message)["say"] == "status":
                break
        if isinstance(message, bytes):
            return json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])["number"]


def test_it_serves_until_it_is_stopped_and_gives_its_port_and_threads_back(pipeline):
    before = threading.active_count()
    viewer = Viewer(ViewerSettings(address=HERE), pipeline)
    viewer.start()
    with urllib.request.urlopen(viewer.url) as answer:
        assert b"HSI" in answer.read()
    with page(viewer) as visit:
        assert next_number(visit) == 0
        viewer.stop()
        with pytest.raises(ConnectionClosed):
            visit.recv(5)
    address = viewer.url.split("/")[2]
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
    with Viewer(ViewerSettings(address=address), pipeline) as again:
        assert again.url == viewer.url


def test_a_port_in_use_is_said_with_the_way_out(pipeline):
    with Viewer(ViewerSettings(address=HERE), pipeline) as viewer:
        address = viewer.url.split("/")[2]
        with pytest.raises(InputError, match=r"port \d+ is in use.*give another address, as 127\.0\.0\.1:\d+"):
            Viewer(ViewerSettings(address=address), pipeline).start()


def test_an_address_of_another_machine_is_refused(pipeline):
    settings = ViewerSettings(address="192.0.2.1:0", token="x" * 20)
    with pytest.raises(InputError, match=r"cannot listen at 192\.0\.2\.1:0"):
        Viewer(settings, pipeline).start()


def test_the_server_does_not_tell_what_it_is(pipeline):
    with Viewer(ViewerSettings(address=HERE), pipeline) as viewer, urllib.request.urlopen(viewer.url) as answer:
        assert answer.headers["server"] is None


def test_nobody_gets_more_pictures_than_allowed(pipeline):
    with (
        Flying(pipeline, 0.01),
        Viewer(ViewerSettings(address=HERE, fps=10), pipeline) as viewer,
        page(viewer) as visit,
    ):
        number, count, start = next_number(visit), 0, time.monotonic()
        while time.monotonic() < start + 1:
            number = next_number(visit, number)
            count += 1
        assert 5 <= count <= 11


def test_a_page_that_reads_nothing_holds_nobody_up_and_is_let_go(pipeline, monkeypatch):
    monkeypatch.setattr("hsi_edge.live.viewer.visit.SEND_S", 0.3)
    settings = ViewerSettings(address=HERE, clients=2, fps=60)
    with Flying(pipeline, 0.02), Viewer(settings, pipeline) as viewer, stalled(viewer) as dead, page(viewer) as visit:
        number = first = next_number(visit)
        while third_is_refused(viewer):
            for _ in range(3):
                number = next_number(visit, number)
                with contextlib.suppress(OSError):
                    dead.send(masked(json.dumps(NEXT).encode()))
        assert number > first


def third_is_refused(viewer):
    with page(viewer) as third:
        with contextlib.suppress(ConnectionClosed):
            return next_number(third) < 0
        return True


def test_pages_that_leave_in_the_middle_of_a_picture_are_no_error(pipeline, caplog):
    with Flying(pipeline, 0.01), Viewer(ViewerSettings(address=HERE, fps=60), pipeline) as viewer:
        for _ in range(20):
            with stalled(viewer) as leaving:
                leaving.send(masked(json.dumps(NEXT).encode()))
        with page(viewer) as visit:
            assert next_number(visit) >= 0
    assert caplog.text == ""


def test_a_message_that_is_too_long_ends_the_visit(pipeline):
    with Viewer(ViewerSettings(address=HERE), pipeline) as viewer, page(viewer) as visit:
        visit.send("x" * 5000)
        with pytest.raises(ConnectionClosed) as left:
            visit.recv(5)
        assert left.value.rcvd.code == 1009


def test_a_flood_costs_its_sender_the_visit_and_the_others_nothing(pipeline):
    with Flying(pipeline, 0.05), Viewer(ViewerSettings(address=HERE), pipeline) as viewer, page(viewer) as visit:
        number = next_number(visit)
        with page(viewer) as flood, pytest.raises(ConnectionClosed):
            send_forever(flood)
        assert next_number(visit, number) > number


def send_forever(visit):
    while True:
        visit.send(json.dumps(NEXT))


def stalled(viewer):
    """A page with small buffers that never reads, already let in."""
    host, _, port = viewer.url.split("/")[2].partition(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((host, int(port)))
    raw.settimeout(5)
    raw.sendall(
        f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b"101" in raw.recv(500)
    raw.setblocking(False)
    return raw


def masked(text):
    """A text frame of a WebSocket client (RFC 6455) with a mask of zeros."""
    length = bytes([0x80 | len(text)]) if len(text) <= 125 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + text
