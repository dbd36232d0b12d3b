from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import pytest

from hsi_edge.errors import RecordingError
from hsi_edge.live.feed import Feed
from hsi_edge.live.pairing import Intake
from hsi_edge.live.playing import Playing
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream
from tests.hsi_edge.live.live_results import made_frame

pytestmark = pytest.mark.usefixtures("no_thread_left")
Arrivals = Iterator[tuple[Stream, SensorFrame]]


def made_feed() -> Feed:
    return Feed(partial(Intake), policy="lossless", length=1, live=False)


def sequences(feed: Feed) -> list[int]:
    taken = []
    while (one := feed.take()) is not None:
        taken.append(one.pair.spectral.sequence)
    return taken


def test_frames_are_played_in_their_order_and_keep_their_times() -> None:
    feed = made_feed()
    arrived: list[int] = []
    feed.arrived = lambda stream, frame: arrived.append(frame.arrival_ns)
    playing = Playing([("spectral", made_frame(number)) for number in range(5)], feed)
    playing.start()
    assert sequences(feed) == list(range(5))
    playing.close()
    assert arrived == [made_frame(number).arrival_ns for number in range(5)]


@pytest.mark.parametrize("error", [RecordingError("it is damaged"), KeyError("it is odd")])
def test_an_error_ends_the_stream_after_what_came_before(error: Exception) -> None:
    def arrivals() -> Arrivals:
        yield "spectral", made_frame(0)
        raise error

    feed = made_feed()
    playing = Playing(arrivals(), feed)
    playing.start()
    assert sequences(feed) == [0]
    playing.close()
    assert str(error.args[0]) in str(playing.error)


def test_frames_without_end_stop_with_the_feed() -> None:
    feed = made_feed()
    playing = Playing(((("spectral", made_frame(number)) for number in itertools.count())), feed)
    playing.start()
    assert feed.take() is not None
    feed.close()
    playing.close()
    assert playing.error is None
