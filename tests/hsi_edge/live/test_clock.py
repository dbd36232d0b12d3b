from __future__ import annotations

import itertools
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.live.clock import SLOTS, ClockModel, lower_hull

MS = 1_000_000
S = 1_000_000_000


def taken_less_truth_ms(fps, skew_ppm, delays_s, **settings):
    """Errors in milliseconds, per frame, for a sensor of that rate and clock."""
    model = ClockModel(**settings)
    errors = []
    for k, delay_s in enumerate(delays_s):
        taken_s = k / fps
        stamp_ns = round((5 + taken_s * (1 + skew_ppm * 1e-6)) * S)
        errors.append(
            model.host_time_ns(stamp_ns, round((100 + taken_s + delay_s) * S), k) / MS - (100 + taken_s) * 1e3
        )
    assert model.jumps == 0
    return np.abs(errors)


@pytest.mark.parametrize("skew_ppm", [-200, 0, 200])
@pytest.mark.parametrize("fps", [2, 10, 30])
@pytest.mark.parametrize("delay", ["uniform", "exponential"])
def test_a_jittery_and_skewed_clock_is_known_to_a_millisecond(fps, skew_ppm, delay, rng):
    count = 120 * fps
    delays_s = rng.uniform(0, 6e-3, count) if delay == "uniform" else rng.exponential(3e-3, count)
    errors = taken_less_truth_ms(fps, skew_ppm, delays_s)
    assert errors[40 * fps :].max() < 1.0
    assert np.median(errors[40 * fps :]) < 0.4


def test_the_first_frame_is_taken_to_have_come_without_delay_but_for_the_latency():
    assert ClockModel(latency_ms=20).host_time_ns(7, 500 * MS, 0) == 480 * MS


def test_a_sensor_without_a_clock_keeps_its_times_of_arrival(rng):
    model = ClockModel()
    for k, arrival_ns in enumerate(np.cumsum(rng.integers(1, 300 * MS, 500)).tolist()):
        assert model.host_time_ns(arrival_ns, arrival_ns, k) == arrival_ns
    assert model.jumps == 0


def test_frames_held_up_on_the_way_keep_the_time_at_which_they_were_taken():
    model = ClockModel()
    for k in range(20):
        model.host_time_ns(k * 500 * MS, k * 500 * MS, k)
    # Three seconds of silence, then all that was held up at once.
    for k in range(20, 26):
        assert model.host_time_ns(k * 500 * MS, 13 * S + k, k) == pytest.approx(k * 500 * MS, abs=MS)
    assert model.jumps == 0


def test_a_camera_that_starts_to_lag_is_told_from_a_clock_that_was_set_back():
    lagging, set_back = ClockModel(), ClockModel()
    for k in range(20):
        lagging.host_time_ns(k * 100 * MS, k * 100 * MS, k)
        set_back.host_time_ns(k * 100 * MS, k * 100 * MS, k)
    for k in range(20, 40):
        # Both stamps are a second behind their arrival from here on; one camera's are true.
        assert lagging.host_time_ns(k * 100 * MS, k * 100 * MS + S, k) == pytest.approx(k * 100 * MS, abs=2 * MS)
        stamp_ns = k * 100 * MS - S
        assert set_back.host_time_ns(stamp_ns, k * 100 * MS, k) == pytest.approx(k * 100 * MS, abs=MS)
    assert (lagging.jumps, set_back.jumps) == (0, 1)


def test_a_camera_that_lags_for_five_minutes_does_not_come_to_look_prompt():
    model = ClockModel()
    for k in range(20):
        model.host_time_ns(k * 500 * MS, k * 500 * MS, k)
    for k in range(20, 620):
        assert model.host_time_ns(k * 500 * MS, k * 500 * MS + S, k) - k * 500 * MS < 100 * MS
    # When it catches up, it is known at once to be prompt, and its clock was always well.
    assert model.host_time_ns(620 * 500 * MS, 620 * 500 * MS, 620) == 620 * 500 * MS
    assert model.jumps == 0


@pytest.mark.parametrize("step_ms", [-5000, -450, 150, 5000])
def test_a_step_of_the_clock_is_counted_and_the_model_starts_anew(step_ms):
    model = ClockModel()
    for k in range(80):
        stamp_ns = k * 500 * MS + (step_ms * MS if k >= 40 else 0)
        assert model.host_time_ns(stamp_ns, k * 500 * MS, k) == pytest.approx(k * 500 * MS, abs=MS)
    assert model.jumps == 1


def test_a_sensor_that_pauses_has_not_stepped():
    model = ClockModel()
    for k in range(40):
        taken_ns = k * 100 * MS + (7 * S if k >= 20 else 0)
        assert model.host_time_ns(taken_ns, taken_ns, k) == taken_ns
    assert model.jumps == 0


def test_lost_frames_are_no_step_of_the_clock():
    model = ClockModel()
    for k in [*range(20), *range(60, 80)]:
        late_ns = 300 * MS if k == 60 else 0
        assert model.host_time_ns(k * 100 * MS, k * 100 * MS + late_ns, k) == pytest.approx(k * 100 * MS, abs=2 * MS)
    assert model.jumps == 0


def test_a_first_frame_that_was_late_is_no_step_of_the_clock():
    model = ClockModel()
    model.host_time_ns(0, 400 * MS, 0)
    assert model.host_time_ns(100 * MS, 105 * MS, 1) == 105 * MS
    assert model.jumps == 0


@given(
    steps_ms=st.lists(st.tuples(st.integers(-200, 3000), st.integers(0, 3000)), min_size=1, max_size=200),
    latency_ms=st.integers(0, 50),
)
def test_no_frame_was_taken_after_it_arrived_and_the_memory_is_bounded(steps_ms, latency_ms):
    model = ClockModel(latency_ms)
    stamp_ns = arrival_ns = 0
    for k, (stamp_step, arrival_step) in enumerate(steps_ms):
        stamp_ns += stamp_step * MS
        arrival_ns += arrival_step * MS
        assert model.host_time_ns(stamp_ns, arrival_ns, k) <= arrival_ns - latency_ms * MS
    assert len(model._slots) <= SLOTS


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-100, 100)), min_size=1, max_size=40))
def test_the_lower_hull_lies_below_all_points_and_turns_left(steps):
    xs = itertools.accumulate(dx for dx, _ in steps)
    points = deque((x, y) for x, (_, y) in zip(xs, steps, strict=True))
    hull = lower_hull(points)
    assert (hull[0], hull[-1]) == (points[0], points[-1])
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(hull)]
    assert all(before < after for before, after in itertools.pairwise(slopes))
    heights = np.interp([x for x, _ in points], [x for x, _ in hull], [y for _, y in hull])
    assert all(y >= height - 1e-9 for (_, y), height in zip(points, heights, strict=True))
