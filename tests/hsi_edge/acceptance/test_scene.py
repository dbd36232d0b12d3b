"""The frames of a check: which ones, and how they are brought to a wanted size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.acceptance.scene import GOLDEN, SYNTHETIC, Scene, resized, scenes_to_score, scenes_to_time, synthetic
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.inputs import check_inputs
from hsi_edge.io import write
from tests.tiny_bundles import (
    WAVELENGTHS_NM,
    frame_pair,
    fusion_manifest,
    lr_manifest,
    plain_manifest,
    regression_manifest,
    write_tiny_bundle,
)

SIDES = st.integers(1, 9)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_a_resized_frame_has_the_wanted_size_and_both_images_still_show_one_place(
    rows, cols, new_rows, new_cols, ratio
):
    lr = np.arange(rows * cols, dtype=np.float64).reshape(rows, cols, 1)
    msi = lr.repeat(ratio, axis=0).repeat(ratio, axis=1)
    made = resized(Scene(name="a", lr_hsi=lr, hr_msi=msi), (new_rows, new_cols), ratio)
    assert made.lr_shape == (new_rows, new_cols, 1)
    np.testing.assert_array_equal(made.hr_msi, made.lr_hsi.repeat(ratio, axis=0).repeat(ratio, axis=1))
    np.testing.assert_array_equal(made.lr_hsi[: min(rows, new_rows), : min(cols, new_cols)], lr[:new_rows, :new_cols])


def test_a_resized_cube_keeps_its_metadata_and_its_mask_and_loses_its_truth_and_place(rng):
    mask = rng.random((4, 5)) > 0.5
    cube = Cube(data=rng.random((4, 5, 2)), mask=mask, quantity="reflectance", scale_factor=10.0)
    made = resized(Scene(name="a", lr_hsi=cube, hr_msi=None, truth=np.ones((8, 10, 2))), (8, 5), 2)
    assert isinstance(made.lr_hsi, Cube)
    assert (made.lr_hsi.quantity, made.lr_hsi.scale_factor, made.truth) == ("reflectance", 10.0, None)
    np.testing.assert_array_equal(made.lr_hsi.mask[4:], mask[::-1])


def write_scene(folder, rng, *, truth=None, ratio=2, lr_shape=(6, 7)):
    folder.mkdir(parents=True)
    lr_hsi, hr_msi = frame_pair(rng, lr_shape, ratio)
    nm = np.array(WAVELENGTHS_NM)
    write(folder / "lr_hsi.hdr", Cube(data=lr_hsi, wavelengths_nm=nm, quantity="reflectance"))
    write(folder / "hr_msi.npy", Cube(data=hr_msi))
    if truth is not None:
        write(folder / "hr_hsi.hdr", Cube(data=rng.random(truth, np.float32), wavelengths_nm=nm))


def test_accuracy_is_judged_on_the_golden_pair_and_the_users_scenes(tmp_path, rng):
    bundle = write_tiny_bundle(tmp_path / "tiny", fusion_manifest())
    write_scene(tmp_path / "scenes" / "harbour", rng, truth=(12, 14, 5))
    write_scene(tmp_path / "scenes" / "field", rng)
    scenes = scenes_to_score(bundle, tmp_path / "scenes")
    assert [scene.name for scene in scenes] == [GOLDEN, "field", "harbour"]
    assert [scene.truth is not None for scene in scenes] == [False, False, True]
    assert type(scenes[1].lr_hsi.data) is np.ndarray  # not a window of a file: a camera hands out arrays


def test_latency_is_measured_on_the_users_scenes_as_they_are_unless_a_size_is_wanted(tmp_path, rng):
    bundle = write_tiny_bundle(tmp_path / "tiny", fusion_manifest())
    write_scene(tmp_path / "scenes" / "field", rng)
    scenes = scenes_to_score(bundle, tmp_path / "scenes")
    assert [scene.lr_shape for scene in scenes_to_time(scenes, bundle.manifest, None)] == [(6, 7, 5)]
    assert [scene.lr_shape for scene in scenes_to_time(scenes, bundle.manifest, (20, 9))] == [(20, 9, 5)]


def test_without_scenes_latency_is_measured_on_a_golden_pair_of_512_pixels_a_side(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny", fusion_manifest())
    (scene,) = scenes_to_time(scenes_to_score(bundle, None), bundle.manifest, None)
    assert (scene.name, scene.hr_msi.shape) == (GOLDEN, (512, 512, 3))


def test_a_model_without_a_golden_pair_gets_a_synthetic_frame(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny", regression_manifest())
    (scene,) = scenes_to_score(bundle, None)
    assert (scene.name, scene.lr_shape) == (SYNTHETIC, (64, 64, 31))


@pytest.mark.parametrize("manifest", [plain_manifest(), regression_manifest(), lr_manifest(("lr_hsi",))])
def test_a_synthetic_frame_fits_the_model(manifest):
    scene = synthetic(manifest, (9, 7))
    given_ = check_inputs(manifest, scene.lr_hsi, scene.hr_msi, resample=False)
    assert given_.lr_hsi.shape[:2] == (9, 7)
    assert 0 < scene.lr_hsi.min() < scene.lr_hsi.max() < 1


def test_a_truth_of_the_wrong_size_is_refused_with_the_wanted_one(tmp_path, rng):
    bundle = write_tiny_bundle(tmp_path / "tiny", fusion_manifest())
    write_scene(tmp_path / "scenes" / "field", rng, truth=(12, 12, 5))
    with pytest.raises(InputError, match=r"scene field is \(12, 12, 5\); at ratio 2 wanted \(12, 14, 5\)"):
        scenes_to_score(bundle, tmp_path / "scenes")
