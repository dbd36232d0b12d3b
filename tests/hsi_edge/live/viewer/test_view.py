from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import ManifestError
from hsi_edge.live.viewer.view import INDICES, View, index_bands, near, shown_bands
from hsi_edge.records import record_from_plain


def cube(wavelengths_nm, **fields):
    count = 5 if wavelengths_nm is None else len(wavelengths_nm)
    return Cube(data=np.zeros((2, 2, count), np.float32), wavelengths_nm=wavelengths_nm, **fields)


WIDE = cube(np.linspace(400, 1000, 31))
VISIBLE = cube(np.linspace(400, 700, 31))


def test_bands_are_chosen_by_wavelength():
    assert shown_bands(View(), WIDE) == (12, 7, 2)
    assert shown_bands(View(show="infrared"), WIDE) == (20, 13, 7)
    assert shown_bands(View(show="bands", bands=(30, 0, 5)), WIDE) == (30, 0, 5)
    assert index_bands(View(show="ndvi"), WIDE) == (20, 13)


def test_what_the_sensor_has_no_bands_for_falls_back_to_the_natural_view():
    assert index_bands(View(show="ndvi"), VISIBLE) is None
    for show in ("infrared", "ndvi", "nonsense"):
        assert shown_bands(View(show=show), VISIBLE) == shown_bands(View(), VISIBLE)
    assert shown_bands(View(show="bands", bands=(0, 1, 31)), WIDE) == shown_bands(View(), WIDE)
    assert index_bands(View(show="pri"), VISIBLE) == (13, 17)


def test_bad_bands_and_unknown_wavelengths_are_never_taken():
    bad = np.zeros(31, bool)
    bad[20] = True
    assert near(cube(WIDE.wavelengths_nm, bad_bands=bad), (800.0, 670.0)) == (19, 13)
    assert near(cube(None), (800.0,)) is None
    assert len(set(shown_bands(View(), cube(None)))) == 3


def test_two_wavelengths_that_one_band_would_serve_make_no_index():
    assert near(cube(np.array([550.0, 670.0])), (660.0, 680.0)) is None


def test_every_index_has_two_bands_and_a_scale():
    for index in INDICES.values():
        assert index.upper_nm != index.lower_nm
        assert -1 <= index.limits[0] < index.limits[1] <= 1


@pytest.mark.parametrize("wish", [{"show": 3}, {"bands": "red"}, {"overlay": "mask"}, {"zoom": 2}])
def test_a_wish_that_is_no_view_is_refused(wish):
    with pytest.raises(ManifestError):
        record_from_plain(View, wish)
