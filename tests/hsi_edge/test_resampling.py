from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from hsi_edge.resampling import (
    Blur,
    decimate_cols,
    decimate_rows,
    degrade,
    upsample,
    upsample_window,
    upsampling_matrix,
)

kernels = st.sampled_from(["bilinear", "bicubic"])
sides = st.integers(1, 12)
ratios = st.integers(1, 9)


@st.composite
def windows(draw):
    """An LR length, a ratio and a window on the HR axis."""
    length, ratio = draw(sides), draw(ratios)
    start = draw(st.integers(0, length * ratio - 1))
    return length, ratio, start, draw(st.integers(start + 1, length * ratio))


@given(windows(), kernels)
def test_a_part_of_the_matrix_holds_the_numbers_of_the_whole(window, kernel):
    length, ratio, start, stop = window
    first, whole = upsampling_matrix(0, length * ratio, length, ratio, kernel)
    part_first, part = upsampling_matrix(start, stop, length, ratio, kernel)
    assert first == 0
    widened = np.zeros((stop - start, length), np.float32)
    widened[:, part_first : part_first + part.shape[1]] = part
    np.testing.assert_array_equal(widened, whole[start:stop])


@given(windows(), windows(), kernels, st.integers(0, 2**32 - 1))
def test_a_window_of_an_image_equals_the_whole_to_the_last_digits(rows, cols, kernel, seed):
    height, ratio, top, bottom = rows
    width, other, left, right = cols
    # One ratio for both axes; the window moves along.
    left, right = left * ratio // other, max(left * ratio // other + 1, right * ratio // other)
    image = np.random.default_rng(seed).random((2, height, width), np.float32)
    window = upsample_window(image, (top, bottom), (left, right), ratio, kernel)
    np.testing.assert_allclose(window, upsample(image, ratio, kernel)[:, top:bottom, left:right], atol=1e-6, rtol=0)


@given(sides, sides, ratios, kernels)
def test_a_constant_stays_what_it_is(height, width, ratio, kernel):
    image = np.full((2, height, width), 0.7, np.float32)
    np.testing.assert_allclose(upsample(image, ratio, kernel), 0.7, rtol=2e-6)


@given(st.integers(5, 12), ratios, kernels)
def test_a_ramp_goes_on_at_the_centres_of_the_finer_pixels(length, ratio, kernel):
    ramp = np.arange(length, dtype=np.float32)
    image = np.broadcast_to(ramp[:, None], (1, length, 3)).copy()
    centres = (np.arange(length * ratio) + 0.5) / ratio - 0.5
    inside = slice(2 * ratio, (length - 2) * ratio)
    np.testing.assert_allclose(upsample(image, ratio, kernel)[0, inside, 1], centres[inside], atol=1e-5)


@pytest.mark.parametrize("ratio", [1, 2, 3, 8])
def test_bilinear_is_that_of_torch_up_to_the_border(rng, ratio):
    image = rng.random((3, 7, 9), np.float32)
    wanted = interpolate(torch.from_numpy(image)[None], scale_factor=ratio, mode="bilinear")[0].numpy()
    np.testing.assert_allclose(upsample(image, ratio, "bilinear"), wanted, atol=1e-6)


@pytest.mark.parametrize("ratio", [2, 3, 8])
def test_bicubic_is_keys_cubic(rng, ratio):
    image = rng.random((3, 9, 11), np.float32)
    # torch takes Keys' a = -0.5 with antialiasing, which changes nothing when it enlarges; its border differs.
    size = (9 * ratio, 11 * ratio)
    wanted = interpolate(torch.from_numpy(image)[None], size, mode="bicubic", antialias=True)[0].numpy()
    inside = np.s_[:, 2 * ratio : -2 * ratio, 2 * ratio : -2 * ratio]
    np.testing.assert_allclose(upsample(image, ratio, "bicubic")[inside], wanted[inside], atol=1e-6)


def test_beyond_the_border_the_outermost_sample_is_repeated(rng):
    image = rng.random((1, 6, 6), np.float32)
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3)), mode="edge")
    inside = upsample(padded, 4, "bicubic")[:, 12:-12, 12:-12]
    np.testing.assert_allclose(upsample(image, 4, "bicubic"), inside, atol=1e-6)


