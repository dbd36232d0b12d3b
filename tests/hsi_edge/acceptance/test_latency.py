"""Latency: what the percentiles are, how frames are paced, and how two engines take turns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.acceptance import latency
from hsi_edge.acceptance.latency import WARM_UP_FRAMES, Camera, Run, latency_of, run_by_turns
from hsi_edge.acceptance.scene import Scene
from tests.hsi_edge.acceptance.checks import run_of

SCENES = [Scene(name=name, lr_hsi=np.zeros((2, 2, 1)), hr_msi=None) for name in ("a", "b")]


class FakeEngine:
    """Writes down who ran which scene."""

    def __init__(self, name, log):
        self.name, self.log = name, log
        self.report = SimpleNamespace(timings_ms={"tiles": 1.0})

    def run(self, lr_hsi, hr_msi):
        self.log.append(self.name)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=400))
def test_every_percentile_is_a_latency_that_was_measured_and_in_order(latencies):
    found = latency_of(run_of(latencies), None)
    percentiles = [found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms, found.p999_ms, found.max_ms]
    assert set(percentiles) <= set(latencies)
    assert percentiles == sorted(percentiles)


def test_with_fewer_than_a_thousand_frames_p999_is_the_maximum():
    found = latency_of(run_of([*np.ones(299), 50.0]), None)
    assert found.p999_ms == found.max_ms == 50
    assert found.p99_ms == 1


def test_deadline_misses_are_frames_longer_than_a_period():
    found = latency_of(run_of([90.0, 100.0, 100.1, 250.0]), 10.0)
    assert found.deadline_misses == 2
    assert latency_of(run_of([90.0]), None).deadline_misses is None


def test_jitter_is_told_as_deviation_and_as_distance_of_p99_from_the_median():
    found = latency_of(run_of([10.0] * 50 + [20.0] * 50), None)
    assert found.jitter_ms == pytest.approx(5)
    assert found.spread_ms == found.p99_ms - found.p50_ms


def test_host_and_device_parts_are_told_apart_where_the_backend_reports_its_device():
    latencies = [10.0, 12.0, 14.0]
    told = latency_of(run_of(latencies, stages={"total": latencies, "device": [7.0, 7.0, 8.0]}), None)
    assert (told.device_ms, told.host_ms) == (7, 5)
    untold = latency_of(run_of(latencies), None)
    assert (untold.device_ms, untold.host_ms) == (None, None)


def test_a_stage_that_some_frames_lack_is_summarised_over_the_others():
    run = Run()
    run.add(0.0, 5.0, 0, {"tiles": 4.0})
    run.add(1.0, 6.0, 0, {"tiles": 5.0, "statistics": 1.0})
    run.add(2.0, 7.0, 0, {"tiles": 6.0})
    assert {name: len(values) for name, values in run.stages_ms.items()} == {"tiles": 3, "statistics": 3}
    assert latency_of(run, None).stages_ms["statistics"][0] == 1


def test_scenes_are_taken_one_after_the_other():
    camera = Camera(SCENES, None)
    assert [camera.take() for _ in range(5)] == [0, 1, 0, 1, 0]


class Clock:
    """Time that passes when it is told to, so that a busy machine decides nothing here."""

    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


def taken(camera, clock, work_s):
    """When each frame was taken, where the work on each takes that long."""
    times = []
    for seconds in work_s:
        camera.take()
        times.append(clock.now - 1000)
        clock.now += seconds
    return times


def test_at_a_frame_rate_frames_come_with_the_camera(clock):
    assert taken(Camera(SCENES, 10.0), clock, [0.03] * 4) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_without_a_frame_rate_they_come_back_to_back(clock):
    assert taken(Camera(SCENES, None), clock, [0.03] * 4) == pytest.approx([0, 0.03, 0.06, 0.09])


def test_a_late_frame_is_followed_at_once_and_the_clock_starts_again_from_there(clock):
    assert taken(Camera(SCENES, 10.0), clock, [0.25, 0.03, 0.03, 0.03]) == pytest.approx([0, 0.25, 0.35, 0.45])


def test_one_engine_runs_its_frames_after_the_warm_up():
    log = []
    (run,) = run_by_turns([FakeEngine("a", log)], SCENES, frames=25, fps=None, progress=lambda *_: None)
    assert len(run.latencies_ms) == 25
    assert len(log) == 25 + WARM_UP_FRAMES
    assert len(run.spans) == 1


def test_two_engines_take_turns_and_each_turn_begins_uncounted():
    log, told = [], []
    engines = [FakeEngine("a", log), FakeEngine("b", log)]
    runs = run_by_turns(engines, SCENES, frames=25, fps=None, progress=lambda *step: told.append(step))
    assert [len(run.latencies_ms) for run in runs] == [25, 25]
    turns = "".join(log[2 * WARM_UP_FRAMES :])
    assert turns.count("a") == turns.count("b") == 25 + 10
    # In changing order, so that neither is always the one that follows the other.
    assert turns.startswith("aaabbbb")
    assert told[-1] == (50, 50)
    assert all(run.spans == sorted(run.spans) for run in runs)
