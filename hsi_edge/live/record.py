"""`hsi-edge record`: both sensors' raw frames onto the disk, without a model; `hsi-edge replay` fuses them later."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from hsi_edge.engine import HSIEngine
from hsi_edge.errors import RecordingError
from hsi_edge.live.assembly import QUEUED_PAIRS, flight_rig, opened_readings, opened_simulation
from hsi_edge.live.command import POLL_S, STATUS_EVERY_S, interruptible, positive_seconds, signals_restored
from hsi_edge.live.feed import Feed
from hsi_edge.live.flight import Flight, read_flight, recorder_settings
from hsi_edge.live.log import log_to_stderr
from hsi_edge.live.packing import packed
from hsi_edge.live.pairing import Intake
from hsi_edge.live.reading import Reading
from hsi_edge.live.recorder import Recorder
from hsi_edge.live.sd_notify import ServiceNotifier
from hsi_edge.live.setup import Setup
from hsi_edge.live.status import RecordingStatus
from hsi_edge.registration.rig import Rig
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.simulated import SimulatedPair
from hsi_edge.sensors.stream import Stream

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = "Record both sensors of a flight file, without fusing, until they end or it is interrupted."
    parser.epilog = "example: hsi-edge record apps/samples/live.yaml --seconds 60"
    parser.add_argument("flight", type=Path, metavar="FLIGHT", help="the flight file (YAML), with a section record")
    parser.add_argument("--seconds", type=positive_seconds, metavar="S", help="stop after so long")


def run(arguments: argparse.Namespace) -> None:
    """Record.

    Raises:
        RecordingError: The disk refuses, or became full.
        HSIEdgeError: A sensor cannot be opened.
    """
    log_to_stderr()
    flight = read_flight(arguments.flight)
    settings = recorder_settings(flight, arguments.flight)
    with signals_restored(), ExitStack() as stack:
        simulated = _simulation(flight)
        recorder = Recorder(settings, Setup(files=packed(flight, _rig(flight, simulated))))
        # Nobody takes the pairs: the feed only puts the frames in order, and forgets them.
        feed = Feed(partial(Intake, flight.pairing), policy="newest", length=QUEUED_PAIRS)
        readings = opened_readings(flight, simulated, feed).values()
        for reading in readings:
            stack.callback(reading.close)
        stack.callback(recorder.close)
        recorder.start()

        silent: set[Stream] = {"spectral", "rgb"}

        def keep(stream: Stream, frame: SensorFrame) -> None:
            silent.discard(stream)
            recorder.add_frame(stream, frame)

        feed.arrived = keep
        for reading in readings:
            reading.start()
        _watch(recorder, readings, silent, arguments.seconds)
    status = recorder.status()
    sys.stdout.write(f"recorded {_amount(status, silent)}, to {status.path}\n")


def _amount(status: RecordingStatus, silent: Collection[Stream]) -> str:
    lacks = "".join(f", none of the {stream} sensor" for stream in sorted(silent))
    return f"{status.frames} frames, {status.bytes_written / 1e6:.1f} MB{lacks}"


def _rig(flight: Flight, simulated: SimulatedPair | None) -> Rig | None:
    """The flight's rig, if there is one yet: it is found from recorded frames."""
    return None if flight.rig is None and simulated is None else flight_rig(flight, simulated)


def _simulation(flight: Flight) -> SimulatedPair | None:
    if flight.simulation is None:
        return None
    # In real time: nobody makes results that it could be as fast as.
    paced = replace(flight, simulation=replace(flight.simulation, paced=True))
    with HSIEngine(flight.bundle) as engine:
        return opened_simulation(paced, engine)


def _watch(
    recorder: Recorder, readings: Collection[Reading], silent: Collection[Stream], seconds: float | None
) -> None:
    """Say how it goes until the sensors end, the time is up, or somebody stops it."""
    notifier = ServiceNotifier()
    start = said = time.monotonic()
    notifier.ready()
    with interruptible() as stopped:
        while not stopped.wait(POLL_S) and not all(reading.ended for reading in readings):
            now, status = time.monotonic(), recorder.status()
            notifier.alive()
            if status.stopped:
                raise RecordingError(f"the recording stopped by itself: {status.stopped}")
            if now - said >= STATUS_EVERY_S:
                _log.info("%s", _amount(status, silent))
                said = now
            if seconds is not None and now - start >= seconds:
                break
    notifier.stopping()
