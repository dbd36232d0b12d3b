from __future__ import annotations

import numpy as np
import pytest

import hsi_edge.guide
from hsi_edge.inputs import check_inputs
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import upsample
from hsi_edge.statistics import images_to_measure, sample_shape
from tests.tiny_bundles import frame_pair, fusion_manifest, lr_manifest


def prepared(lr_hsi, hr_msi, ratio=2, manifest=None):
    manifest = manifest or fusion_manifest(ratio)
    return prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))


def sample_of(frame, tile_lr):
    return sample_shape(tile_lr, frame.ratio, frame.alignment, frame.grid.shape)


def pair_to_measure(frame, mode, sample_lr):
    images = images_to_measure(frame, mode, sample_of(frame, sample_lr))
    return images["base"], images["hr_msi"]


def test_exact_measures_the_frame_itself(rng):
    lr_hsi, hr_msi = frame_pair(rng, (9, 6))
    base, msi = pair_to_measure(prepared(lr_hsi, hr_msi), "exact", 4)
    np.testing.assert_array_equal(base, upsample(np.moveaxis(lr_hsi, 2, 0), 2, "bilinear"))
    np.testing.assert_array_equal(msi, np.moveaxis(hr_msi, 2, 0))


@pytest.mark.parametrize("strip_bytes", [1, 1 << 20])
@pytest.mark.parametrize(("ratio", "rows", "cols"), [(2, 10, 6), (4, 20, 12)])
def test_reduced_measures_means_of_two_by_two_pixels(rng, monkeypatch, strip_bytes, ratio, rows, cols):
    monkeypatch.setattr(hsi_edge.guide, "STRIP_BYTES", strip_bytes)
    lr_hsi, hr_msi = frame_pair(rng, (9, 6), ratio)
    frame = prepared(lr_hsi, hr_msi, ratio)
    whole_base, whole_msi = pair_to_measure(frame, "exact", 4)
    base, msi = pair_to_measure(frame, "reduced", 4)
    assert base.shape == (5, rows, cols)
    np.testing.assert_allclose(base[:, 3, 4], whole_base[:, 6:8, 8:10].mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(msi[:, 3, 4], whole_msi[:, 6:8, 8:10].mean(axis=(1, 2)), rtol=1e-5)


def test_reduced_takes_an_odd_ratio(rng):
    base, msi = pair_to_measure(prepared(*frame_pair(rng, (3, 5), 3), 3), "reduced", 4)
    # Whole LR pixels of the reduced frame: the last row and column of 3 x 5 are repeated.
    assert base.shape[1:] == msi.shape[1:] == (6, 9)


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


@pytest.mark.parametrize("lr_shape", [(40, 31), (3, 50), (2, 2)])
@pytest.mark.parametrize("mode", ["exact", "reduced", "sampled"])
def test_lr_and_hr_images_to_measure_show_the_same_ground_on_even_grids(rng, mode, lr_shape):
    """The base of a flat ramp tells where each pixel comes from, up to half an HR pixel's width."""
    ratio = 2
    rows, cols = np.mgrid[: lr_shape[0], : lr_shape[1]].astype(np.float32)
    lr_hsi = np.stack([rows, cols, rows, cols, rows], axis=2)
    frame = prepared(lr_hsi, None, manifest=lr_manifest(("lr_hsi", "base"), ratio))
    images = images_to_measure(frame, mode, sample_of(frame, 20))
    _, height, width = images["lr_hsi"].shape
    assert height % 2 == width % 2 == 0
    assert images["base"].shape == (5, ratio * height, ratio * width)
    over_lr = images["base"].reshape(5, height, ratio, width, ratio).mean(axis=(2, 4))
    np.testing.assert_allclose(over_lr * frame.scale, images["lr_hsi"] * frame.scale, atol=0.3)
