from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

from hsi_edge.live.feed import Feed, Policy
from hsi_edge.live.pairing import Intake, PairingSettings
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream
from tests.hsi_edge.live.live_results import START_NS, wait_until

SECOND_NS = 1_000_000_000


def made_feed(policy: Policy = "newest", *, live: bool = False, wait_ms: float = 200.0) -> Feed:
    return Feed(partial(Intake, PairingSettings(wait_ms=wait_ms)), policy=policy, length=1, live=live)


def frame(number: int) -> SensorFrame:
    return SensorFrame(
        data=np.zeros((1, 1, 1), np.uint8),
        timestamp_ns=number * SECOND_NS,
        sequence=number,
        arrival_ns=START_NS + number * SECOND_NS,
    )


def feed_pairs(feed: Feed, *numbers: int) -> None:
    for number in numbers:
        feed.arrive("spectral", frame(number))
        feed.arrive("rgb", frame(number))


def test_the_newest_pair_wins_and_the_others_are_counted() -> None:
    feed = made_feed()
    feed_pairs(feed, 0, 1, 2)
    taken = feed.take()
    assert taken is not None
    assert taken.pair.spectral.sequence == 2
    assert feed.skipped == 2
    assert feed.waiting == 0


def test_the_first_pair_since_the_start_is_known_as_such_even_if_it_was_overtaken() -> None:
    feed = made_feed()
    feed_pairs(feed, 0, 1)
    first = feed.take()
    feed_pairs(feed, 2)
    second = feed.take()
    assert first is not None
    assert second is not None
    assert (first.first, second.first) == (True, False)


def test_lossless_makes_the_sensor_wait_for_the_engine_and_loses_nothing() -> None:
    feed = made_feed("lossless")
    sensor = threading.Thread(target=lambda: (feed_pairs(feed, *range(5)), feed.end("spectral")))
    sensor.start()
    taken = []
    while (one := feed.take()) is not None:
        assert feed.waiting <= 1
        taken.append(one.pair.spectral.sequence)
    sensor.join()
    assert taken == list(range(5))
    assert feed.skipped == 0


def test_a_sensor_that_waits_is_set_free_when_the_feed_is_closed() -> None:
    feed = made_feed("lossless")
    recorded: list[int] = []
    feed.arrived = lambda stream, frame: recorded.append(frame.sequence)
    sensor = threading.Thread(target=feed_pairs, args=(feed, 0, 1, 2))
    sensor.start()
    wait_until(lambda: feed.waiting)
    feed.close()
    sensor.join(10)
    assert not sensor.is_alive()
    assert 2 not in recorded


def test_after_the_close_no_frame_is_recorded_or_fused() -> None:
    feed = made_feed()
    recorded: list[Stream] = []
    feed.arrived = lambda stream, frame: recorded.append(stream)
    feed.close()
    feed_pairs(feed, 0)
    feed.end("spectral")
    assert feed.take() is None
    assert recorded == []


def test_at_the_end_frames_that_wait_for_a_partner_come_out_before_the_end() -> None:
    feed = made_feed()
    feed.arrive("spectral", frame(0))
    feed.end("spectral")
    taken = feed.take()
    assert taken is not None
    assert taken.pair.lack == "no RGB frame has come"
    assert feed.take() is None


def test_live_the_last_spectral_frame_is_paired_with_an_rgb_frame_that_comes_after_the_end() -> None:
    feed = made_feed(live=True, wait_ms=10_000.0)
    feed.arrive("spectral", frame(0))
    feed.end("spectral")
    sensor = threading.Thread(target=feed.arrive, args=("rgb", frame(0)))
    sensor.start()
    taken = feed.take()
    sensor.join()
    assert taken is not None
    assert taken.pair.rgb is not None
    assert feed.take() is None


def test_live_the_last_spectral_frame_waits_no_more_when_both_sensors_have_ended() -> None:
    feed = made_feed(live=True, wait_ms=10_000.0)
    feed.arrive("spectral", frame(0))
    feed.end("spectral")
    feed.end("rgb")
    assert feed.take() is not None
    assert feed.take() is None


def test_frames_go_on_without_the_rgb_sensor_when_that_has_ended() -> None:
    feed = made_feed()
    feed.end("rgb")
    feed.arrive("spectral", frame(0))
    feed.arrive("spectral", frame(1))
    taken = feed.take()
    assert taken is not None
    assert taken.pair.rgb is None


def test_beginning_anew_loses_no_frame_and_no_count() -> None:
    feed = made_feed("lossless")
    feed_pairs(feed, 0)
    assert (taken := feed.take()) is not None
    assert taken.first
    feed.arrive("spectral", frame(1))
    told: list[bool] = []
    feed.begin_anew(lambda: told.append(True))
    assert told == [True]
    assert (waited := feed.take()) is not None
    assert (waited.pair.spectral.sequence, waited.first) == (1, False)
    feed_pairs(feed, 2)
    assert (next_one := feed.take()) is not None
    assert (next_one.pair.spectral.sequence, next_one.first) == (2, True)
    assert feed.counts.spectral.frames == 3
    assert feed.counts.rgb.frames == 2
    assert feed.counts.unpaired_spectral == 1


def test_live_frames_are_stamped_in_the_order_in_which_they_are_recorded() -> None:
    feed = made_feed(live=True)
    stamps: list[int] = []
    feed.arrived = lambda stream, frame: stamps.append(frame.arrival_ns)
    sensors = [threading.Thread(target=lambda: [feed.arrive("rgb", frame(n)) for n in range(200)]) for _ in range(2)]
    for sensor in sensors:
        sensor.start()
    for sensor in sensors:
        sensor.join()
    assert stamps == sorted(stamps)
    assert len(stamps) == 400
    assert stamps[0] != frame(0).arrival_ns


def test_live_a_spectral_frame_without_an_rgb_frame_comes_when_its_time_is_up() -> None:
    feed = made_feed(live=True, wait_ms=1.0)
    feed.arrive("spectral", frame(0))
    taken = feed.take()
    assert taken is not None
    assert taken.pair.rgb is None


@pytest.mark.parametrize("live", [True, False])
def test_who_waits_for_a_pair_hears_of_the_close(live: bool) -> None:
    feed = made_feed(live=live)
    taken: list[object] = []
    engine = threading.Thread(target=lambda: taken.append(feed.take()))
    engine.start()
    feed.close()
    engine.join(10)
    assert taken == [None]
