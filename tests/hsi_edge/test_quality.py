from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsi_edge import quality
from hsi_edge.errors import InputError

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]

METRICS: dict[str, Callable[..., object]] = {
    "psnr_per_band_db": quality.psnr_per_band_db,
    "psnr_db": quality.psnr_db,
    "psnr_cube_db": quality.psnr_cube_db,
    "rmse": quality.rmse,
    "cc": quality.cc,
    "sam_map_deg": quality.sam_map_deg,
    "sam_deg": quality.sam_deg,
    "sam_p95_deg": quality.sam_p95_deg,
    "ssim_gaussian": quality.ssim_gaussian,
    "ssim_uniform": quality.ssim_uniform,
}


@pytest.fixture
def pair(rng: np.random.Generator) -> Pair:
    """A truth with smooth structure and an estimate some 20 dB away from it."""
    rows, cols = np.mgrid[0:24, 0:19]
    structure = 0.5 + 0.3 * np.sin(rows / 4.0) * np.cos(cols / 3.0)
    truth = structure[:, :, None] * rng.uniform(0.3, 1.2, 5)
    return truth + rng.normal(0, 0.05, truth.shape), truth


def nchw(array: NDArray[np.float64]):
    import torch

    return torch.from_numpy(array.transpose(2, 0, 1)[None].copy())


@pytest.fixture(scope="module")
def torchmetrics_image():
    # Its import warns of other packages' deprecations, which are not this package's to fix.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")


def test_psnr_of_the_whole_cube_agrees_with_torchmetrics(pair, torchmetrics_image):
    e, t = pair
    theirs = torchmetrics_image.peak_signal_noise_ratio(nchw(e), nchw(t), data_range=1.0)
    # Relative: torchmetrics keeps 10 / ln 10 in float32, which is 4.5e-8 off, even where the data is float64.
    assert quality.psnr_cube_db(e, t) == pytest.approx(theirs.item(), rel=1e-7)


def test_psnr_agrees_with_scikit_image(pair):
    from skimage.metrics import peak_signal_noise_ratio

    e, t = pair
    whole = peak_signal_noise_ratio(t, e, data_range=2.0)
    assert quality.psnr_cube_db(e, t, peak=2.0) == pytest.approx(whole, abs=1e-6)
    theirs = [peak_signal_noise_ratio(t[:, :, k], e[:, :, k], data_range=2.0) for k in range(5)]
    np.testing.assert_allclose(quality.psnr_per_band_db(e, t, peak=2.0), theirs, atol=1e-6)


def test_sam_agrees_with_torchmetrics(pair, torchmetrics_image):
    e, t = pair
    theirs = torchmetrics_image.spectral_angle_mapper(nchw(e), nchw(t), reduction="none")[0].numpy()
    np.testing.assert_allclose(quality.sam_map_deg(e, t), np.degrees(theirs), atol=1e-6)


def test_ergas_agrees_with_torchmetrics(pair, torchmetrics_image):
    e, t = pair
    theirs = torchmetrics_image.error_relative_global_dimensionless_synthesis(nchw(e), nchw(t), ratio=8)
    assert quality.ergas(e, t, ratio=8) == pytest.approx(theirs.item(), abs=1e-6)


def test_gaussian_ssim_agrees_with_torchmetrics_inside_its_padding(pair, torchmetrics_image):
    e, t = pair
    _, theirs = torchmetrics_image.structural_similarity_index_measure(
        nchw(e), nchw(t), data_range=1.0, return_full_image=True
    )
    assert quality.ssim_gaussian(e, t) == pytest.approx(theirs[..., 5:-5, 5:-5].mean().item(), abs=1e-6)


