from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_edge.errors import SensorError
from hsi_edge.io import read
from hsi_edge.live.correction import Correction
from hsi_edge.live.jobs import LOST_FRAMES, Jobs, Optics
from hsi_edge.live.modes import ModeChoice, ModeSettings
from hsi_edge.live.pair import Pair
from hsi_edge.live.pairing import Intake
from hsi_edge.live.rgb_health import RgbHealth, RgbHealthSettings
from hsi_edge.radiometry import Radiometry, RadiometrySettings
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.refiner import Refiner
from hsi_edge.registration.warp import GridWarp
from hsi_edge.sensors.simulated import SimulatedPair
from hsi_edge.sensors.simulated_settings import SimulationSettings
from tests.hsi_edge.live.flights import SIDE, fault

Flown = tuple[SimulatedPair, list[Pair]]


@pytest.fixture(scope="module")
def sensors(ground: Path) -> Flown:
    faults = (fault("rgb_shifted", 1.5, 0.8), fault("rgb_black", 4.5, 0.8))
    settings = SimulationSettings(lr_rows=SIDE, lr_cols=SIDE, seconds=5.5, faults=faults)
    simulated = SimulatedPair(read(ground), settings, paced=False)
    intake = Intake()
    pairs = [pair for stream, frame in simulated.arrivals() for pair in intake.arrive(stream, frame)]
    return simulated, pairs + intake.finish()


def made_jobs(simulated: SimulatedPair, *, has_single: bool = True, refiner: Any = None) -> Jobs:
    rig = simulated.rig
    optics = Optics(
        spectral=Correction(None, Radiometry(RadiometrySettings())),
        rgb=Correction(None, Radiometry(RadiometrySettings())),
        warp=GridWarp(rig, 8),
        refiner=refiner or Refiner(8, rig.psf_fwhm_lr * 8),
        lr_shape=rig.lr_shape,
    )
    health = RgbHealth(RgbHealthSettings(), rig.msi_shape)
    return Jobs(optics, health, ModeChoice(ModeSettings(), has_single=has_single))


class Doubtful:
    """A refiner that says of every frame what it was told, and remembers from where it began."""

    def __init__(self, said: Refinement) -> None:
        self._said = said

    def refine(self, *_: object) -> Refinement:
        return self._said


def test_a_job_holds_both_frames_on_one_grid_and_how_the_rgb_lay(sensors: Flown) -> None:
    simulated, pairs = sensors
    job = made_jobs(simulated).job(pairs[0])
    assert (job.mode, job.reason) == ("fusion", "")
    assert job.lr_hsi.data.shape[:2] == (SIDE, SIDE)
    assert job.hr_msi is not None
    assert job.hr_msi.data.shape == (8 * SIDE, 8 * SIDE, 3)
    assert set(job.timings_ms) == {"radiometry", "registration"}
    truth = simulated.true_refinement(pairs[0].spectral, pairs[0].rgb)  # type: ignore[arg-type]
    assert job.refinement is not None
    assert abs(job.refinement.dx_lr - truth.dx_lr) < 0.1
    assert abs(job.refinement.dy_lr - truth.dy_lr) < 0.1


def test_the_rgb_frame_of_a_job_that_is_not_fused_is_left_out(sensors: Flown) -> None:
    simulated, pairs = sensors
    job = made_jobs(simulated).job(pairs[9])
    assert job.mode == "single"
    assert "black" in job.reason
    assert job.hr_msi is None
    assert job.refinement is None


def test_without_a_single_image_model_a_bad_frame_is_an_error_with_the_reason(sensors: Flown) -> None:
    simulated, pairs = sensors
    with pytest.raises(SensorError, match=r"no single_bundle: the RGB frame is black"):
        made_jobs(simulated, has_single=False).job(pairs[9])


def test_a_spectral_frame_of_another_size_names_both_sizes(sensors: Flown) -> None:
    simulated, pairs = sensors
    cut = replace(pairs[0], spectral=replace(pairs[0].spectral, data=pairs[0].spectral.data[:8]))
    with pytest.raises(SensorError, match=f"8 x {SIDE} pixels; the rig was calibrated for {SIDE} x {SIDE}"):
        made_jobs(simulated).job(cut)


def test_the_same_pairs_give_the_same_jobs_bit_for_bit(sensors: Flown) -> None:
    simulated, pairs = sensors
    first, second = made_jobs(simulated), made_jobs(simulated)
    for pair in pairs:
        one, other = first.job(pair), second.job(pair)
        assert (one.mode, one.reason, one.refinement) == (other.mode, other.reason, other.refinement)
        if one.hr_msi is not None and other.hr_msi is not None:
            np.testing.assert_array_equal(one.hr_msi.data, other.hr_msi.data)


def test_a_registration_that_stays_lost_begins_again_at_the_calibration(sensors: Flown) -> None:
    simulated, pairs = sensors
    refiner = Doubtful(Refinement(dx_lr=0.3))
    jobs = made_jobs(simulated, refiner=refiner)
    jobs.job(pairs[0])
    jobs.job(pairs[1])
    moved = jobs._prior.dx_lr
    assert moved > 0.5
    refiner._said = Refinement(trusted=False, doubts=("parallax",))
    for number in range(LOST_FRAMES):
        assert jobs._prior.dx_lr == moved
        job = jobs.job(pairs[2 + number])
        assert job.mode == "single"
    assert jobs._prior == Refinement()
