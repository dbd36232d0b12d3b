"""Fly without a screen: fuse, record from the first frame on, and tag the recording with where and when.

Run from a checkout: `python -m apps.drone_recorder flight.yaml --nmea /dev/ttyACM0` (a GPS receiver's sentences) or
`--mavlink udpin:0.0.0.0:14550` (an autopilot). Without either, or while neither speaks, it records all the same.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from apps.position import Listener, Position, mavlink_positions, nmea_positions
from hsi_edge.command_line import OneLineParser, run_tool
from hsi_edge.live.assembly import open_live
from hsi_edge.live.command import positive_seconds, signals_restored, watch
from hsi_edge.live.flight import read_flight, recorder_settings
from hsi_edge.live.log import log_to_stderr


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; 0 for success, 2 for wrong use, 1 for failed work."""
    return run_tool("drone_recorder", lambda: _parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m apps.drone_recorder", description=__doc__)
    parser.add_argument("flight", type=Path, help="the flight file, with a section record")
    parser.add_argument(
        "--nmea", metavar="PORT", help="serial port of a GPS receiver, or a URL such as socket://HOST:PORT"
    )
    parser.add_argument("--mavlink", metavar="CONNECTION", help="an autopilot, as pymavlink names it")
    parser.add_argument("--seconds", type=positive_seconds, metavar="S", help="stop after so long")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    log_to_stderr()
    flight = read_flight(arguments.flight)
    recorder_settings(flight, arguments.flight)
    listeners: list[Callable[[threading.Event], Iterator[Position]]] = []
    if arguments.nmea is not None:
        listeners.append(lambda stop: nmea_positions(arguments.nmea, stop))
    if arguments.mavlink is not None:
        listeners.append(lambda stop: mavlink_positions(arguments.mavlink, stop))
    with signals_restored(), ExitStack() as stack:
        live = stack.enter_context(open_live(flight, record=True))
        for positions in listeners:
            stack.enter_context(Listener(positions, live.add_tag))
        watch(live, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
