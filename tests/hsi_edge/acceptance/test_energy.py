"""Energy per frame: from power or from counters, with what it contains."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.acceptance.energy import energy_of
from hsi_edge.acceptance.telemetry import Rail, Signal, Sources
from tests.hsi_edge.acceptance.checks import sampler_of

TIMES = np.arange(0, 20, 0.1)
RAIL = Rail("the rail VDD_IN")


def test_steady_power_over_ten_frames_in_five_seconds():
    sampler = sampler_of({Signal("power_w", "VDD_IN"): (TIMES, np.where(TIMES < 5, 4.0, 10.0))})
    found = energy_of(sampler, {"VDD_IN": RAIL}, [(6.0, 11.0)], 10, (1.0, 4.0))
    assert found.per_frame_j == pytest.approx(5.0)
    assert found.above_idle_j == pytest.approx(3.0)
    assert (found.power_w, found.idle_w) == pytest.approx((10, 4))
    assert found.contains == "the rail VDD_IN"


def test_a_counter_gives_the_same_whatever_its_start():
    sampler = sampler_of({Signal("energy_j", "package-0"): (TIMES, 1e6 + 7.0 * TIMES)})
    found = energy_of(sampler, {"package-0": RAIL}, [(2.0, 4.0), (6.0, 8.0)], 4, None)
    assert found.per_frame_j == pytest.approx(7.0)
    assert found.above_idle_j is None


def test_a_counter_goes_before_the_power_of_the_same_part():
    told = {Signal("energy_j", "GPU"): (TIMES, 7.0 * TIMES), Signal("power_w", "GPU"): (TIMES, np.full(200, 99.0))}
    assert energy_of(sampler_of(told), {"GPU": RAIL}, [(2.0, 4.0)], 2, None).per_frame_j == pytest.approx(7.0)


def test_rails_that_share_nothing_add_up_and_are_all_named():
    told = {Signal("power_w", "GPU"): (TIMES, np.full(200, 3.0)), Signal("energy_j", "CPU"): (TIMES, 2.0 * TIMES)}
    rails = {"GPU": Rail("the GPU's board"), "CPU": Rail("the CPU")}
    found = energy_of(sampler_of(told), rails, [(2.0, 4.0)], 2, None)
    assert found.per_frame_j == pytest.approx(5.0)
    assert found.contains == "the GPU's board; the CPU"


def test_without_a_reading_there_is_no_energy_and_not_zero():
    assert energy_of(sampler_of({}), {"VDD_IN": RAIL}, [(0.0, 5.0)], 10, None) is None


def test_turns_shorter_than_the_readings_of_power_tell_no_energy():
    sampler = sampler_of({Signal("power_w", "VDD_IN"): (TIMES, np.ones(200))})
    assert energy_of(sampler, {"VDD_IN": RAIL}, [(1.0, 3.0), (4.0, 4.3)], 10, None) is None


class Told:
    name = "told"

    def __init__(self, rails):
        self.rails = rails


def test_a_rail_that_feeds_everything_stands_alone():
    whole, gpu = Rail("the module", whole=True), Rail("the GPU")
    assert Sources(opened=(Told({"GPU": gpu}), Told({"VDD_IN": whole, "VDD_CPU": gpu}))).rails == {"VDD_IN": whole}
    assert Sources(opened=(Told({"GPU": gpu}), Told({"CPU": gpu}))).rails == {"GPU": gpu, "CPU": gpu}
