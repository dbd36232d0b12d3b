"""A frame pair in components."""

import numpy as np
import pytest

from hsi_edge.noise import denoise_spectra
from hsi_edge.subspace import CHANNELS, CONDITIONS, FEATURES, GUIDES, REST, find_subspace

SHAPE = (16, 20)


def pair(rng, bands=31, rest=2):
    """Spectra that three guides and some more components explain."""
    pixels = SHAPE[0] * SHAPE[1]
    msi = rng.random((3, pixels)).astype(np.float32)
    hidden = rng.standard_normal((rest, pixels)).astype(np.float32) / 20
    spectra = rng.random((bands, 3)).astype(np.float32) @ msi + rng.standard_normal((bands, rest)) @ hidden
    return spectra.astype(np.float32), msi.reshape(3, *SHAPE)


@pytest.mark.parametrize("bands", [14, 31, 102, 205])
def test_components_mix_to_the_spectra_whatever_the_number_of_bands(rng, bands):
    spectra, msi = pair(rng, bands)
    found = find_subspace(denoise_spectra(spectra), msi, 0.0)
    components = np.concatenate([found.guide(msi).reshape(GUIDES, -1), found.features[:REST].reshape(REST, -1)])
    mixed = found.mixing @ components + found.offset[:, None]
    np.testing.assert_allclose(mixed, spectra, atol=2e-4 * np.abs(spectra).max())
    assert found.mixing.shape == (bands, CHANNELS)
    assert found.features.shape == (FEATURES, *SHAPE)
    assert found.condition.shape == (CONDITIONS,)


def test_components_have_unit_variance_and_do_not_go_together(rng):
    spectra, msi = pair(rng)
    found = find_subspace(denoise_spectra(spectra), msi, 0.0)
    guides = found.guide(msi).reshape(GUIDES, -1)
    np.testing.assert_allclose(np.cov(guides, bias=True), np.eye(GUIDES), atol=1e-3)
    rest = found.features[:2].reshape(2, -1)
    np.testing.assert_allclose(np.cov(rest, bias=True), np.eye(2), atol=1e-3)


def test_the_scale_of_either_sensor_makes_no_difference(rng):
    spectra, msi = pair(rng)
    one = find_subspace(denoise_spectra(spectra), msi, 0.01)
    other = find_subspace(denoise_spectra(7 * spectra), 0.2 * msi, 0.2 * 0.01)
    # The spectra of this pair have no noise, and what is said of rounding errors may differ.
    np.testing.assert_allclose(one.guide(msi), other.guide(0.2 * msi), atol=1e-3)
    np.testing.assert_allclose(np.abs(one.features[:2]), np.abs(other.features[:2]), atol=1e-2)
    np.testing.assert_allclose(one.condition[:GUIDES], other.condition[:GUIDES], rtol=1e-3)


def test_a_grey_camera_gives_finite_components(rng):
    spectra, msi = pair(rng)
    grey = np.repeat(msi[:1], 3, axis=0)
    found = find_subspace(denoise_spectra(spectra), grey, 0.01)
    for part in (found.whitening, found.features, found.condition, found.mixing, found.guide(grey)):
        assert np.isfinite(part).all()


def test_constant_frames_give_finite_components():
    spectra = denoise_spectra(np.full((31, 320), 0.3, np.float32))
    found = find_subspace(spectra, np.full((3, *SHAPE), 0.4, np.float32), 0.0)
    for part in (found.whitening, found.features, found.condition, found.mixing, found.offset):
        assert np.isfinite(part).all()


def test_fewer_bands_than_components_leave_the_last_ones_empty(rng):
    spectra, msi = pair(rng, bands=2)
    found = find_subspace(denoise_spectra(spectra), msi, 0.0)
    assert np.all(found.mixing[:, GUIDES + 2 :] == 0)
    assert np.isfinite(found.features).all()


def test_pixels_without_measurement_take_no_part(rng):
    spectra, msi = pair(rng)
    keep = np.ones(SHAPE, np.bool_)
    keep[:3] = False
    spoilt_msi = np.where(keep, msi, 9)
    one = find_subspace(denoise_spectra(spectra, keep.ravel()), msi, 0.01, keep)
    other = find_subspace(denoise_spectra(spectra, keep.ravel()), spoilt_msi, 0.01, keep)
    np.testing.assert_allclose(one.mixing, other.mixing, atol=1e-6)
    np.testing.assert_allclose(one.whitening, other.whitening, rtol=1e-6)


def test_slopes_are_those_of_a_neighbourhood(rng):
    # Left of the middle the hidden component goes with the first guide, right of it against it.
    msi = rng.random((3, *SHAPE)).astype(np.float32)
    side = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 1, -1)
    hidden = (msi[0] - msi[0].mean()) * side
    spectra = np.ones((31, 1)) * 0.5 + np.sin(np.arange(31))[:, None] * hidden.reshape(1, -1)
    spectra = spectra + 0.3 * np.cos(np.arange(31))[:, None] * msi[1].reshape(1, -1)
    found = find_subspace(denoise_spectra(spectra.astype(np.float32)), msi, 0.0)
    slopes = found.features[REST : REST + GUIDES]
    strongest = slopes[np.abs(slopes).mean(axis=(1, 2)).argmax()]
    left, right = strongest[:, :7], strongest[:, -7:]
    assert np.sign(np.median(left)) == -np.sign(np.median(right))
    assert abs(np.median(left)) > 0.3
