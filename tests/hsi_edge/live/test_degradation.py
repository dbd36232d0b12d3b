import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.live.degradation import degraded_frame
from hsi_edge.resampling import Blur, degrade

small = st.integers(1, 6)


@given(st.integers(1, 8), small, small, st.integers(1, 4), st.floats(0.5, 2.0), st.integers(0, 2**32 - 1))
def test_it_is_the_degradation_of_the_whole_package(
    ratio: int, rows: int, cols: int, bands: int, width: float, seed: int
) -> None:
    image = np.random.default_rng(seed).random((rows * ratio, cols * ratio, bands), np.float32)
    blur = Blur.gaussian(width * ratio, ratio)
    expected = np.moveaxis(degrade(np.moveaxis(image, 2, 0), ratio, blur), 0, 2)
    np.testing.assert_allclose(degraded_frame(image, ratio, blur), expected, atol=2e-6)


def test_a_missing_pixel_spoils_only_what_its_taps_touch_in_its_band(rng: np.random.Generator) -> None:
    image = rng.random((64, 64, 2), np.float32)
    blur = Blur.gaussian(8, 8)
    whole = degraded_frame(image, 8, blur)
    image[35, 36, 1] = np.nan
    spoilt = degraded_frame(image, 8, blur)
    lost = np.isnan(spoilt)
    assert not lost[:, :, 0].any()
    # 11 pixels of taps beyond the LR pixel at either side: LR pixel 4 and its neighbours.
    assert lost[3:6, 3:6, 1].all()
    assert lost.sum() == 9
    np.testing.assert_array_equal(spoilt[~lost], whole[~lost])


def test_integers_and_flags_are_taken_as_numbers() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    image[:, 4:] = 200
    box = Blur((0.25,) * 4, 0)
    np.testing.assert_array_equal(degraded_frame(image, 4, box)[:, :, 0], [[0, 200], [0, 200]])
    np.testing.assert_array_equal(degraded_frame(image > 0, 4, box)[:, :, 0], [[0, 1], [0, 1]])
