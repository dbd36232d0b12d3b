from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hsi_edge.frame
from hsi_edge.frame import prepare_frame
from hsi_edge.inputs import check_inputs
from hsi_edge.resampling import upsample
from hsi_edge.statistics import _windows, pair_to_measure
from tests.tiny_bundles import frame_pair, fusion_manifest


def prepared(lr_hsi, hr_msi, ratio=2):
    manifest = fusion_manifest(ratio)
    return prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))


@given(st.integers(1, 200), st.integers(1, 200))
def test_sampled_windows_are_disjoint_reach_both_ends_and_have_the_wanted_length(length, total):
    total = min(total, length)
    windows = _windows(length, total)
    assert sum(stop - start for start, stop in windows) == total
    assert windows[0][0] == 0
    if len(windows) > 1:
        assert windows[-1][1] == length
    ends = [0, *(end for window in windows for end in window), length]
    assert ends == sorted(ends)


def test_exact_measures_the_frame_itself(rng):
    lr_hsi, hr_msi = frame_pair(rng, (9, 6))
    base, msi = pair_to_measure(prepared(lr_hsi, hr_msi), "exact", 4)
    np.testing.assert_array_equal(base, upsample(np.moveaxis(lr_hsi, 2, 0), 2, "bilinear"))
    np.testing.assert_array_equal(msi, np.moveaxis(hr_msi, 2, 0))


@pytest.mark.parametrize("strip_bytes", [1, 1 << 20])
@pytest.mark.parametrize(("ratio", "rows", "cols"), [(2, 9, 6), (4, 18, 12)])
def test_reduced_measures_means_of_two_by_two_pixels(rng, monkeypatch, strip_bytes, ratio, rows, cols):
    monkeypatch.setattr(hsi_edge.frame, "STRIP_BYTES", strip_bytes)
    lr_hsi, hr_msi = frame_pair(rng, (9, 6), ratio)
    frame = prepared(lr_hsi, hr_msi, ratio)
    whole_base, whole_msi = pair_to_measure(frame, "exact", 4)
    base, msi = pair_to_measure(frame, "reduced", 4)
    assert base.shape == (5, rows, cols)
    np.testing.assert_allclose(base[:, 3, 4], whole_base[:, 6:8, 8:10].mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(msi[:, 3, 4], whole_msi[:, 6:8, 8:10].mean(axis=(1, 2)), rtol=1e-5)


def test_reduced_takes_an_odd_ratio(rng):
    base, msi = pair_to_measure(prepared(*frame_pair(rng, (3, 5), 3), 3), "reduced", 4)
    assert base.shape[1:] == msi.shape[1:] == (4, 7)


def test_sampled_puts_windows_of_the_frame_side_by_side(rng):
    lr_hsi, hr_msi = frame_pair(rng, (40, 30))
    frame = prepared(lr_hsi, hr_msi)
    whole_base, whole_msi = pair_to_measure(frame, "exact", 8)
    base, msi = pair_to_measure(frame, "sampled", 8)
    assert base.shape == (5, 16, 16)
    corners = np.s_[:, [0, 1, -2, -1]]
    # The frame's corners are in it, base and MSI alike.
    np.testing.assert_allclose(base[corners][:, :, [0, -1]], whole_base[corners][:, :, [0, -1]], atol=1e-6)
    np.testing.assert_array_equal(msi[corners][:, :, [0, -1]], whole_msi[corners][:, :, [0, -1]])
    assert set(msi[0].ravel()) <= set(whole_msi[0].ravel())


def test_a_sample_is_at_most_a_quarter_of_the_frame(rng):
    base, msi = pair_to_measure(prepared(*frame_pair(rng, (5, 7))), "sampled", 64)
    assert base.shape[1:] == msi.shape[1:] == (6, 8)
