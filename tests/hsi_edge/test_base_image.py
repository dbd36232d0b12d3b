from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.base_image import fit_bands, make_base_image
from hsi_edge.resampling import Blur, degrade, upsample

RATIO = 4
BLUR = Blur.gaussian(RATIO, RATIO)


def msi_of(rng, rows=12, cols=10):
    return rng.random((3, rows * RATIO, cols * RATIO), np.float32)


def whole(base, msi):
    _, rows, cols = msi.shape
    return base.window((0, rows), (0, cols), msi)


@given(
    st.sampled_from(["bilinear", "bicubic", "regression"]),
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(0, 20), st.integers(1, 28)),
    st.tuples(st.integers(0, 20), st.integers(1, 20)),
)
def test_a_window_equals_the_whole_to_the_last_digits(kind, seed, rows, cols):
    rng = np.random.default_rng(seed)
    msi = msi_of(rng)
    base = make_base_image(kind, rng.random((5, 12, 10), np.float32), degrade(msi, RATIO, BLUR), RATIO)
    (top, height), (left, width) = rows, cols
    region = np.s_[:, top : top + height, left : left + width]
    window = base.window((top, top + height), (left, left + width), msi[region])
    np.testing.assert_allclose(window, whole(base, msi)[region], atol=2e-6)


def test_regression_recovers_a_scene_that_is_linear_in_the_msi(rng):
    msi = msi_of(rng)
    truth = np.tensordot(rng.random((6, 3)), msi, axes=1) + rng.random((6, 1, 1))
    base = make_base_image(
        "regression", degrade(truth.astype(np.float32), RATIO, BLUR), degrade(msi, RATIO, BLUR), RATIO
    )
    off = np.abs(whole(base, msi) - truth).max()
    # What the ridge holds back; interpolation alone is off by about the scene's whole contrast.
    assert off < 2e-3
    assert np.abs(upsample(degrade(truth.astype(np.float32), RATIO, BLUR), RATIO, "bicubic") - truth).max() > 0.5


def test_regression_by_a_constant_msi_is_interpolation(rng):
    lr_hsi = rng.random((5, 12, 10), np.float32)
    msi = np.full((3, 48, 40), 0.4, np.float32)
    base = make_base_image("regression", lr_hsi, degrade(msi, RATIO, BLUR), RATIO)
    np.testing.assert_allclose(whole(base, msi), upsample(lr_hsi, RATIO, "bicubic"), atol=1e-5)


def test_regression_takes_a_grey_msi_of_equal_bands(rng):
    grey = msi_of(rng)[:1].repeat(3, axis=0)
    truth = np.tensordot(rng.random((4, 1)), grey[:1], axes=1).astype(np.float32)
    base = make_base_image("regression", degrade(truth, RATIO, BLUR), degrade(grey, RATIO, BLUR), RATIO)
    assert np.abs(whole(base, grey) - truth).max() < 2e-3


def test_masked_pixels_do_not_enter_the_fit(rng):
    lr_hsi, lr_msi = rng.random((5, 12, 10), np.float32), rng.random((3, 12, 10), np.float32)
    valid = rng.random((12, 10)) > 0.3
    spoilt = np.where(valid, lr_hsi, 1000).astype(np.float32)
    np.testing.assert_array_equal(fit_bands(spoilt, lr_msi, valid), fit_bands(lr_hsi, lr_msi, valid))
    assert np.abs(fit_bands(spoilt, lr_msi) - fit_bands(lr_hsi, lr_msi)).max() > 1


def test_the_fit_is_the_least_squares_of_the_centred_bands(rng):
    lr_hsi, lr_msi = rng.random((5, 12, 10), np.float32), rng.random((3, 12, 10), np.float32)
    design = np.concatenate([lr_msi.reshape(3, -1), np.ones((1, 120))]).T
    wanted = np.linalg.lstsq(design, lr_hsi.reshape(5, -1).T, rcond=None)[0][:3].T
    np.testing.assert_allclose(fit_bands(lr_hsi, lr_msi), wanted, atol=1e-4)


def test_the_base_image_is_fitted_on_the_valid_pixels(rng):
    lr_hsi, lr_msi = rng.random((5, 12, 10), np.float32), rng.random((3, 12, 10), np.float32)
    valid = rng.random((12, 10)) > 0.3
    base = make_base_image("regression", lr_hsi, lr_msi, RATIO, valid)
    np.testing.assert_array_equal(base.weights, fit_bands(lr_hsi, lr_msi, valid))


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_interpolation_does_not_look_at_the_msi(rng, kind):
    lr_hsi, msi = rng.random((5, 12, 10), np.float32), msi_of(rng)
    base = make_base_image(kind, lr_hsi, None, RATIO)
    np.testing.assert_array_equal(whole(base, msi), upsample(lr_hsi, RATIO, kind))


def test_one_valid_pixel_is_enough_for_finite_numbers(rng):
    lr_hsi, lr_msi = rng.random((5, 2, 2), np.float32), rng.random((3, 2, 2), np.float32)
    valid = np.array([[True, False], [False, False]])
    assert np.isfinite(fit_bands(lr_hsi, lr_msi, valid)).all()
