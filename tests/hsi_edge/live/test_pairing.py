from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError
from hsi_edge.live.pairing import Intake, PairingSettings
from hsi_edge.sensors.frame import SensorFrame

MS = 1_000_000
PIXEL = np.zeros((1, 1, 1), np.uint8)


def frame(sequence, taken_ms, arrival_ms=None, clock_ms=0):
    """A frame whose sensor's clock is `clock_ms` ahead of the host's."""
    arrival_ms = taken_ms if arrival_ms is None else arrival_ms
    stamp_ns = round((taken_ms + clock_ms) * MS)
    return SensorFrame(data=PIXEL, timestamp_ns=stamp_ns, sequence=sequence, arrival_ns=round(arrival_ms * MS))


def fed(intake, arrivals):
    """The pairs of `(stream, frame)`s, and of the end."""
    return [pair for stream, each in arrivals for pair in intake.arrive(stream, each)] + intake.finish()


def flight(seconds, rgb_fps=10, spectral_fps=2, spectral_at_ms=30.0):
    """Two sensors with clocks of their own, in order of arrival."""
    rgb = (("rgb", frame(k, k * 1000 / rgb_fps, clock_ms=5000)) for k in range(seconds * rgb_fps))
    spectral = (
        ("spectral", frame(k, spectral_at_ms + k * 1000 / spectral_fps, clock_ms=-70))
        for k in range(seconds * spectral_fps)
    )
    return sorted([*rgb, *spectral], key=lambda arrival: arrival[1].arrival_ns)


def sequences(pairs):
    return [(pair.spectral.sequence, None if pair.rgb is None else pair.rgb.sequence) for pair in pairs]


def test_each_spectral_frame_gets_the_rgb_frame_nearest_in_time():
    intake = Intake()
    assert sequences(fed(intake, flight(3))) == [(k, 5 * k) for k in range(6)]
    assert (intake.counts.rgb.frames, intake.counts.spectral.frames) == (30, 6)
    assert (intake.counts.unpaired_rgb, intake.counts.unpaired_spectral) == (24, 0)


def test_a_pair_says_how_far_apart_its_frames_were_taken():
    (pair, *_) = fed(Intake(), flight(1))
    assert (pair.timestamp_ns, pair.apart_ns, pair.lack) == (30 * MS, -30 * MS, "")


def test_a_spectral_frame_waits_for_the_rgb_frame_after_it():
    intake = Intake()
    intake.arrive("rgb", frame(0, 0))
    assert intake.arrive("spectral", frame(0, 70)) == []
    assert intake.next_due_ns == 270 * MS
    assert sequences(intake.arrive("rgb", frame(1, 100))) == [(0, 1)]
    assert intake.next_due_ns is None


def test_it_waits_no_longer_than_told_and_takes_the_best_so_far():
    intake = Intake(PairingSettings(wait_ms=80))
    intake.arrive("rgb", frame(0, 0))
    intake.arrive("spectral", frame(0, 40))
    assert intake.wake(119 * MS) == []
    assert sequences(intake.wake(120 * MS)) == [(0, 0)]


def test_a_frame_before_all_rgb_frames_says_so():
    (alone,) = fed(Intake(), [("spectral", frame(0, 0))])
    assert alone.lack == "no RGB frame has come"


def test_a_partner_too_far_away_is_told_with_its_distance():
    intake = Intake()
    pairs = fed(intake, [("rgb", frame(0, 100)), ("spectral", frame(0, 440)), ("spectral", frame(1, 2200))])
    assert [pair.lack for pair in pairs] == [
        "the nearest RGB frame is 340 ms away (tolerance 50 ms)",
        "no RGB frame for 2.1 s",
    ]
    assert all(pair.rgb is None and pair.apart_ns is None for pair in pairs)
    assert (intake.counts.unpaired_spectral, intake.counts.unpaired_rgb) == (2, 1)


def test_one_rgb_frame_may_serve_several_spectral_frames():
    arrivals = [("spectral", frame(0, 0)), ("rgb", frame(0, 20)), ("spectral", frame(1, 40)), ("rgb", frame(1, 90))]
    assert sequences(fed(Intake(), arrivals)) == [(0, 0), (1, 0)]


def test_latencies_are_taken_off():
    intake = Intake(PairingSettings(rgb_latency_ms=100))
    arrivals = [("spectral", frame(0, 0)), ("rgb", frame(0, 0)), ("rgb", frame(1, 100)), ("rgb", frame(2, 200))]
    assert sequences(fed(intake, arrivals)) == [(0, 1)]


