from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.live.viewer.spectra import LARGEST_PX, Area, spectra
from tests.hsi_edge.live.viewer_source import ViewerPipeline

ROWS, RATIO = 8, 4
RESULT = ViewerPipeline(lr=ROWS, ratio=RATIO).step()

spans = st.lists(st.integers(0, ROWS * RATIO), min_size=2, max_size=2, unique=True).map(sorted)


def test_a_point_is_one_pixel_of_each():
    sensor, fused = spectra(RESULT, Area(left=9, top=22, right=10, bottom=23))
    np.testing.assert_array_equal(fused.mean, RESULT.hr_hsi.data[22, 9])
    np.testing.assert_array_equal(sensor.mean, RESULT.lr_hsi.data[5, 2])
    assert fused.std is None
    assert sensor.std is None


@given(x=spans, y=spans)
def test_the_sensors_pixels_have_their_centres_in_the_rectangle_or_are_the_one_in_its_middle(x, y):
    area = Area(left=x[0], top=y[0], right=x[1], bottom=y[1])
    sensor, fused = spectra(RESULT, area)
    centres = (np.arange(ROWS) + 0.5) * RATIO
    rows = np.flatnonzero((centres >= y[0]) & (centres < y[1]))
    cols = np.flatnonzero((centres >= x[0]) & (centres < x[1]))
    rows = rows if rows.size else np.array([(y[0] + y[1] - 1) // 2 // RATIO])
    cols = cols if cols.size else np.array([(x[0] + x[1] - 1) // 2 // RATIO])
    wanted = RESULT.lr_hsi.data[np.ix_(rows, cols)].reshape(-1, 31).astype(np.float64)
    np.testing.assert_allclose(sensor.mean, wanted.mean(axis=0))
    part = RESULT.hr_hsi.data[y[0] : y[1], x[0] : x[1]].reshape(-1, 31).astype(np.float64)
    np.testing.assert_allclose(fused.mean, part.mean(axis=0))
    if fused.std is not None:
        np.testing.assert_allclose(fused.std, part.std(axis=0), atol=1e-12)


def test_invalid_pixels_are_left_out_and_nothing_but_them_is_nan():
    data = RESULT.hr_hsi.data.copy()
    data[0, 0], data[0, 1, 3] = np.nan, np.nan
    holed = replace(RESULT, hr_hsi=replace(RESULT.hr_hsi, data=data))
    _, fused = spectra(holed, Area(left=0, top=0, right=3, bottom=1))
    assert fused.mean[3] == pytest.approx(data[0, 2, 3])
    assert fused.mean[4] == pytest.approx(data[0, 1:3, 4].mean())
    _, point = spectra(holed, Area(left=0, top=0, right=1, bottom=1))
    assert np.isnan(point.mean).all()


def test_a_huge_rectangle_is_sampled_on_a_grid():
    side = 512
    data = np.tile(np.linspace(0, 1, side, dtype=np.float32)[:, None, None], (1, side, 1))
    huge = replace(RESULT, hr_hsi=Cube(data=data), lr_hsi=Cube(data=data[::RATIO, ::RATIO]))
    _, fused = spectra(huge, Area(left=0, top=0, right=side, bottom=side))
    assert LARGEST_PX / 2 < fused.pixels <= LARGEST_PX
    assert fused.mean[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("area", [(0, 0, 0, 1), (-1, 0, 1, 1), (0, 0, 33, 1), (5, 5, 4, 6)])
def test_a_rectangle_outside_of_the_frame_is_refused(area):
    left, top, right, bottom = area
    with pytest.raises(InputError, match="beyond the frame of 32 x 32 pixels"):
        spectra(RESULT, Area(left=left, top=top, right=right, bottom=bottom))
