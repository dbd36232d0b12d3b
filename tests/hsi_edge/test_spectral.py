from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError
from hsi_edge.spectral import match_bands, resample_cube, resampling_matrix

AVIRIS_OVERLAP = np.array([648.0, 657.7, 667.5, 655.5, 665.3, 675.1, 684.9])


def cube_of(data: np.ndarray, wavelengths: list[float], **more: object) -> Cube:
    return Cube(data=np.asarray(data, np.float32), wavelengths_nm=np.asarray(wavelengths, np.float64), **more)


@st.composite
def grids(draw):
    """Source centres in any order, and targets inside of their range."""
    steps = draw(st.lists(st.floats(0.5, 30), min_size=1, max_size=12))
    source = 400 + np.cumsum([0.0, *steps])
    share = st.floats(0, 1)
    target = np.array(draw(st.lists(share, min_size=1, max_size=6))) * (source[-1] - source[0]) + source[0]
    return np.array(draw(st.permutations(source.tolist()))), np.minimum(target, source.max())


widths = st.one_of(st.none(), st.floats(0.1, 200))


@given(grids(), widths, widths)
def test_constants_and_linear_spectra_stay_what_they_are(grid, source_fwhm, target_fwhm):
    source, target = grid
    weights = resampling_matrix(
        source,
        target,
        None if source_fwhm is None else np.full(source.size, source_fwhm),
        None if target_fwhm is None else np.full(target.size, target_fwhm),
    )
    assert weights.shape == (target.size, source.size)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(weights @ source, target, rtol=1e-9)


@given(grids(), st.floats(0.1, 200))
def test_equal_grids_give_the_identity(grid, fwhm):
    source, _ = grid
    widths_nm = np.full(source.size, fwhm)
    np.testing.assert_array_equal(resampling_matrix(source, source), np.eye(source.size))
    np.testing.assert_array_equal(resampling_matrix(source, source, widths_nm, widths_nm), np.eye(source.size))


def test_a_wide_target_has_the_width_that_was_asked_for():
    source = np.arange(400.0, 701.0, 2.0)
    line = np.exp(-4 * np.log(2) * ((source - 550) / 4) ** 2)  # a narrow source band's view of one line
    targets = np.arange(500.0, 601.0, 0.5)
    seen = resampling_matrix(source, targets, np.full(source.size, 4.0), np.full(targets.size, 20.0)) @ line
    wide = targets[seen > seen.max() / 2]
    assert wide[-1] - wide[0] == pytest.approx(20, rel=0.05)
    assert targets[seen.argmax()] == 550


def test_a_narrow_target_is_interpolated_between_its_two_neighbours():
    weights = resampling_matrix([400, 410, 420], [413], target_fwhm_nm=[2])
    np.testing.assert_allclose(weights, [[0, 0.7, 0.3]])


def test_bands_at_the_same_wavelength_share_its_weight():
    np.testing.assert_allclose(resampling_matrix([500, 510, 500], [500, 505]), [[0.5, 0, 0.5], [0.25, 0.5, 0.25]])


def test_overlapping_spectrometers_are_put_in_order():
    weights = resampling_matrix(AVIRIS_OVERLAP, [660, 666])
    assert np.flatnonzero(weights[0]).tolist() == [1, 4]
    assert np.flatnonzero(weights[1]).tolist() == [2, 4]


def test_half_a_band_spacing_outside_of_the_range_takes_the_outermost_band():
    np.testing.assert_array_equal(resampling_matrix([400, 410, 420], [396, 425]), [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("target", [[394.0], [425.1], [0.4, 0.41]])
def test_targets_outside_of_the_range_are_refused_with_both_ranges(target):
    said = rf"the wanted bands span {target[0]:g} to {target[-1]:g} nm, the usable source bands only 400 to 420 nm"
    with pytest.raises(InputError, match=said):
        resampling_matrix([400, 410, 420], target)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [400]), "source_nm is .*; wanted a list of positive numbers"),
        (([400, 410], [[400]]), r"target_nm is of shape \(1, 1\)"),
        (([400, np.nan], [400]), "source_nm is .*nan"),
        (([400, 410], [400], [5, 5], [0]), "target_fwhm_nm is .*; wanted a list of positive"),
        (([400, 410], [400], [5], [9]), "source_fwhm_nm has 1 values; wanted 2, one per band"),
    ],
)
def test_lists_that_are_no_bands_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        resampling_matrix(*arguments)


