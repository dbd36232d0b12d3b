"""`hsi-edge live`: fly, from one flight file."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from hsi_edge.errors import HSIEdgeError
from hsi_edge.live.assembly import open_live
from hsi_edge.live.flight import read_flight, recorder_settings
from hsi_edge.live.health import verdict
from hsi_edge.live.log import log_to_stderr
from hsi_edge.live.pipeline import Live
from hsi_edge.live.sd_notify import ServiceNotifier
from hsi_edge.live.status import Status
from hsi_edge.live.viewer import Viewer

STATUS_EVERY_S = 10.0
POLL_S = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no time; wanted seconds above 0")


def run(arguments: argparse.Namespace) -> None:
    """Fly."""
    log_to_stderr()
    flight = read_flight(arguments.flight)
    if arguments.record:
        recorder_settings(flight, arguments.flight)
    with signals_restored(), ExitStack() as stack:
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


class Stop:
    """What a signal sets. Not an event, whose lock may be held by the very thread that the signal comes upon."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Ask for the end; one signal may come while another is handled."""
        self._asked.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Whether the end was asked for, after at most so long."""
        with suppress(Empty):
            self._asked.get(timeout=timeout_s)
            self._asked.put(None)
            return True
        return False


@contextmanager
def interruptible() -> Iterator[Stop]:
    """What Ctrl-C and `kill` set, so that what is under way is finished; then they do nothing (`signals_restored`)."""
    stopped = Stop()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        # Who presses Ctrl-C twice must not break off what finishes the recording.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def signals_restored() -> Iterator[None]:
    """Around `interruptible` and all that is to be closed after it: at the end, signals do what they did before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
