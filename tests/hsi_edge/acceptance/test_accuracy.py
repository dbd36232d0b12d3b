"""Accuracy of an engine whose outputs are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hsi_edge.acceptance.accuracy import score
from hsi_edge.acceptance.scene import Scene
from hsi_edge.cube import Cube

SHAPE = (16, 16, 3)


class FakeEngine:
    """Gives the same output whatever it is given."""

    def __init__(self, output, warnings=()):
        self.output = output
        self.manifest = SimpleNamespace(ratio=2, golden="golden.npz")
        self.report = SimpleNamespace(backend="openvino", warnings=warnings)

    def run(self, lr_hsi, hr_msi):
        return self.output


@pytest.fixture
def truth(rng):
    return rng.uniform(0.2, 0.8, SHAPE).astype(np.float32)


def scene(truth=None, **cube):
    data = np.ones((8, 8, 3), np.float32)
    return Scene(name="field", lr_hsi=Cube(data=data, **cube) if cube else data, hr_msi=None, truth=truth)


def test_an_engine_equal_to_fp32_differs_by_nothing(truth):
    found = score(FakeEngine(truth), FakeEngine(truth.copy()), scene())
    assert found.to_fp32.psnr_db == np.inf
    assert found.to_fp32.worst_band_rmse == 0
    assert (found.lost_px, found.to_truth, found.psnr_loss_db) == (0, None, None)


def test_what_an_engine_loses_to_fp32_is_told_against_the_truth(truth, rng):
    noise = rng.normal(0, 1, SHAPE).astype(np.float32)
    found = score(
        FakeEngine(truth + 0.02 * noise), FakeEngine(truth + 0.01 * noise), scene(truth, quantity="reflectance")
    )
    assert found.peak == 1
    assert found.psnr_loss_db == pytest.approx(6.02, abs=0.01)
    assert found.to_truth.psnr_db == pytest.approx(-20 * np.log10(0.02), abs=0.3)
    assert found.sam_change_percent > 50


def test_the_worst_band_is_the_one_that_errs_most(truth):
    output = truth.copy()
    output[..., 1] += 0.1
    found = score(FakeEngine(output), FakeEngine(truth), scene())
    assert found.to_fp32.worst_band == 1
    assert found.to_fp32.worst_band_rmse == pytest.approx(0.1, rel=1e-4)
    assert found.to_fp32.rmse_per_band == pytest.approx((0, 0.1, 0), rel=1e-4)


def test_a_band_that_is_met_exactly_does_not_hide_the_others_from_the_comparison_with_fp32(truth):
    output = truth.copy()
    output[..., 1] += 0.1
    assert np.isfinite(score(FakeEngine(output), FakeEngine(truth), scene()).to_fp32.psnr_db)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_overflow_are_counted_and_the_others_scored(truth, value):
    output = truth.copy()
    output[3, 4, 0] = value
    output[5, 5] = value
    found = score(FakeEngine(output), FakeEngine(truth), scene(truth))
    assert found.lost_px == 2
    assert found.to_fp32.psnr_db == np.inf


def test_an_output_without_a_single_number_is_lost_and_not_scored(truth):
    found = score(FakeEngine(np.full(SHAPE, np.nan, np.float32)), FakeEngine(truth), scene(truth))
    assert (found.lost_px, found.to_fp32, found.to_truth) == (256, None, None)


def test_pixels_and_bands_that_the_sensor_lacks_are_not_lost(truth):
    output = truth.copy()
    output[0, 0] = np.nan
    output[..., 2] = np.nan
    lacking = scene(truth, wavelengths_nm=np.array([450.0, 550.0, 650.0]))
    found = score(FakeEngine(output), FakeEngine(output.copy()), lacking)
    assert found.lost_px == 0
    assert found.wavelengths_nm == (450, 550)
    assert len(found.to_truth.rmse_per_band) == 2


def test_numbers_of_no_fixed_range_are_judged_against_their_own(truth):
    found = score(FakeEngine(1000 * truth), FakeEngine(1000 * truth), scene(1000 * truth, quantity="dn"))
    assert 700 < found.peak < 810


def test_the_engines_warnings_stay_with_the_scene_that_they_are_about(truth):
    assert score(FakeEngine(truth, ("blurred",)), FakeEngine(truth), scene()).warnings == ("blurred",)