def test_repeated_and_overtaken_frames_are_refused_and_lost_ones_counted():
    intake = Intake()
    numbers = [0, 1, 1, 2, 5, 4, 6]
    arrivals = [("rgb", frame(k, 100 * k, 100 * max(numbers[: at + 1]) + at)) for at, k in enumerate(numbers)]
    fed(intake, arrivals)
    counts = intake.counts.rgb
    assert (counts.frames, counts.refused, counts.lost, counts.clock_jumps) == (7, 2, 2, 0)


def test_a_frame_with_the_time_of_the_last_one_is_refused():
    intake = Intake()
    fed(intake, [("spectral", frame(0, 0)), ("spectral", frame(1, 0, 500))])
    assert intake.counts.spectral.refused == 1


def test_a_sensor_that_counts_from_zero_again_goes_on():
    intake = Intake()
    before = [("spectral", frame(k, 500 * k)) for k in range(10)]
    after = [("spectral", frame(k, 10_000 + 500 * k)) for k in range(10)]
    assert len(fed(intake, before + after)) == 20
    assert (intake.counts.spectral.refused, intake.counts.spectral.lost) == (0, 0)


def test_a_sensor_that_lost_its_count_and_its_clock_costs_one_frame():
    intake = Intake()
    before = [("spectral", frame(k, 500 * k, clock_ms=60_000)) for k in range(10)]
    after = [("spectral", frame(k, 10_000 + 500 * k, clock_ms=-10_000)) for k in range(10)]
    pairs = fed(intake, before + after)
    assert len(pairs) == 19
    assert (intake.counts.spectral.refused, intake.counts.spectral.clock_jumps) == (1, 1)
    assert pairs[-1].timestamp_ns == pytest.approx(14_500 * MS, abs=MS)


@pytest.mark.parametrize("step_ms", [-5000, 5000])
@pytest.mark.parametrize("stream", ["rgb", "spectral"])
def test_a_step_of_a_clock_is_counted_and_does_not_mispair(stream, step_ms):
    moved = [
        (
            name,
            frame(each.sequence, each.arrival_ns / MS, clock_ms=step_ms * (name == stream and each.arrival_ns > 2.5e9)),
        )
        for name, each in flight(5)
    ]
    intake = Intake()
    assert sequences(fed(intake, moved)) == [(k, 5 * k) for k in range(10)]
    assert (intake.counts.rgb.clock_jumps, intake.counts.spectral.clock_jumps) == (
        (1, 0) if stream == "rgb" else (0, 1)
    )


def test_a_lagging_rgb_camera_is_not_paired_as_if_it_were_prompt():
    lagging = [
        (
            name,
            frame(
                each.sequence, each.arrival_ns / MS, each.arrival_ns / MS + 900 * (name == "rgb" and each.sequence > 9)
            ),
        )
        for name, each in flight(5)
    ]
    pairs = fed(Intake(), sorted(lagging, key=lambda arrival: arrival[1].arrival_ns))
    assert all(pair.rgb is None or pair.rgb.sequence == 5 * pair.spectral.sequence for pair in pairs)
    assert sum(pair.rgb is None for pair in pairs) >= 7


@pytest.mark.parametrize(
    "wrong", [{"tolerance_ms": -1.0}, {"wait_ms": -1.0}, {"clock_jump_ms": 0.0}, {"frames_kept": 1}]
)
def test_impossible_settings_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        PairingSettings(**wrong)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["rgb", "spectral"]),
        st.integers(-1, 3),  # the sensor's count
        st.integers(-300, 1500),  # its clock, in milliseconds
        st.integers(0, 1500),  # the host's
    ),
    max_size=80,
)
SETTINGS = st.builds(
    PairingSettings,
    tolerance_ms=st.integers(0, 400).map(float),
    wait_ms=st.integers(0, 2000).map(float),
    frames_kept=st.integers(2, 6),
)


def arrivals_of(steps):
    """Any frames at all: repeated, out of order, with clocks that step."""
    counts, clocks, arrival_ms = {"rgb": 5, "spectral": 5}, {"rgb": 0, "spectral": 9000}, 0
    arrivals = []
    for stream, count, clock_ms, host_ms in steps:
        counts[stream] += count
        clocks[stream] += clock_ms
        arrival_ms += host_ms
        arrivals.append((stream, frame(counts[stream], clocks[stream], arrival_ms)))
    return arrivals


