"""`hsi-edge live`: fly, from one flight file."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hsi_edge.errors import HSIEdgeError
from hsi_edge.live.assembly import open_live
from hsi_edge.live.flight import read_flight
from hsi_edge.live.health import verdict
from hsi_edge.live.log import log_to_stderr
from hsi_edge.live.pipeline import Live
from hsi_edge.live.sd_notify import ServiceNotifier
from hsi_edge.live.status import Status
from hsi_edge.live.viewer import Viewer

STATUS_EVERY_S = 10.0
POLL_S = 0.5
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = "Fuse two live sensors as a flight file says, until they end or it is interrupted."
    parser.epilog = "example: hsi-edge live apps/samples/live.yaml --view"
    parser.add_argument("flight", type=Path, metavar="FLIGHT", help="the flight file (YAML)")
    parser.add_argument("--view", action="store_true", help="serve the page that shows the stream in a browser")
    parser.add_argument("--record", action="store_true", help="begin to record at once")
    parser.add_argument("--seconds", type=positive_seconds, metavar="S", help="stop after so long")


def positive_seconds(text: str) -> float:
    """An argument's text as a time, for argparse."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time; wanted seconds above 0")
    return seconds


def run(arguments: argparse.Namespace) -> None:
    """Fly."""
    log_to_stderr()
    flight = read_flight(arguments.flight)
    with ExitStack() as stack:
        live = stack.enter_context(open_live(flight, record=arguments.record))
        if arguments.view:
            viewer = stack.enter_context(Viewer(flight.view, live))
            sys.stdout.write(f"watch it at {viewer.url}\n")
            sys.stdout.flush()
        watch(live, arguments.seconds)


def watch(live: Live, seconds: float | None) -> None:
    """Say how the stream is, to people and to systemd, until it ends, the time is up, or somebody stops it.

    Raises:
        HSIEdgeError: The pipeline failed as a whole, or on every pair.
    """
    notifier = ServiceNotifier()
    end = None if seconds is None else time.monotonic() + seconds
    earlier, said = live.status(), time.monotonic()
    notifier.ready()
    with interruptible() as stopped:
        while not live.finished and not stopped.wait(POLL_S) and (end is None or time.monotonic() < end):
            notifier.alive()
            if time.monotonic() - said >= STATUS_EVERY_S:
                status = live.status()
                _say(status, earlier, notifier)
                earlier, said = status, time.monotonic()
    notifier.stopping()
    status = live.status()
    _say(status, earlier, notifier)
    live.raise_error()
    if status.failed and not status.results:
        raise HSIEdgeError(f"no result could be made of {status.failed} pairs: {status.failure}")


def _say(status: Status, earlier: Status, notifier: ServiceNotifier) -> None:
    health = verdict(status, earlier)
    age = status.latencies.get("age")
    words = (
        f"{health.state}: {status.results} results, {status.fused} fused"
        + (f", {age.p50_ms:.0f} ms old" if age else "")
        + "".join(f"; {reason}" for reason in health.reasons)
    )
    _log.info(words, extra={"health": health.state, "results": status.results, "memory_bytes": status.memory_bytes})
    notifier.status(words)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C and `kill` set, so that what is under way is finished."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
