"""Where the drone is, from a GPS receiver on a serial port (NMEA 0183) or from an autopilot (MAVLink)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from hsi_edge.errors import require
from hsi_edge.host_clock import host_time_ns

BAUD = 9600
"""NMEA 0183's usual rate with GPS receivers; USB receivers take any."""
LONGEST_LINE = 256
"""Bytes; NMEA 0183 allows 82, and some receivers send more. At a wrong rate a line may never end."""
SILENCE_S = 1.0
PAUSE_S = 2.0
Position = dict[str, Any]
_log = logging.getLogger(f"hsi_edge.{__name__}")  # with the rest of the log


class Listener:
    """A thread that hands on positions; where their source fails, it is opened again, and the flight goes on.

    Args:
        positions: Yields them until the event is set.
        tag: Takes name, values and host time.
    """

    def __init__(
        self, positions: Callable[[threading.Event], Iterator[Position]], tag: Callable[[str, Position, int], None]
    ) -> None:
        self._positions = positions
        self._tag = tag
        self._stop = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._listen, name="position", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._stop.is_set():
            self._hand_on()
            self._stop.wait(PAUSE_S)

    def _hand_on(self) -> None:
        try:
            for position in self._positions(self._stop):
                self._tag("position", position, host_time_ns())
        except Exception as err:  # a receiver's driver may raise what it likes
            if str(err) != self._said:
                _log.warning("no position: %s", err)
            self._said = str(err)


def nmea_positions(port: str, stop: threading.Event) -> Iterator[Position]:
    """Positions from the GGA and RMC sentences (NMEA 0183) of a serial port."""
    serial = require("serial", feature="reading a serial GPS receiver", extra="position")
    pynmea2 = require("pynmea2", feature="reading NMEA sentences", extra="position")
    with serial.serial_for_url(port, baudrate=BAUD, timeout=SILENCE_S) as source:
        while not stop.is_set():
            line = source.readline(LONGEST_LINE).decode("ascii", errors="replace").strip()
            if line.startswith("$") and (position := _of_sentence(pynmea2, line)):
                yield position


def _of_sentence(pynmea2: Any, line: str) -> Position | None:
    try:
        said = pynmea2.parse(line, check=True)
    except pynmea2.ParseError:
        return None  # a sentence cut short; the next one comes within a second
    # Without a fix, receivers send their last position, or none.
    fixed = {"GGA": lambda: said.gps_qual, "RMC": lambda: said.status == "A"}.get(said.sentence_type)
    if fixed is None or not fixed() or not said.lat:
        return None
    position: Position = {"source": "nmea", "latitude_deg": said.latitude, "longitude_deg": said.longitude}
    if said.sentence_type == "GGA" and said.altitude is not None:
        position["altitude_m"] = said.altitude
    if said.sentence_type == "RMC" and said.datestamp and said.timestamp:
        position["utc"] = said.datetime.isoformat()
    return position


def mavlink_positions(connection: str, stop: threading.Event) -> Iterator[Position]:
    """Positions and attitude from an autopilot's GLOBAL_POSITION_INT and ATTITUDE messages (MAVLink common)."""
    mavutil = require("pymavlink.mavutil", feature="listening to an autopilot", extra="position")
    source = mavutil.mavlink_connection(connection)
    try:
        while not stop.is_set():
            said = source.recv_match(type=["GLOBAL_POSITION_INT", "ATTITUDE"], blocking=True, timeout=SILENCE_S)
            if said is not None:
                yield _of_message(said.get_type(), said)
    finally:
        source.close()


def _of_message(kind: str, said: Any) -> Position:
    if kind == "ATTITUDE":
        return {"source": "mavlink", "roll_rad": said.roll, "pitch_rad": said.pitch, "yaw_rad": said.yaw}
    return {
        "source": "mavlink",
        "latitude_deg": said.lat / 1e7,
        "longitude_deg": said.lon / 1e7,
        "altitude_m": said.alt / 1e3,
        "above_ground_m": said.relative_alt / 1e3,
    }
