"""The noise of a frame, from the frame alone."""

import numpy as np
import pytest

from hsi_edge.noise import denoise_spectra, msi_noise


def low_rank(rng, bands, pixels, rank=4):
    return (rng.normal(size=(bands, rank)) @ rng.normal(size=(rank, pixels)) / 10 + 0.5).astype(np.float32)


def noisy(rng, image, sigma):
    return image + (sigma * rng.standard_normal(image.shape)).astype(np.float32)


@pytest.mark.parametrize(("bands", "pixels"), [(31, 144), (205, 144), (14, 3600), (102, 36)])
@pytest.mark.parametrize("sigma", [0.003, 0.03])
def test_the_noise_of_spectra_is_found_whatever_the_shape(rng, bands, pixels, sigma):
    measured = noisy(rng, low_rank(rng, bands, pixels), sigma)
    assert denoise_spectra(measured).noise == pytest.approx(sigma, rel=0.1)


def test_denoised_spectra_lie_closer_to_the_truth_and_have_its_rank(rng):
    truth = low_rank(rng, 31, 400)
    measured = noisy(rng, truth, 0.02)
    spectra = denoise_spectra(measured)
    denoised = spectra.centred + spectra.mean[:, None]
    assert np.sqrt(np.mean((denoised - truth) ** 2)) < 0.5 * 0.02
    assert len(spectra.components) == 4


def test_spectra_without_noise_stay_as_they_are(rng):
    truth = low_rank(rng, 31, 400, rank=6)
    spectra = denoise_spectra(truth)
    np.testing.assert_allclose(spectra.centred + spectra.mean[:, None], truth, atol=1e-5)


def test_pixels_that_were_not_measured_take_no_part(rng):
    measured = noisy(rng, low_rank(rng, 31, 400), 0.01)
    spoilt = measured.copy()
    spoilt[:, :50] = 7
    keep = np.arange(400) >= 50
    assert denoise_spectra(spoilt, keep).noise == denoise_spectra(measured[:, 50:]).noise


@pytest.mark.parametrize("bands", [1, 2])
def test_one_or_two_bands_stay_as_they_are(rng, bands):
    measured = rng.random((bands, 100)).astype(np.float32)
    spectra = denoise_spectra(measured)
    assert spectra.noise == 0
    np.testing.assert_allclose(spectra.centred + spectra.mean[:, None], measured, atol=1e-5)


def test_a_constant_frame_has_no_noise_and_no_components():
    spectra = denoise_spectra(np.full((31, 100), 0.25, np.float32))
    assert spectra.noise == 0
    assert spectra.components.shape == (0, 100)
    assert np.all(spectra.centred == 0)


@pytest.mark.parametrize("sigma", [0.002, 0.01])
def test_the_noise_of_a_textured_image_is_found(rng, sigma):
    # Texture is alike in all bands; noise is not.
    texture = rng.random((1, 128, 128)) * np.array([0.04, 0.06, 0.05])[:, None, None]
    assert msi_noise([noisy(rng, texture, sigma)]) == pytest.approx(sigma, rel=0.1)


def test_texture_alone_is_not_taken_for_noise(rng, shared_data):
    with np.load(shared_data / "test" / "abu-airport-3.npz") as file:
        cube = file["cube"].astype(np.float64)
    bands = cube[:, :, [30, 20, 10]] / cube[:, :, :31].max()
    clean = msi_noise([np.moveaxis(bands, 2, 0).astype(np.float32)])
    with_noise = msi_noise([np.moveaxis(noisy(rng, bands, 0.005), 2, 0).astype(np.float32)])
    assert clean < 0.002
    assert with_noise == pytest.approx(np.hypot(0.005, clean), rel=0.1)


@pytest.mark.parametrize(("bands", "rank"), [(5, 4), (7, 6), (10, 7), (13, 7)])
def test_what_fills_most_of_few_bands_is_not_taken_for_noise(rng, bands, rank):
    truth = low_rank(rng, bands, 900, rank)
    assert denoise_spectra(truth).noise < 1e-5
    assert denoise_spectra(noisy(rng, truth, 0.005)).noise == pytest.approx(0.005, rel=0.15)


def test_pixels_that_the_camera_did_not_measure_do_not_count(rng):
    image = noisy(rng, np.full((3, 96, 96), 0.4), 0.01)
    image[:, :60] = np.nan
    assert msi_noise([image]) == pytest.approx(0.01, rel=0.15)
    assert msi_noise([np.full((3, 8, 8), np.nan)]) == 0
