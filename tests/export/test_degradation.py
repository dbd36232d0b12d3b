from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch.nn.functional import interpolate

from export.data.degradation import BLURS, Degradation, simulate_pair, translate
from hsi_edge.resampling import degrade

GREY = [np.full((3, 4), 0.25)]
"""One camera that sees the mean of four bands."""


@pytest.fixture
def scene(rng):
    return rng.random((4, 64, 48), np.float32)


def inside(image):
    """Away from the border, where conventions differ."""
    return image[:, 3:-3, 3:-3]


@pytest.mark.parametrize("name", BLURS)
@pytest.mark.parametrize("ratio", [2, 3, 4, 8])
def test_each_blur_keeps_the_level(name, ratio):
    assert sum(BLURS[name](ratio).taps) == pytest.approx(1)


def gaussian(size, sigma):
    taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    return taps / taps.sum()


def blurred(image, taps, mode):
    for axis in (1, 2):
        image = correlate1d(image.astype(np.float64), taps, axis=axis, mode=mode)
    return image


def test_the_program_of_pzres_blurs_by_seven_taps_and_takes_every_eighth_pixel_from_the_fourth(scene):
    # SciPy's "mirror" is OpenCV's reflect-101: the border pixel is not repeated.
    wanted = blurred(scene, gaussian(7, 2.0), "mirror")[:, 3::8, 3::8]
    np.testing.assert_allclose(degrade(scene, 8, BLURS["pzres-code"](8)), wanted, atol=1e-6)


@pytest.mark.parametrize("ratio", [4, 8])
def test_the_text_of_pzres_weighs_the_pixels_below_by_a_gaussian(scene, ratio):
    taps = gaussian(ratio, ratio / 4)
    blocks = scene.astype(np.float64).reshape(4, 64 // ratio, ratio, 48 // ratio, ratio)
    wanted = np.einsum("chiwj,i,j->chw", blocks, taps, taps)
    np.testing.assert_allclose(degrade(scene, ratio, BLURS["pzres-paper"](ratio)), wanted, atol=1e-6)


@pytest.mark.parametrize("ratio", [2, 3, 4, 8])
def test_bicubic_is_that_with_antialiasing(rng, ratio):
    scene = rng.random((4, 16 * ratio, 16 * ratio), np.float32)
    wanted = interpolate(torch.from_numpy(scene)[None], (16, 16), mode="bicubic", antialias=True)[0].numpy()
    np.testing.assert_allclose(inside(degrade(scene, ratio, BLURS["bicubic"](ratio))), inside(wanted), atol=1e-5)


@pytest.mark.parametrize("ratio", [4, 8])
def test_the_gaussian_falls_to_half_at_half_the_ratio(scene, ratio):
    # Twice as fine, so that the taps lie where SciPy's do: an even ratio's centre is between two pixels.
    sigma = ratio / 2.3548
    reach = int(np.ceil(3 * sigma))
    offsets = np.arange(-reach, ratio + reach) - (ratio - 1) / 2
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    taps /= taps.sum()
    padded = np.pad(scene, ((0, 0), (reach, reach), (reach, reach)), mode="edge").astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (len(taps), len(taps)), axis=(1, 2))[:, ::ratio, ::ratio]
    wanted = np.einsum("chwij,i,j->chw", windows, taps, taps)
    np.testing.assert_allclose(degrade(scene, ratio, BLURS["gaussian"](ratio)), wanted, atol=1e-5)


def test_decimation_takes_the_pixel_at_the_centre(scene):
    np.testing.assert_allclose(degrade(scene, 16, BLURS["decimate"](16)), scene[:, 8::16, 8::16])


def test_a_clean_pair_is_blur_and_response_alone(scene, rng):
    pair = simulate_pair(scene, 8, Degradation(), GREY, rng)
    np.testing.assert_array_equal(pair.lr_hsi, degrade(scene, 8, BLURS["gaussian"](8)))
    np.testing.assert_allclose(pair.hr_msi, scene.mean(axis=0, keepdims=True).repeat(3, axis=0), atol=1e-6)
    assert pair.truth is scene
    assert pair.lr_hsi.dtype == pair.hr_msi.dtype == np.float32


def test_noise_has_the_strength_of_the_recipe(rng):
    flat = np.full((4, 256, 256), 0.5, np.float32)
    pair = simulate_pair(flat, 2, Degradation(lr_noise=(0.01, 0.01), msi_noise=(0.02, 0.02)), GREY, rng)
    assert pair.lr_hsi.std() == pytest.approx(0.01, rel=0.05)
    assert pair.hr_msi.std() == pytest.approx(0.02, rel=0.05)
    assert pair.lr_hsi.mean() == pytest.approx(0.5, abs=1e-3)


def test_the_msi_has_the_levels_of_its_bits_and_saturates(scene, rng):
    pair = simulate_pair(scene, 8, Degradation(msi_bits=3, exposure=(4.0, 4.0)), GREY, rng)
    np.testing.assert_allclose(pair.hr_msi * 7, np.round(pair.hr_msi * 7), atol=1e-5)
    assert pair.hr_msi.max() == 1
    assert pair.hr_msi.min() >= 0


def test_the_same_seed_gives_the_same_pair(scene):
    realistic = Degradation(psf_stretch=(0.9, 1.1), lr_noise=(0, 0.01), msi_bits=8, misregistration_lr=0.1)
    cameras = [np.roll(np.eye(3, 4), shift, axis=1) for shift in range(4)]
    one, same, other = (simulate_pair(scene, 8, realistic, cameras, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.lr_hsi, same.lr_hsi)
    np.testing.assert_array_equal(one.hr_msi, same.hr_msi)
    assert np.abs(one.hr_msi - other.hr_msi).max() > 0.01


def test_misregistration_moves_the_msi_by_no_more_than_its_limit(rng):
    rows, cols = np.mgrid[:64, :64]
    blob = np.exp(-((rows - 32) ** 2 + (cols - 32) ** 2) / 50).astype(np.float32)
    scene = blob[None].repeat(4, axis=0)
    shifts = []
    for _ in range(20):
        msi = simulate_pair(scene, 8, Degradation(misregistration_lr=0.25), GREY, rng).hr_msi[0].astype(np.float64)
        shifts += [(msi * axis).sum() / msi.sum() - 32 for axis in (rows, cols)]
    assert 1 < np.abs(shifts).max() < 0.25 * 8 + 0.05
    assert np.std(shifts) > 0.5


def test_a_translation_by_whole_pixels_moves_the_pixels(rng):
    image = rng.random((2, 32, 32), np.float32)
    moved = translate(image, np.array([3.0, -2.0]))
    np.testing.assert_allclose(moved[:, 3:, :-2], image[:, :-3, 2:], atol=1e-5)


def test_a_translation_by_half_a_pixel_does_not_blur():
    cols = np.arange(64)
    wave = np.sin(2 * np.pi * cols / 5)[None, None].repeat(64, axis=1).astype(np.float32)
    moved = translate(wave, np.array([0.0, 0.5]))
    wanted = np.sin(2 * np.pi * (cols - 0.5) / 5)
    assert np.abs(moved[0, 32] - wanted)[16:-16].max() < 0.05
