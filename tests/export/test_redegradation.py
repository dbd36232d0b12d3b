"""Outputs of real pairs, seen through the sensor again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export import redegradation
from export.data.real_pairs import TREES, RealPair, paris, real_pairs, salton_sea, trees
from export.methods import Method
from export.pack import pack_graphless
from export.redegradation import noise_per_band, redegrade
from export.redegradation_page import redegradation_markdown, write_redegradation
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.manifest import Bands
from hsi_edge.resampling import Blur, degrade
from tests.tiny_bundles import regression_manifest

RATIO, NOISE = 2, 0.01
NM = np.linspace(400.0, 700.0, 16)


def block_means(image):
    bands, rows, cols = image.shape
    return image.reshape(bands, rows // RATIO, RATIO, cols // RATIO, RATIO).mean(axis=(2, 4))


def repeated(lr_hsi, _hr_msi):
    return lr_hsi.repeat(RATIO, axis=0).repeat(RATIO, axis=1)


@pytest.fixture
def pair(rng):
    """Three materials in 16 bands with noise of a known strength, and a sensor that averages."""
    shares = rng.dirichlet(np.ones(3), (30, 30)).astype(np.float32)
    lr_hsi = shares @ rng.random((3, 16)).astype(np.float32)
    lr_hsi += (NOISE * rng.standard_normal(lr_hsi.shape)).astype(np.float32)
    return RealPair(
        name="mixed",
        ratio=RATIO,
        lr_hsi=Cube(data=lr_hsi, wavelengths_nm=NM),
        hr_msi=rng.random((60, 60, 3), np.float32),
        note="made up",
        degrade=block_means,
    )


@pytest.fixture
def results(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(redegradation, "real_pairs", lambda _data, _ratio: [pair])
    bundle = pack_graphless("regression", RATIO, tmp_path / "regression-x2")
    return list(redegrade([bundle.path], tmp_path))


def measured(pair, method):
    return redegradation._measured(pair, "ours", method, noise_per_band(pair.lr_hsi.data))


def test_noise_of_mixed_spectra_is_found_in_every_band(pair):
    np.testing.assert_allclose(noise_per_band(pair.lr_hsi.data), NOISE, rtol=0.3)


def test_an_output_that_the_sensor_would_see_as_it_did_has_no_error(pair):
    found = measured(pair, Method(run=repeated))
    np.testing.assert_allclose(found.error, 0, atol=1e-6)


def test_an_output_that_is_off_by_the_noise_has_that_multiple(pair):
    offset = np.float32(3 * NOISE)
    found = measured(pair, Method(run=lambda lr, msi: repeated(lr, msi) + offset))
    assert 2 < np.median(found.error_per_band / found.noise) < 4
    np.testing.assert_allclose(found.error_per_band, offset, rtol=1e-3)


def test_without_a_known_psf_the_model_s_own_is_taken(pair):
    unknown = replace(pair, degrade=None)
    method = Method(run=repeated, manifest=regression_manifest(RATIO, psf_fwhm_px=3.0))
    channels_first = np.moveaxis(repeated(pair.lr_hsi.data, None), 2, 0)
    wanted = np.moveaxis(degrade(channels_first, RATIO, Blur.gaussian(3.0, RATIO)), 0, 2) - pair.lr_hsi.data
    np.testing.assert_allclose(measured(unknown, method).error, wanted)


def test_a_model_for_fixed_bands_sees_the_frame_resampled_and_less_noise_where_bands_are_mixed(pair):
    between = tuple((NM[:-1] + np.diff(NM) / 2).tolist())
    method = Method(run=repeated, manifest=regression_manifest(RATIO, bands=Bands(wavelengths_nm=between)))
    found = measured(pair, method)
    assert found.error.shape == (30, 30, 15)
    np.testing.assert_allclose(found.noise, NOISE / np.sqrt(2), rtol=0.3)


def test_a_model_whose_bands_the_frame_does_not_have_is_left_out(pair):
    infrared = regression_manifest(RATIO, bands=Bands(wavelengths_nm=(900.0, 1000.0)))
    assert measured(pair, Method(run=repeated, manifest=infrared)) is None


def test_the_page_has_a_row_per_method_and_a_small_figure_per_pair(results, tmp_path):
    files = write_redegradation(tmp_path / "docs", results, {"cpu": "one"})
    assert [file.name for file in files] == ["redegradation-mixed-x2.png"]
    assert 5_000 < files[0].stat().st_size < 250_000
    text = (tmp_path / "docs" / "redegradation.md").read_text()
    for wanted in ("| mixed | bicubic    |     2 |    16 |", "| mixed | regression |", "made up.", files[0].name):
        assert wanted in text


def test_a_pair_of_one_band_is_drawn_too(results, tmp_path):
    pair, found = results[0]
    single = [replace(one, error=one.error[:, :, :1], noise=one.noise[:1], wavelengths_nm=None) for one in found]
    files = write_redegradation(tmp_path, [(pair, single)], {})
    assert files[0].stat().st_size > 5_000
    assert "|     1 |" in redegradation_markdown([(pair, single)], files, {})


# -- the pairs themselves ----------------------------------------------------------------------------------------------


def explained(pair, guide):
    """Share of the visible bands' variance that a linear fit of the degraded guide explains."""
    seen = degrade(np.moveaxis(guide, 2, 0), pair.ratio, Blur.gaussian(pair.ratio, pair.ratio))
    inputs = np.c_[seen.reshape(3, -1).T, np.ones(seen[0].size)]
    bands = np.asarray(pair.lr_hsi.data)[:, :, 5:30].reshape(len(inputs), -1)
    weights = np.linalg.lstsq(inputs, bands, rcond=None)[0]
    return 1 - (bands - inputs @ weights).var(axis=0).sum() / bands.var(axis=0).sum()


