from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError

DATA = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def test_a_cube_knows_its_size_and_takes_lists_for_its_bands():
    cube = Cube(data=DATA, wavelengths_nm=[400, 500, 600, 700], bad_bands=[0, 1, 0, 0])
    assert (cube.rows, cube.cols, cube.n_bands) == (2, 3, 4)
    assert cube.wavelengths_nm.dtype == np.float64
    assert cube.bad_bands.tolist() == [False, True, False, False]


def test_a_cube_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cube(data=DATA).quantity = "dn"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": DATA[0]}, r"a cube is \(rows, cols, bands\); this array has shape \(3, 4\)"),
        ({"wavelengths_nm": [1, 2, 3]}, r"wavelengths_nm has shape \(3,\); the cube has 4 bands"),
        ({"fwhm_nm": [[1, 2, 3, 4]]}, r"fwhm_nm has shape \(1, 4\); the cube has 4 bands"),
        ({"gain": [1.0]}, r"gain has shape \(1,\)"),
        ({"bad_bands": [True]}, r"bad_bands has shape \(1,\)"),
        ({"band_names": ("red",)}, "band_names has 1 names for 4 bands"),
        ({"quantity": "counts"}, "quantity is 'counts'; it is one of dn, radiance, reflectance, or None if unknown"),
        ({"scale_factor": 0.0}, "scale_factor is 0.0; it must be a positive number"),
        ({"scale_factor": float("nan")}, "scale_factor is nan; it must be a positive number"),
        ({"mask": np.ones((3, 2), bool)}, r"mask has shape \(3, 2\); the cube has \(2, 3\)"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Cube(**{"data": DATA, **fields})


def test_plain_pixels_are_physical_and_the_array_is_the_callers_own():
    cube = Cube(data=DATA)
    assert not cube.is_raw
    values = cube.physical()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, DATA)
    values[:] = -1
    assert DATA[0, 0, 1] == 1


def test_physical_values_of_floats_are_a_copy_too():
    data = DATA.astype(np.float32)
    Cube(data=data).physical()[:] = -1
    np.testing.assert_array_equal(data, DATA)


def test_the_scale_factor_divides():
    np.testing.assert_allclose(Cube(data=DATA, scale_factor=10_000.0).physical(), DATA / 10_000, rtol=1e-6)


def test_gains_and_offsets_take_the_place_of_the_scale_factor():
    gain, offset = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.5, 1.0, -1.0])
    both = Cube(data=DATA, gain=gain, offset=offset, scale_factor=100.0).physical()
    np.testing.assert_allclose(both, DATA * gain + offset)
    np.testing.assert_allclose(Cube(data=DATA, gain=gain).physical(), DATA * gain)
    np.testing.assert_allclose(Cube(data=DATA, offset=offset).physical(), DATA + offset)


def test_what_was_not_measured_is_nan():
    mask = np.ones((2, 3), bool)
    mask[1, 2] = False
    cube = Cube(data=DATA, nodata=5, mask=mask, scale_factor=2.0)
    wanted = DATA / 2
    wanted[0, 1, 1] = np.nan
    wanted[1, 2] = np.nan
    np.testing.assert_array_equal(cube.physical(), wanted)


@pytest.mark.parametrize("nodata", [np.nan, -3.4028235e38, -9999.0, 1e300])
def test_a_nodata_value_of_floats_is_found_in_their_precision(nodata):
    data = DATA.astype(np.float32)
    with np.errstate(over="ignore"):
        data[0, 0, 0] = nodata
    values = Cube(data=data, nodata=nodata).physical()
    assert not np.isfinite(values[0, 0, 0])
    assert np.isfinite(values).sum() == DATA.size - 1


def test_a_nodata_value_that_the_type_cannot_hold_is_no_pixel():
    assert np.isfinite(Cube(data=DATA.astype(np.uint8), nodata=-9999.0).physical()).all()


def test_chosen_bands_keep_their_metadata_in_the_new_order():
    cube = Cube(
        data=DATA,
        wavelengths_nm=np.array([400.0, 500.0, 600.0, 700.0]),
        gain=np.array([1.0, 2.0, 3.0, 4.0]),
        bad_bands=np.array([True, False, False, False]),
        band_names=("a", "b", "c", "d"),
        quantity="radiance",
    )
    chosen = cube.select_bands([2, 0])
    np.testing.assert_array_equal(chosen.data, DATA[:, :, [2, 0]])
    np.testing.assert_array_equal(chosen.physical(), cube.physical()[:, :, [2, 0]])
    assert chosen.wavelengths_nm.tolist() == [600, 400]
    assert chosen.bad_bands.tolist() == [False, True]
    assert (chosen.band_names, chosen.quantity, chosen.fwhm_nm) == (("c", "a"), "radiance", None)


@given(st.tuples(*[st.floats(-1e4, 1e4)] * 6), st.integers(1, 16), st.floats(0, 100), st.floats(0, 100))
def test_a_finer_grid_covers_the_same_ground(transform, ratio, row, col):
    def place(georeference, row, col):
        a, b, c, d, e, f = georeference.transform
        return a * col + b * row + c, d * col + e * row + f

    coarse = Georeference(transform, "EPSG:32611")
    fine = coarse.scaled(ratio)
    assert place(fine, row * ratio, col * ratio) == pytest.approx(place(coarse, row, col), abs=1e-6, rel=1e-9)
    assert fine.crs_wkt == coarse.crs_wkt


def test_envis_map_info_keeps_its_reference_point_on_the_ground():
    fields = ("UTM", "2.5", "1", "600000", "3700000", "8.0", "4.0", "11", "North", "WGS-84", "units=Meters")
    fine = Georeference((8.0, 0, 0, 0, -4.0, 0), map_info=fields).scaled(4).map_info
    # 1.5 coarse pixels from the corner are 6 fine ones, and ENVI counts from 1.
    assert [float(fine[index]) for index in (1, 2, 5, 6)] == [7, 1, 2, 1]
    assert fine[3:5] == fields[3:5]
    assert fine[7:] == fields[7:]


def test_a_short_map_info_is_left_alone():
    assert Georeference((1, 0, 0, 0, 1, 0), map_info=("Arbitrary", "1")).scaled(2).map_info == ("Arbitrary", "1")
