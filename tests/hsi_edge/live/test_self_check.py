"""The scene is the Salton Sea photograph, which comes with the project, in made-up bands that its colours explain."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_edge import HSIEngine
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.live.degradation import degraded_frame
from hsi_edge.live.self_check import SelfCheck, SelfChecker, SelfCheckSettings
from hsi_edge.records import record_from_plain
from hsi_edge.resampling import Blur

ROOT = Path(__file__).parents[3]
RATIO, SIDE_LR, BANDS = 8, 20, 12
SIDE = RATIO * SIDE_LR
NOISE = 0.005
WAVELENGTHS = np.linspace(400, 700, BANDS)


@dataclass(frozen=True)
class Case:
    """A result and its inputs, `(rows, cols, bands)`."""

    result: NDArray[np.float32]
    lr_hsi: NDArray[np.float32]
    hr_msi: NDArray[np.uint8]

    def check(self, mask: NDArray[np.bool_] | None = None, bounds: SelfCheckSettings | None = None) -> SelfCheck:
        checker = SelfChecker(RATIO, RATIO, bounds or SelfCheckSettings())
        lr_hsi = Cube(data=self.lr_hsi, wavelengths_nm=WAVELENGTHS)
        return checker.check(Cube(data=self.result), lr_hsi, Cube(data=self.hr_msi, mask=mask), lr_noise=NOISE)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return np.asarray(read(ROOT / "apps" / "samples" / "salton_sea" / "orthophoto.png").data, np.uint8)


@pytest.fixture(scope="module")
def good(photo: NDArray[np.uint8]) -> Case:
    """The truth as the result, a noisy LR-HSI, and the photograph."""
    rng = np.random.default_rng(0)
    msi = photo[200 : 200 + SIDE, 300 : 300 + SIDE]
    mixing = np.exp(-(((WAVELENGTHS - np.array([[620.0], [540.0], [460.0]])) / 60) ** 2))
    truth = (msi.astype(np.float32) / 255) @ mixing.astype(np.float32)
    truth = truth / truth.max() + np.float32(0.1)
    lr_hsi = degraded_frame(truth, RATIO, Blur.gaussian(RATIO, RATIO))
    lr_hsi += NOISE * lr_hsi.max() * rng.standard_normal(lr_hsi.shape).astype(np.float32)
    return Case(truth, lr_hsi, msi)


def changed(case: Case, where: Any, factor: float) -> Case:
    result = case.result.copy()
    result[where] *= factor
    return replace(case, result=result)


def test_a_good_result_is_off_by_the_noise_and_looks_like_its_frame(good: Case) -> None:
    check = good.check()
    assert not check.flagged
    assert check.reasons == ()
    assert check.spectral == pytest.approx(1, abs=0.15)
    assert check.rgb is not None
    assert check.rgb < 0.1
    assert check.map.shape == (SIDE_LR, SIDE_LR)
    assert check.map.dtype == np.float32
    assert np.nanmax(check.map) < 0.5


def test_noise_that_nobody_tells_is_estimated(good: Case) -> None:
    checker = SelfChecker(RATIO, RATIO, SelfCheckSettings())
    check = checker.check(Cube(data=good.result), Cube(data=good.lr_hsi), Cube(data=good.hr_msi))
    assert check.spectral == pytest.approx(1, abs=0.25)
    assert not check.flagged


def test_without_an_rgb_frame_the_spectra_alone_are_compared(good: Case) -> None:
    checker = SelfChecker(RATIO, RATIO, SelfCheckSettings())
    check = checker.check(Cube(data=good.result), Cube(data=good.lr_hsi), lr_noise=NOISE)
    assert check.rgb is None
    assert not check.flagged


@pytest.mark.parametrize("shift_lr", [1, 2])
def test_an_rgb_frame_that_lies_elsewhere_is_flagged(good: Case, photo: NDArray[np.uint8], shift_lr: int) -> None:
    left = 300 + shift_lr * RATIO
    check = replace(good, hr_msi=photo[200 : 200 + SIDE, left : left + SIDE]).check()
    assert check.flagged
    assert "the RGB frame differ" in check.reasons[0]
    assert check.spectral < 1.2


def test_a_displacement_that_the_engine_undid_is_none(good: Case, photo: NDArray[np.uint8]) -> None:
    displaced = Cube(data=photo[205 : 205 + SIDE, 297 : 297 + SIDE])
    checker = SelfChecker(RATIO, RATIO, SelfCheckSettings())
    images = Cube(data=good.result), Cube(data=good.lr_hsi), displaced
    assert checker.check(*images, lr_noise=NOISE).flagged
    check = checker.check(*images, lr_noise=NOISE, translation_px=(-5.2, 2.9))
    assert not check.flagged, check.reasons


def test_an_rgb_frame_of_another_place_is_flagged(good: Case, photo: NDArray[np.uint8]) -> None:
    check = replace(good, hr_msi=photo[450 : 450 + SIDE, 20 : 20 + SIDE]).check()
    assert check.flagged
    assert check.rgb is not None
    assert check.rgb > 0.5


def test_detail_that_the_rgb_frame_does_not_show_is_flagged(good: Case) -> None:
    coarse = np.repeat(np.repeat(good.lr_hsi, RATIO, 0), RATIO, 1)
    overshot = coarse + 2 * (good.result - coarse)
    assert "the RGB frame differ" in " ".join(replace(good, result=overshot).check().reasons)


def test_one_wrong_band_is_named(good: Case) -> None:
    check = changed(good, np.s_[:, :, 4], 1.2).check()
    assert check.flagged
    assert any("the band at 509 nm" in reason for reason in check.reasons)


def test_one_wrong_tile_is_flagged_and_stands_out_in_the_map(good: Case) -> None:
    check = changed(good, np.s_[64:96, 32:64], 1.6).check()
    assert check.flagged
    assert (check.map[8:12, 4:8] > 1).mean() > 0.8
    check.map[7:13, 3:9] = 0
    assert np.nanmax(check.map) < 1


def test_a_hole_in_the_result_is_flagged(good: Case) -> None:
    check = changed(good, np.s_[50, 60], np.nan).check()
    assert check.reasons == ("the result has holes in 1 LR pixels that both sensors measured",)
    assert np.isnan(check.map[6, 7]) or check.map[6, 7] < 1


def test_a_result_of_nothing_but_holes_is_flagged(good: Case) -> None:
    check = changed(good, np.s_[:], np.nan).check()
    assert check.flagged
    assert np.isnan(check.spectral)
    assert "nothing of the result could be compared" in check.reasons[0]


def test_where_a_sensor_saw_nothing_there_is_no_measurement_and_no_fault(good: Case) -> None:
    mask = np.ones((SIDE, SIDE), np.bool_)
    mask[:, :20] = False
    lr_hsi, result = good.lr_hsi.copy(), good.result.copy()
    lr_hsi[10, 10] = np.nan
    result[80:88, 80:88] = np.nan
    result[~mask] = np.nan
    check = replace(good, lr_hsi=lr_hsi, result=result).check(mask)
    assert not check.flagged, check.reasons
    assert np.isnan(check.map[:, :2]).all()
    assert np.isnan(check.map[10, 10])
    assert np.isfinite(check.map[:, 4:8]).all()


def test_a_band_that_never_measured_anything_is_left_out(good: Case) -> None:
    lr_hsi, result = good.lr_hsi.copy(), good.result.copy()
    lr_hsi[:, :, 3] = result[:, :, 3] = np.nan
    check = replace(good, lr_hsi=lr_hsi, result=result).check()
    assert not check.flagged, check.reasons
    assert np.isfinite(check.map).all()


def test_the_noise_of_a_frame_without_contrast_is_no_disagreement(rng: np.random.Generator) -> None:
    lake = np.full((SIDE, SIDE, BANDS), 0.2, np.float32)
    lr_hsi = (0.2 + 0.001 * rng.standard_normal((SIDE_LR, SIDE_LR, BANDS))).astype(np.float32)
    photo = np.round(60 + 0.5 * rng.standard_normal((SIDE, SIDE, 3))).astype(np.uint8)
    check = Case(lake, lr_hsi, photo).check()
    assert not check.flagged, check.reasons


def test_the_bounds_are_the_users(good: Case) -> None:
    assert good.check(bounds=SelfCheckSettings(spectral=0.5)).flagged
    assert good.check(bounds=SelfCheckSettings(rgb=0.001)).flagged
    assert good.check(bounds=SelfCheckSettings(band=0.5)).flagged
    with pytest.raises(InputError, match="positive"):
        SelfCheckSettings(rgb=0)
    with pytest.raises(InputError, match="0 to 1"):
        SelfCheckSettings(doubtful_part=2)


def test_the_bounds_come_from_a_flight_file() -> None:
    settings = record_from_plain(SelfCheckSettings, {"rgb": 0.4, "spectral": 3})
    assert settings == SelfCheckSettings(rgb=0.4, spectral=3.0)


def test_images_that_do_not_belong_together_are_refused(good: Case) -> None:
    with pytest.raises(InputError, match="hr_hsi has shape"):
        replace(good, result=good.result[8:]).check()
    with pytest.raises(InputError, match="hr_msi has 152 x 160 pixels"):
        replace(good, hr_msi=good.hr_msi[8:]).check()


def test_what_a_model_makes_of_a_good_pair_passes_and_of_another_place_does_not(
    good: Case, photo: NDArray[np.uint8]
) -> None:
    elsewhere = photo[450 : 450 + SIDE, 20 : 20 + SIDE]
    with HSIEngine(ROOT / "engines" / "bundles" / "regression-x8") as engine:
        fused = replace(good, result=engine.run(good.lr_hsi, good.hr_msi)).check()
        confused = replace(good, hr_msi=elsewhere, result=engine.run(good.lr_hsi, elsewhere)).check()
    assert not fused.flagged, fused.reasons
    assert confused.flagged


def test_rgb_pixels_that_are_not_finite_are_left_out_as_masked_ones_are(good: Case) -> None:
    mask = np.ones((SIDE, SIDE), np.bool_)
    mask[40:60, 50:70] = False
    colours = good.hr_msi.astype(np.float32)
    colours[~mask] = np.nan
    result = good.result.copy()
    result[~mask] = np.nan
    checker, lr_hsi = SelfChecker(RATIO, RATIO, SelfCheckSettings()), Cube(data=good.lr_hsi, wavelengths_nm=WAVELENGTHS)
    check = checker.check(Cube(data=result), lr_hsi, Cube(data=colours), lr_noise=NOISE)
    assert check.rgb == pytest.approx(good.check().rgb, abs=0.02)
    assert not check.flagged
