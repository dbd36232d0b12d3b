"""Drift: told of only where it is, with what the system knew of clocks and heat."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.acceptance.drift import drift_of
from hsi_edge.acceptance.telemetry import Signal
from tests.hsi_edge.acceptance.checks import run_of, sampler_of

CLOCK, HEAT = Signal("clock_mhz", "GPU"), Signal("temperature_c", "GPU")
HELD, COUNT = Signal("throttled", "GPU"), Signal("throttle_count", "CPU")
TIMES = np.linspace(100, 130, 300)
SLOWER = np.linspace(20, 30, 300)
STEADY = np.full(300, 20.0)
NOTHING = sampler_of({})


def test_frames_that_slow_down_while_clocks_fall_are_throttled():
    sampler = sampler_of({CLOCK: (TIMES, np.linspace(1300, 900, 300)), HEAT: (TIMES, np.linspace(50, 85, 300))})
    found = drift_of(run_of(SLOWER), sampler)
    assert found.throttled is True
    assert found.percent == pytest.approx(40, abs=1)
    words = "; ".join(found.evidence)
    assert "clock of GPU 1" in words
    assert "MHz (-" in words
    assert "temperature of GPU 5" in words


def test_frames_that_slow_down_at_steady_clocks_are_not_throttled():
    found = drift_of(run_of(SLOWER), sampler_of({CLOCK: (TIMES, np.full(300, 1300.0))}))
    assert found.throttled is False
    assert found.percent > 30


def test_where_the_system_tells_no_clock_throttling_stays_open():
    assert drift_of(run_of(SLOWER), NOTHING).throttled is None
    assert drift_of(run_of(STEADY), NOTHING).throttled is False


@pytest.mark.parametrize("told", [{HELD: (TIMES, np.ones(300))}, {COUNT: (TIMES, np.arange(300.0))}])
def test_what_the_chip_says_of_its_own_throttling_is_evidence(told):
    assert drift_of(run_of(SLOWER), sampler_of(told)).throttled is True


def test_lower_clocks_without_slower_frames_are_no_throttling():
    sampler = sampler_of({CLOCK: (TIMES, np.linspace(1300, 600, 300))})
    assert drift_of(run_of(STEADY), sampler).throttled is False


def test_stragglers_are_no_drift(rng):
    latencies = STEADY + rng.normal(0, 0.5, 300)
    latencies[-25::3] = 200.0
    found = drift_of(run_of(latencies), NOTHING)
    assert abs(found.percent) < 1
    assert abs(found.ends_percent) < 5


def test_scenes_of_different_sizes_are_no_drift():
    latencies = np.where(np.arange(300) < 150, 10.0, 40.0)
    scenes = (np.arange(300) >= 150).astype(int).tolist()
    found = drift_of(run_of(latencies, scenes=scenes), NOTHING)
    assert (found.percent, found.ends_percent) == pytest.approx((0, 0))


def test_a_run_of_few_frames_is_judged_too():
    assert drift_of(run_of([20.0, 21.0]), NOTHING).throttled is not True


def test_what_was_told_outside_the_run_is_no_evidence():
    before = np.linspace(50, 80, 300)
    found = drift_of(run_of(SLOWER), sampler_of({CLOCK: (before, np.linspace(1300, 900, 300))}))
    assert "the system tells nothing of its clocks" in found.evidence