blurs = st.builds(
    Blur,
    st.lists(st.floats(0.05, 1), min_size=1, max_size=9).map(lambda taps: tuple(tap / sum(taps) for tap in taps)),
    st.integers(-4, 3),
    st.sampled_from(["edge", "reflect"]),
)


@given(blurs, st.integers(1, 6), st.integers(2, 6), st.integers(2, 6))
def test_degrading_a_constant_leaves_it(blur, ratio, height, width):
    image = np.full((2, height * ratio, width * ratio), 0.3, np.float32)
    degraded = degrade(image, ratio, blur)
    assert degraded.shape == (2, height, width)
    np.testing.assert_allclose(degraded, 0.3, rtol=1e-5)


def directly(image, ratio, blur):
    """Sample by sample, from the sentence in `Blur`."""
    border = {"edge": "edge", "reflect": "reflect"}[blur.border]
    margin = 16
    padded = np.pad(image.astype(np.float64), ((0, 0), (margin, margin), (margin, margin)), mode=border)
    lr = np.zeros((image.shape[0], image.shape[1] // ratio, image.shape[2] // ratio))
    reach = np.arange(len(blur.taps)) + blur.offset + margin
    for i in range(lr.shape[1]):
        for j in range(lr.shape[2]):
            part = padded[:, i * ratio + reach][:, :, j * ratio + reach]
            lr[:, i, j] = np.einsum("kmn,m,n->k", part, blur.taps, blur.taps)
    return lr


@given(blurs, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_degrading_is_blur_and_decimation_as_documented(blur, ratio, seed):
    image = np.random.default_rng(seed).random((2, 5 * ratio, 6 * ratio), np.float32)
    np.testing.assert_allclose(degrade(image, ratio, blur), directly(image, ratio, blur), atol=1e-5)


@given(st.integers(1, 6), st.floats(0.5, 2), st.integers(0, 12), st.integers(1, 12))
def test_a_strip_gives_the_rows_of_the_whole(ratio, stretch, first, count):
    blur = Blur.gaussian(ratio * stretch, ratio)
    lr_rows = 24
    last = min(lr_rows, first + count)
    image = np.random.default_rng(0).random((2, lr_rows * ratio, 4 * ratio), np.float32)
    margin = -(blur.offset // ratio)
    above, below = max(0, first - margin), min(lr_rows, last + margin)
    strip = image[:, above * ratio : below * ratio]
    rows = decimate_rows(strip, ratio, blur, (first - above, last - above), (above == 0, below == lr_rows))
    whole_cols = decimate_cols(rows, ratio, blur, (0, 4), (True, True))
    np.testing.assert_array_equal(whole_cols, degrade(image, ratio, blur)[:, first:last])


@pytest.mark.parametrize("ratio", [2, 3, 8])
def test_a_gaussian_falls_to_half_at_half_its_width(ratio):
    blur = Blur.gaussian(4 * ratio, ratio)
    taps, centre = np.array(blur.taps), (ratio - 1) / 2 - blur.offset
    assert taps.sum() == pytest.approx(1)
    distance = np.arange(len(taps)) - centre
    shape = taps / np.interp(0, distance, taps)
    assert np.interp(2 * ratio, distance, shape) == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(taps, taps[::-1])


def test_degrading_undoes_no_registration(rng):
    """A smooth image comes back from degrade and upsample at its place: the two grids share their outer edges."""
    rows, cols = np.mgrid[:96, :96] / 96
    image = np.sin(5 * rows + 3 * cols).astype(np.float32)[None]
    back = upsample(degrade(image, 8, Blur.gaussian(8, 8)), 8, "bicubic")
    np.testing.assert_allclose(back[:, 16:-16, 16:-16], image[:, 16:-16, 16:-16], atol=0.03)
    shifted = np.roll(back, 4, axis=1)
    assert np.abs(shifted - image)[:, 16:-16, 16:-16].max() > 0.1