@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_both_ssims_agree_with_scikit_image(pair, peak):
    from skimage.metrics import structural_similarity

    e, t = (peak * array for array in pair)
    uniform = structural_similarity(t, e, channel_axis=2, data_range=peak)
    gaussian = structural_similarity(
        t, e, channel_axis=2, data_range=peak, gaussian_weights=True, use_sample_covariance=False
    )
    assert quality.ssim_uniform(e, t, peak=peak) == pytest.approx(uniform, abs=1e-6)
    assert quality.ssim_gaussian(e, t, peak=peak) == pytest.approx(gaussian, abs=1e-6)


def test_cc_agrees_with_numpy(pair):
    e, t = pair
    theirs = np.mean([np.corrcoef(e[:, :, k].ravel(), t[:, :, k].ravel())[0, 1] for k in range(5)])
    assert quality.cc(e, t) == pytest.approx(theirs, abs=1e-12)


def test_psnr_forms_differ_as_computed_by_hand():
    truth = np.zeros((2, 2, 2))
    estimate = np.broadcast_to([0.1, 0.01], (2, 2, 2))
    np.testing.assert_allclose(quality.psnr_per_band_db(estimate, truth), [20.0, 40.0])
    assert quality.psnr_db(estimate, truth) == pytest.approx(30.0)
    assert quality.psnr_cube_db(estimate, truth) == pytest.approx(-10 * math.log10((0.01 + 0.0001) / 2))
    assert quality.rmse(estimate, truth) == pytest.approx(math.sqrt((0.01 + 0.0001) / 2))


def test_ergas_takes_the_mean_of_the_truth():
    truth = np.full((2, 2, 2), 0.5)
    estimate = truth + np.array([0.1, 0.2])
    assert quality.ergas(estimate, truth, ratio=4) == pytest.approx(25 * math.sqrt((0.2**2 + 0.4**2) / 2))
    assert quality.ergas(estimate, truth, ratio=8) == pytest.approx(quality.ergas(estimate, truth, ratio=4) / 2)


def test_ergas_of_a_missed_band_with_mean_zero_is_infinite_and_of_a_met_one_is_not():
    truth = np.dstack([np.zeros((3, 3)), np.ones((3, 3))])
    assert quality.ergas(truth + np.array([0.0, 0.1]), truth, ratio=4) == pytest.approx(25 * math.sqrt(0.01 / 2))
    assert quality.ergas(truth + np.array([0.1, 0.0]), truth, ratio=4) == math.inf


def test_sam_by_hand():
    truth = np.array([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 2.0]]])
    estimate = np.array([[[0.0, 3.0], [1.0, 1.0], [-1.0, 0.0], [1.0, 1.0]]])
    np.testing.assert_allclose(quality.sam_map_deg(estimate, truth), [[90, 45, 180, 0]], atol=1e-12)
    assert quality.sam_deg(estimate, truth) == pytest.approx(315 / 4)
    assert quality.sam_p95_deg(estimate, truth) == pytest.approx(np.percentile([0, 45, 90, 180], 95))


def test_sam_resolves_angles_that_the_arc_cosine_cannot():
    angle = 1e-9
    truth = np.array([[[1.0, 0.0]]])
    estimate = np.array([[[math.cos(angle), math.sin(angle)]]])
    assert quality.sam_deg(estimate, truth) == pytest.approx(math.degrees(angle), rel=1e-6)


