from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import pytest

from hsi_edge.errors import MissingPackageError, SensorEnded, SensorError, SensorTimeout
from hsi_edge.live.feed import Feed
from hsi_edge.live.pairing import Intake, StreamCounts
from hsi_edge.live.reading import Reading
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.reopening import Reopening
from tests.hsi_edge.live.live_results import made_frame, wait_until

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Scripted:
    """A source that sends and raises what it is told, and then is silent."""

    def __init__(self, script: Sequence[object]) -> None:
        self._script = iter(script)
        self._closed = threading.Event()
        self.closed = 0

    def open(self) -> None:
        self._closed.clear()

    def read(self, timeout_s: float) -> SensorFrame:
        said = next(self._script, None)
        if said is None:
            if self._closed.wait(timeout_s):
                raise SensorError("it was closed")
            raise SensorTimeout("nothing came")
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, SensorFrame)
        return said

    def close(self) -> None:
        self.closed += 1
        self._closed.set()


def begun(script: Sequence[object]) -> tuple[Reading, Feed, Scripted, list[int]]:
    source = Scripted(script)
    feed = Feed(partial(Intake), policy="newest", length=1)
    arrived: list[int] = []
    feed.arrived = lambda stream, frame: arrived.append(frame.sequence)
    reopening = Reopening(source, wait=lambda seconds: False)
    reopening.open()
    reading = Reading("spectral", reopening, feed)
    reading.start()
    return reading, feed, source, arrived


def test_frames_go_to_the_feed_until_the_sensor_has_no_more() -> None:
    reading, feed, _, arrived = begun([made_frame(0), SensorTimeout("slow"), made_frame(1), SensorEnded("over")])
    while feed.take() is not None:
        pass
    reading.close()
    assert arrived == [0, 1]
    assert reading.ended
    assert reading.error is None
    assert reading.status(StreamCounts(frames=2)).state == "ended"


def test_a_lost_sensor_is_opened_again_and_goes_on() -> None:
    reading, _, _, arrived = begun([made_frame(0), SensorError("the cable"), made_frame(1)])
    wait_until(lambda: arrived == [0, 1])
    status = reading.status(StreamCounts(frames=2))
    assert (status.state, status.reopened, status.error) == ("running", 1, "")
    assert status.newest_age_ms is not None
    assert status.frames_per_s > 0
    reading.close()


def test_what_cannot_heal_ends_the_feed_and_is_told() -> None:
    reading, feed, _, _ = begun([made_frame(0), MissingPackageError("the package x is not installed")])
    while feed.take() is not None:
        pass
    reading.close()
    assert str(reading.error) == "the package x is not installed"
    assert reading.status(StreamCounts()).error == "the package x is not installed"


def test_closing_gives_back_the_sensor_while_it_is_silent() -> None:
    reading, feed, source, _ = begun([])
    assert reading.status(StreamCounts()).state == "waiting"
    feed.close()
    reading.close()
    assert source.closed > 0
    assert reading.error is None


def test_a_sensor_that_was_never_read_is_closed_all_the_same() -> None:
    source = Scripted([])
    Reading("rgb", Reopening(source), Feed(partial(Intake), policy="newest", length=1)).close()
    assert source.closed == 1
