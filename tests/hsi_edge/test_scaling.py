from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.scaling import PEAK_PERCENTILE, frame_peak


def test_few_glints_do_not_set_the_peak(rng):
    image = rng.random((100, 100), np.float32)
    image[0, :5] = 1000
    assert 0.99 < frame_peak(image) <= 1


def test_the_peak_is_a_value_of_the_frame_whatever_the_order_of_its_pixels(rng):
    image = rng.random((31, 40, 3), np.float32)
    assert frame_peak(image) in image
    assert frame_peak(image) == frame_peak(np.moveaxis(image, 2, 0)) == frame_peak(rng.permutation(image.ravel()))
    assert frame_peak(image) == pytest.approx(np.percentile(image, PEAK_PERCENTILE), abs=0.01)


def test_pixels_without_a_measurement_do_not_count(rng):
    image = rng.random((50, 50), np.float32)
    holed = np.concatenate([image, np.full((50, 50), np.nan, np.float32)])
    assert frame_peak(holed) == frame_peak(image)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_frame_without_light_is_not_divided(value):
    assert frame_peak(np.full((4, 4, 3), value, np.float32)) == 1.0