def test_sam_leaves_out_pixels_without_direction():
    truth = np.array([[[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]])
    estimate = np.array([[[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]])
    np.testing.assert_array_equal(np.isnan(quality.sam_map_deg(estimate, truth)), [[False, True, True]])
    assert quality.sam_deg(estimate, truth) == pytest.approx(45)
    assert math.isnan(quality.sam_deg(estimate[:, 1:], truth[:, 1:]))


def test_a_constant_estimate_earns_no_correlation_and_a_constant_truth_is_left_out():
    ramp = np.linspace(0, 1, 12).reshape(3, 4)
    flat = np.full((3, 4), 0.1)
    assert quality.cc(np.dstack([ramp, flat]), np.dstack([ramp, ramp])) == pytest.approx(0.5)
    assert quality.cc(np.dstack([ramp, ramp]), np.dstack([ramp, flat])) == pytest.approx(1)
    assert math.isnan(quality.cc(ramp[:, :, None], flat[:, :, None]))


def test_an_identical_pair_is_perfect_in_every_metric(pair):
    _, truth = pair
    result = quality.compare(truth.copy(), truth, ratio=8)
    assert result.psnr_db == result.psnr_cube_db == math.inf
    assert result.psnr_per_band_db == (math.inf,) * 5
    assert result.ssim_gaussian == result.ssim_uniform == 1
    assert result.sam_deg == result.sam_p95_deg == result.ergas == result.rmse == 0
    assert result.cc == pytest.approx(1, abs=1e-12)


def test_compare_holds_what_each_function_gives(pair):
    e, t = pair
    result = quality.compare(e, t, ratio=4, peak=2.0)
    for name in ("psnr_db", "psnr_cube_db", "ssim_gaussian", "ssim_uniform"):
        assert getattr(result, name) == METRICS[name](e, t, peak=2.0)
    for name in ("sam_deg", "sam_p95_deg", "cc", "rmse"):
        assert getattr(result, name) == METRICS[name](e, t)
    assert result.ergas == quality.ergas(e, t, ratio=4)
    assert result.psnr_per_band_db == tuple(quality.psnr_per_band_db(e, t, peak=2.0))


def test_a_result_survives_json(pair):
    result = quality.compare(*pair, ratio=4)
    read = json.loads(json.dumps(result.as_dict()))
    assert quality.Quality(**{**read, "psnr_per_band_db": tuple(read["psnr_per_band_db"])}) == result


def test_psnr_and_ssim_do_not_ask_which_of_the_two_is_true(pair):
    e, t = pair
    for name in ("psnr_db", "psnr_cube_db", "rmse", "ssim_gaussian", "ssim_uniform"):
        assert METRICS[name](e, t) == pytest.approx(METRICS[name](t, e), rel=1e-12)


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-3, 1e3))
def test_sam_does_not_see_brightness(seed, factor):
    rng = np.random.default_rng(seed)
    e, t = rng.uniform(0.01, 1, (2, 4, 3, 6))
    per_pixel = rng.uniform(0.1, 10, (4, 3, 1))
    np.testing.assert_allclose(
        quality.sam_map_deg(factor * per_pixel * e, t), quality.sam_map_deg(e, t), rtol=1e-9, atol=1e-9
    )


@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(1e-4, 1))
def test_more_noise_is_never_better(seed, noise):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 1, (14, 13, 3))
    error = rng.normal(size=truth.shape)
    near = quality.compare(truth + noise * error, truth, ratio=4)
    far = quality.compare(truth + 2 * noise * error, truth, ratio=4)
    assert near.psnr_db - far.psnr_db == pytest.approx(20 * math.log10(2))
    assert far.rmse == pytest.approx(2 * near.rmse)
    assert far.ergas == pytest.approx(2 * near.ergas)
    assert far.psnr_cube_db <= far.psnr_db + 1e-9
    assert -1 <= far.cc <= 1
    assert 0 <= far.sam_deg <= 180
    assert max(far.ssim_gaussian, far.ssim_uniform) <= 1


def test_a_pixel_missing_in_one_band_of_either_counts_nowhere(pair):
    e, t = pair
    holed_e, holed_t, spoilt = e.copy(), t.copy(), e.copy()
    holed_e[3, 4, 1] = np.nan
    holed_t[9, 2, :] = np.nan
    spoilt[3, 4] = spoilt[9, 2] = 100.0
    with_hole = np.isnan(holed_e + holed_t).any(axis=2)
    kept_e, kept_t = e[~with_hole][:, None], t[~with_hole][:, None]
    for name in ("psnr_db", "psnr_cube_db", "rmse", "cc", "sam_deg", "sam_p95_deg"):
        assert METRICS[name](holed_e, holed_t) == pytest.approx(METRICS[name](kept_e, kept_t), rel=1e-12)
    assert quality.ergas(holed_e, holed_t, ratio=4) == pytest.approx(quality.ergas(kept_e, kept_t, ratio=4))
    np.testing.assert_array_equal(np.isnan(quality.sam_map_deg(holed_e, holed_t)), with_hole)
    assert quality.compare(np.where(with_hole[:, :, None], np.nan, spoilt), t, ratio=4) == quality.compare(
        holed_e, holed_t, ratio=4
    )


