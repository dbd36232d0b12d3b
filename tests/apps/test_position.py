from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from apps import position
from apps.position import Listener, Position, mavlink_positions, nmea_positions
from tests.hsi_edge.live.live_results import wait_until

serial = pytest.importorskip("serial", reason="pyserial is not installed")
pytest.importorskip("pynmea2", reason="pynmea2 is not installed")
pytest.importorskip("pymavlink", reason="pymavlink is not installed")

GGA = "GNGGA,123519.00,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"
RMC = "GPRMC,123519.00,A,4807.038,N,01131.000,E,022.4,084.4,230326,003.1,W"


def sentence(text: str) -> bytes:
    checksum = 0
    for byte in text.encode():
        checksum ^= byte
    return f"${text}*{checksum:02X}\r\n".encode()


class Port:
    """A serial port that plays lines, then sets the event."""

    def __init__(self, stop: threading.Event, lines: list[bytes]) -> None:
        self._stop, self._lines = stop, iter(lines)
        self.closed = False

    def __enter__(self) -> Port:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def readline(self, size: int) -> bytes:
        line = next(self._lines, None)
        if line is None:
            self._stop.set()
        return (line or b"")[:size]


def heard(monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> list[Position]:
    stop = threading.Event()
    port = Port(stop, list(lines))
    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: port)
    positions = list(nmea_positions("/dev/ttyACM0", stop))
    assert port.closed
    return positions


def test_a_receivers_sentences_give_where_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    where, when = heard(monkeypatch, sentence(GGA), sentence("GPGSV,1,1,00"), sentence(RMC))
    assert where["latitude_deg"] == pytest.approx(48.1173)
    assert where["longitude_deg"] == pytest.approx(11.516667)
    assert where["altitude_m"] == 545.4
    assert when["utc"].startswith("2026-03-23T12:35:19")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe garbage",
        sentence(GGA)[:30],
        sentence(GGA).replace(b"4807", b"4808"),
        sentence("GNGGA,123519.00,,,,,0,00,99.9,,M,,M,,"),
        sentence("GNGGA,123519.00,4807.038,N,01131.000,E,0,00,99.9,545.4,M,46.9,M,,"),
        sentence(RMC.replace(",A,", ",V,")),
        b"$" + b"x" * 100_000,
    ],
)
def test_without_a_fix_or_with_a_damaged_sentence_there_is_no_position(
    monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    assert len(heard(monkeypatch, line, sentence(GGA))) == 1


def test_a_receiver_may_be_reached_over_the_network() -> None:
    stop, heard_all = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):
                # A port forgets what came before it was opened.
                while not heard_all.wait(0.02):
                    peer.sendall(sentence(GGA))

        speaking = threading.Thread(target=speak)
        speaking.start()
        positions = nmea_positions(f"socket://127.0.0.1:{server.getsockname()[1]}", stop)
        assert next(positions)["altitude_m"] == 545.4
        stop.set()
        assert len(list(positions)) <= 1
        heard_all.set()
        speaking.join()


class Autopilot:
    def __init__(self, stop: threading.Event) -> None:
        attitude = SimpleNamespace(get_type=lambda: "ATTITUDE", roll=0.1, pitch=0.2, yaw=0.3)
        place = SimpleNamespace(
            get_type=lambda: "GLOBAL_POSITION_INT", lat=481173000, lon=115166667, alt=545400, relative_alt=30000
        )
        self._said, self._stop, self.closed = iter([attitude, None, place]), stop, False

    def recv_match(self, **wanted: Any) -> Any:
        assert wanted["blocking"]
        try:
            return next(self._said)
        except StopIteration:
            self._stop.set()
            return None

    def close(self) -> None:
        self.closed = True


def test_an_autopilot_gives_position_and_attitude_in_usual_units(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    autopilot = Autopilot(stop)
    monkeypatch.setattr("pymavlink.mavutil.mavlink_connection", lambda _: autopilot)
    attitude, place = mavlink_positions("udpin:127.0.0.1:0", stop)
    assert attitude["yaw_rad"] == 0.3
    assert (place["latitude_deg"], place["altitude_m"], place["above_ground_m"]) == (48.1173, 545.4, 30.0)
    assert autopilot.closed


def test_a_source_that_fails_is_opened_again_and_its_error_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(position, "PAUSE_S", 0.001)
    tries = iter(range(100))
    tags: list[tuple[str, Position]] = []

    def positions(stop: threading.Event) -> Iterator[Position]:
        if next(tries) < 3:
            raise OSError("no such port")
        yield {"latitude_deg": 1.0}
        stop.wait(10)

    with Listener(positions, lambda name, values, timestamp_ns: tags.append((name, values))):
        wait_until(lambda: tags)
    assert tags == [("position", {"latitude_deg": 1.0})]
    assert caplog.text.count("no such port") == 1
