"""The displacement that is left in a registered pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import fourier_shift, gaussian_filter

from hsi_edge.registration.translation import Translation, estimate_translation, margin_px, resampled
from hsi_edge.resampling import Blur, decimate_cols, decimate_rows

RATIO = 8
SIDE = 20 * RATIO


def guide(rng):
    image = gaussian_filter(rng.standard_normal((3, SIDE, SIDE)), (0, 2, 2))
    return image / image.std()


def displaced(image, rows, cols):
    """The same scene seen by a camera that lies off by so many HR pixels (periodic)."""
    spectrum = np.fft.fft2(image)
    return np.fft.ifft2([fourier_shift(band, (rows, cols)) for band in spectrum]).real


def degraded_with(image):
    def degraded(rows, cols):
        lr = SIDE // RATIO
        narrow = decimate_rows(image.astype(np.float32), RATIO, rows, (2, lr - 2), (True, True))
        return decimate_cols(narrow, RATIO, cols, (2, lr - 2), (True, True)).reshape(3, -1)

    return lambda blurs: [degraded(rows, cols) for rows, cols in blurs]


def estimate(rng, rows, cols, noise=0.0):
    scene = guide(rng)
    blur = Blur.gaussian(RATIO, RATIO)
    components = rng.normal(size=(4, 3)) @ degraded_with(scene)([(blur, blur)])[0]
    components += noise * rng.standard_normal(components.shape)
    moved = displaced(scene, rows, cols)
    return estimate_translation(components.astype(np.float32), degraded_with(moved), RATIO, RATIO)


@pytest.mark.parametrize(("rows", "cols"), [(0.3, -0.2), (-1.7, 0.9), (4.0, -3.5)])
def test_a_displacement_is_found_to_a_hundredth_of_an_hr_pixel(rng, rows, cols):
    found = estimate(rng, rows, cols)
    assert found.trusted
    assert (found.rows_px, found.cols_px) == pytest.approx((rows, cols), abs=0.01)


def test_noise_alone_is_not_undone(rng):
    draws = [estimate(rng, 0, 0, noise=0.3) for _ in range(10)]
    assert sum(draw.rows_px != 0 for draw in draws) <= 1
    assert max(abs(draw.rows_px) for draw in draws) < 0.3


def test_the_standard_error_is_that_of_the_estimates(rng):
    draws = [estimate(rng, 2.0, -2.0, noise=0.3) for _ in range(30)]
    spread = np.std([draw.rows_px for draw in draws])
    assert np.mean([draw.rows_std_px for draw in draws]) == pytest.approx(spread, rel=0.5)


def test_a_pair_that_is_off_by_an_lr_pixel_is_not_trusted(rng):
    found = estimate(rng, 10, 0)
    assert not found.trusted
    assert found.is_zero


def test_nothing_to_look_at_means_no_displacement(rng):
    nothing = np.empty((0, 256), np.float32)
    assert estimate_translation(nothing, degraded_with(guide(rng)), RATIO, RATIO) == Translation()


@given(st.floats(-3, 3), st.sampled_from([0, 1]))
def test_resampling_undoes_a_displacement(shift, axis):
    margin = margin_px(shift)
    x = np.arange(-margin, 40 + margin)

    def wave(at):
        return np.sin(0.9 * at) + 0.5 * np.cos(0.4 * at + 1)

    image = np.tile(wave(x).astype(np.float32), (3, 1))
    wanted = np.tile(wave(np.arange(40) + shift), (3, 1))
    if axis == 0:
        image, wanted = image.T, wanted.T
    np.testing.assert_allclose(resampled(image, shift, axis), wanted, atol=2e-2)


def test_a_whole_pixel_is_moved_exactly():
    image = np.random.default_rng(0).random((5, 40)).astype(np.float32)
    margin = margin_px(2.0)
    np.testing.assert_allclose(resampled(image, 2.0, 1), image[:, margin + 2 : 40 - margin + 2], atol=1e-6)