@given(steps=STEPS, settings=SETTINGS)
def test_every_accepted_spectral_frame_gives_one_pair_in_order_of_time(steps, settings):
    arrivals = arrivals_of(steps)
    intake = Intake(settings)
    pairs = fed(intake, arrivals)
    counts = intake.counts
    order = [id(each) for stream, each in arrivals if stream == "spectral"]
    places = [order.index(id(pair.spectral)) for pair in pairs]
    assert len(pairs) == counts.spectral.frames - counts.spectral.refused
    assert all(one < other for one, other in itertools.pairwise(places))
    assert all(one.timestamp_ns < other.timestamp_ns for one, other in itertools.pairwise(pairs))
    used = {id(pair.rgb) for pair in pairs if pair.rgb is not None}
    assert counts.unpaired_rgb == counts.rgb.frames - counts.rgb.refused - len(used)
    assert counts.unpaired_spectral == sum(pair.rgb is None for pair in pairs)


@given(steps=STEPS, settings=SETTINGS)
def test_no_pair_is_further_apart_than_the_tolerance_and_each_lack_is_told(steps, settings):
    for pair in fed(Intake(settings), arrivals_of(steps)):
        assert (pair.rgb is None) == (pair.apart_ns is None) == (pair.lack != "")
        assert pair.apart_ns is None or abs(pair.apart_ns) <= settings.tolerance_ms * MS


@given(steps=STEPS, settings=SETTINGS, wakes=st.lists(st.integers(0, 100), max_size=80))
def test_when_it_is_woken_changes_no_pair(steps, settings, wakes):
    arrivals = arrivals_of(steps)
    woken = Intake(settings)
    pairs = []
    for (stream, each), percent in itertools.zip_longest(arrivals, wakes[: len(arrivals)], fillvalue=100):
        before_ns = pairs[-1].spectral.arrival_ns if pairs else 0
        pairs += woken.wake(before_ns + (each.arrival_ns - before_ns) * percent // 100)
        pairs += woken.arrive(stream, each)
    pairs += woken.finish()
    plain = Intake(settings)
    expected = fed(plain, arrivals)
    assert [(pair.spectral, pair.rgb, pair.timestamp_ns, pair.lack) for pair in pairs] == [
        (pair.spectral, pair.rgb, pair.timestamp_ns, pair.lack) for pair in expected
    ]
    assert woken.counts == plain.counts


@given(
    rgb_ms=st.lists(st.integers(0, 5000), min_size=1, max_size=40, unique=True),
    spectral_ms=st.lists(st.integers(0, 5000), min_size=1, max_size=40, unique=True),
    tolerance_ms=st.integers(0, 500),
)
def test_no_rgb_frame_would_have_been_nearer(rgb_ms, spectral_ms, tolerance_ms):
    """Of prompt frames, without limits on the wait and on what is held."""
    arrivals = [("rgb", frame(k, taken)) for k, taken in enumerate(sorted(rgb_ms))]
    arrivals += [("spectral", frame(k, taken)) for k, taken in enumerate(sorted(spectral_ms))]
    settings = PairingSettings(tolerance_ms=tolerance_ms, wait_ms=1e4, frames_kept=100)
    pairs = fed(Intake(settings), sorted(arrivals, key=lambda arrival: arrival[1].arrival_ns))
    for pair, taken in zip(pairs, sorted(spectral_ms), strict=True):
        nearest_ms = min(abs(rgb - taken) for rgb in rgb_ms)
        assert (None if pair.rgb is None else abs(pair.apart_ns)) == (
            nearest_ms * MS if nearest_ms <= tolerance_ms else None
        )


@given(steps=STEPS, settings=SETTINGS)
def test_no_more_frames_are_held_than_told(steps, settings):
    intake = Intake(settings)
    for stream, each in arrivals_of(steps):
        intake.arrive(stream, each)
        assert len(intake._rgb) <= settings.frames_kept
        assert len(intake._waiting) <= settings.frames_kept


@given(steps=STEPS)
def test_frames_are_taken_on_time(steps):
    """Nothing waits beyond its time, if only the other sensor sends."""
    intake = Intake()
    for stream, each in arrivals_of(steps):
        intake.arrive(stream, each)
        assert intake.next_due_ns is None or intake.next_due_ns > each.arrival_ns