def test_the_photo_lies_on_the_salton_sea_frame_better_than_beside_it():
    pair = salton_sea(4)
    assert (pair.lr_hsi.n_bands, pair.hr_msi.shape) == (204, (204, 224, 3))
    registered = explained(pair, pair.hr_msi)
    assert registered > 0.95
    assert all(explained(pair, np.roll(pair.hr_msi, shift, axis=(0, 1))) < registered for shift in ((2, 0), (0, -2)))


def test_ali_lies_on_the_hyperion_frame_better_than_beside_it(shared_data):
    pair = paris(shared_data, 4)
    assert (pair.lr_hsi.data.shape, pair.hr_msi.shape) == ((72, 58, 128), (288, 232, 3))
    registered = explained(pair, pair.hr_msi)
    assert all(explained(pair, np.roll(pair.hr_msi, shift, axis=(0, 1))) < registered for shift in ((4, 0), (0, -4)))


@pytest.mark.parametrize("name", TREES)
def test_the_shift_of_the_trees_is_undone_and_their_psf_is_known(shared_data, name):
    pair = trees(shared_data, name)
    seen = np.moveaxis(pair.degrade(np.moveaxis(pair.truth, 2, 0)), 0, 2)
    border = slice(pair.border_lr, -pair.border_lr)
    # White noise of 0.0315 is all that is left; half a pixel off leaves 0.035.
    assert (seen - pair.lr_hsi.data)[border, border].std() < 0.032
    np.testing.assert_allclose(np.corrcoef(pair.truth.ravel(), pair.hr_msi[:, :, 1].ravel())[0, 1], 1, atol=0.1)


def test_only_pairs_whose_guide_has_the_pixels_are_taken(shared_data):
    assert [pair.name for pair in real_pairs(shared_data, 8)] == ["salton-sea"]
    names = [pair.name for pair in real_pairs(shared_data, 4)]
    assert names == ["salton-sea", "paris", "trees1-shift5px-gaussian", "trees1-shift5px-disk"]


def test_a_missing_pair_is_named_with_its_place(tmp_path):
    with pytest.raises(InputError, match=r"pair_paris_hyperion_ali\.npz is missing: the sensors' pairs belong into"):
        paris(tmp_path, 4)