def test_the_result_is_physical_and_keeps_what_is_known_of_the_pixels():
    mask = np.array([[True, False]])
    place = Georeference((1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    raw = cube_of(
        [[[1000, 2000], [5, 5]]],
        [500, 510],
        scale_factor=10000.0,
        nodata=0.0,
        quantity="reflectance",
        unit="1",
        mask=mask,
        georeference=place,
        timestamp_ns=7,
    )
    result = resample_cube(raw, [505], [12.0])
    np.testing.assert_allclose(result.data, [[[0.15], [np.nan]]], rtol=1e-6)
    assert result.data.dtype == np.float32
    assert not result.is_raw
    assert (result.quantity, result.unit, result.georeference, result.timestamp_ns) == ("reflectance", "1", place, 7)
    np.testing.assert_array_equal(result.mask, mask)
    assert (result.wavelengths_nm.tolist(), result.fwhm_nm.tolist()) == ([505], [12])


def test_equal_grids_give_the_same_values(rng):
    data = rng.random((3, 4, 7), dtype=np.float32)
    cube = cube_of(data, AVIRIS_OVERLAP)
    np.testing.assert_array_equal(resample_cube(cube, AVIRIS_OVERLAP).data, data)


def test_bad_and_empty_bands_are_bridged_by_their_neighbours():
    nan = np.nan
    data = [[[1, 99, nan, 4], [1, 98, nan, 4]]]
    cube = cube_of(data, [400, 410, 420, 430], bad_bands=np.array([False, True, False, False]))
    np.testing.assert_allclose(resample_cube(cube, [410, 420]).data, [[[2, 3], [2, 3]]], rtol=1e-6)


def test_a_missing_value_reaches_only_the_targets_that_it_contributes_to():
    data = [[[1, np.nan, 3, 4], [1, 2, 3, np.inf]]]
    result = resample_cube(cube_of(data, [400, 410, 420, 430]), [400, 405, 425, 430])
    np.testing.assert_allclose(result.data, [[[1, np.nan, 3.5, 4], [1, 1.5, np.nan, np.nan]]], rtol=1e-6)


def test_a_cube_in_many_blocks_equals_one_in_a_single_block(rng, monkeypatch):
    data = rng.random((9, 4, 6), dtype=np.float32)
    data[5, 1, 2] = np.nan
    cube = cube_of(data, np.linspace(400, 500, 6), mask=rng.random((9, 4)) > 0.2)
    whole = resample_cube(cube, [420, 480], [40, 40]).data
    monkeypatch.setattr("hsi_edge.spectral._BLOCK_BYTES", 200)
    np.testing.assert_allclose(resample_cube(cube, [420, 480], [40, 40]).data, whole, rtol=1e-6)


def test_a_cube_without_wavelengths_is_refused():
    with pytest.raises(InputError, match=r"this cube has no wavelengths.*; add them"):
        resample_cube(Cube(data=np.zeros((1, 1, 2))), [500])


def test_a_cube_without_a_usable_band_is_refused():
    with pytest.raises(InputError, match="none of the 2 bands is usable"):
        resample_cube(cube_of([[[np.nan, 1]]], [400, 410], bad_bands=np.array([False, True])), [400])


def test_matching_finds_each_target_within_tolerance():
    assert match_bands(AVIRIS_OVERLAP, [655, 667], 1.0).tolist() == [3, 2]
    assert match_bands(AVIRIS_OVERLAP, [655, 690], 1.0) is None


def test_one_band_never_serves_two_targets():
    assert match_bands([500, 600], [499, 501], 5.0) is None


def test_a_real_sensor_with_an_overlap_and_bad_bands_is_resampled(shared_data):
    path = shared_data / "sensors" / "pair_salton_sea.npz"
    if not path.is_file():
        pytest.skip("research data is not here: sensors/pair_salton_sea.npz")
    with np.load(path) as pair:
        cube = Cube(data=pair["cube"], wavelengths_nm=pair["wavelength_nm"], bad_bands=pair["bbl"] == 0)
    vis31 = np.linspace(400, 700, 31)
    result = resample_cube(cube, vis31, np.full(31, 10.0))
    assert np.isfinite(result.data).all()
    nearest = cube.data[:, :, np.abs(cube.wavelengths_nm[:, None] - vis31).argmin(axis=0)]
    np.testing.assert_allclose(result.data.mean(axis=(0, 1)), nearest.mean(axis=(0, 1)), rtol=0.1)