@pytest.mark.parametrize("name", ["ssim_gaussian", "ssim_uniform"])
def test_ssim_leaves_out_the_windows_that_touch_a_missing_pixel(pair, name):
    e, t = pair
    holed = e.copy()
    holed[0, :, 2] = np.nan  # every window of the first row of windows, and no other
    assert METRICS[name](holed, t) == pytest.approx(METRICS[name](e[1:], t[1:]), rel=1e-12)


def test_half_precision_and_integers_are_summed_in_double(rng):
    truth = rng.integers(0, 4096, (16, 16, 3)).astype(np.uint16)
    estimate = (truth // 2 + 30000).astype(np.uint16)
    wide = quality.compare(estimate.astype(np.float64), truth.astype(np.float64), ratio=4, peak=65535)
    assert quality.compare(estimate, truth, ratio=4, peak=65535) == wide
    half = np.full((40, 40, 1), 0.1, np.float16)
    assert quality.rmse(half, np.zeros_like(half)) == pytest.approx(float(np.float16(0.1)), rel=1e-12)


def test_inputs_are_not_changed(pair):
    e, t = (array.copy() for array in pair)
    e[2, 2, 2] = np.nan
    before = e.copy(), t.copy()
    quality.compare(e, t, ratio=4)
    np.testing.assert_array_equal(e, before[0])
    np.testing.assert_array_equal(t, before[1])


@pytest.mark.parametrize("metric", [*METRICS.values(), lambda e, t: quality.ergas(e, t, ratio=4)])
@pytest.mark.parametrize(
    ("estimate", "truth", "message"),
    [
        (np.ones((12, 12, 2)), np.ones((12, 12, 3)), r"estimate has shape \(12, 12, 2\) and truth \(12, 12, 3\)"),
        (np.ones((12, 12)), np.ones((12, 12)), r"estimate has shape \(12, 12\); wanted \(rows, cols, bands\)"),
        (np.ones((0, 12, 2)), np.ones((0, 12, 2)), "none of them zero"),
        (np.ones((12, 12, 2)), np.ones((12, 12, 2), np.complex64), "truth has dtype complex64; wanted real numbers"),
        (np.full((12, 12, 2), np.inf), np.ones((12, 12, 2)), "estimate holds infinite values"),
        (np.ones((12, 12, 2)), np.full((12, 12, 2), np.nan), "no pixel is measured in every band"),
    ],
)
def test_every_metric_refuses_what_it_cannot_score(metric, estimate, truth, message):
    with pytest.raises(InputError, match=message):
        metric(estimate, truth)


def test_a_frame_smaller_than_the_ssim_window_is_refused():
    small = np.ones((10, 20, 1))
    with pytest.raises(InputError, match="have 10 x 20 pixels; this SSIM needs at least 11 x 11"):
        quality.compare(small, small, ratio=4)


@pytest.mark.parametrize("peak", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["psnr_db", "ssim_uniform"])
def test_a_peak_that_is_no_range_is_refused(pair, name, peak):
    with pytest.raises(InputError, match=r"peak is .*; it is the range of the data"):
        METRICS[name](*pair, peak=peak)


def test_a_ratio_below_one_is_refused(pair):
    with pytest.raises(InputError, match="ratio is 0; it is LR GSD / HR GSD, 1 or more"):
        quality.compare(*pair, ratio=0)
