from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.data.degradation import Degradation
from export.data.responses import measured_cameras, nikon_d700
from export.data.scenes import Scene, load_scenes, vis31_nm
from export.data.training import Augmentation, PairSource, ScenePatches, dead_leaves, network_inputs
from hsi_edge.errors import InputError
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Input
from hsi_edge.preparation import prepare_frame
from hsi_edge.tiling.geometry import Region
from tests.tiny_bundles import fusion_manifest

RATIO, SIDE, BANDS = 4, 32, 5
CAMERAS = [np.eye(3, BANDS), np.fliplr(np.eye(3, BANDS))]
HARD = Augmentation(zoom=(0.6, 2.0), blend=0.5, leaves=0.5, spectral_gain=0.3, reverse_bands=0.5, level=(0.5, 1.0))


@pytest.fixture
def source(rng):
    scenes = [
        Scene(name, rng.random((*shape, BANDS), np.float32)) for name, shape in (("a", (50, 70)), ("b", (20, 40)))
    ]
    return PairSource(
        scenes=scenes,
        responses=CAMERAS,
        ratio=RATIO,
        side=SIDE,
        degradation=Degradation(lr_noise=(0.0, 0.01), misregistration_lr=0.1, msi_bits=8),
        augmentation=HARD,
    )


def test_each_pair_has_the_wanted_size_and_range(source, rng):
    for _ in range(20):
        pair = source.draw(rng)
        assert pair.truth.shape == (BANDS, SIDE, SIDE)
        assert pair.hr_msi.shape == (3, SIDE, SIDE)
        assert pair.lr_hsi.shape == (BANDS, SIDE // RATIO, SIDE // RATIO)
        assert 0 <= pair.truth.min() <= pair.truth.max() <= 1
        assert all(np.isfinite(image).all() for image in (pair.lr_hsi, pair.hr_msi, pair.truth))


def test_a_plain_source_cuts_pixels_out_of_its_scenes(source, rng):
    plain = replace(source, scenes=source.scenes[:1], augmentation=Augmentation(), degradation=Degradation())
    values = source.scenes[0].cube
    for _ in range(5):
        truth = plain.draw(rng).truth
        # Levelled to a largest value of 1; turned and mirrored, but each spectrum is one of the scene.
        spectrum = truth[:, 3, 4] / truth[:, 3, 4].sum()
        spectra = values.reshape(-1, BANDS)
        assert np.abs(spectra / spectra.sum(axis=1, keepdims=True) - spectrum).max(axis=1).min() < 1e-5


def test_reversed_bands_are_the_bands_reversed(source):
    plain = replace(source, augmentation=Augmentation())
    turned = replace(source, augmentation=Augmentation(reverse_bands=1.0))
    one, other = (s.draw(np.random.default_rng(5)).truth for s in (plain, turned))
    np.testing.assert_allclose(other, one[::-1], atol=1e-6)


def test_dead_leaves_are_painted_with_the_given_spectra(rng):
    spectra = np.eye(3, BANDS, dtype=np.float32)
    image = dead_leaves(spectra, 48, rng)
    assert image.shape == (BANDS, 48, 48)
    assert image.min() >= 0
    # Each pixel has the direction of one spectrum, and there are edges.
    assert ((image > 0).sum(axis=0) <= 1).all()
    assert len(set(image.argmax(axis=0).ravel())) > 1


def patches(source, images=("lr_hsi", "hr_msi"), base=None):
    return ScenePatches(pairs=source, images=images, base=base, patch=16)


def test_a_patch_is_cut_from_the_same_place_of_every_image(source, rng):
    plain = replace(
        source, augmentation=Augmentation(), degradation=Degradation(blur="decimate"), responses=CAMERAS[:1]
    )
    for _ in range(10):
        seen = patches(plain).sample(0, rng)
        assert list(seen) == ["lr_hsi", "hr_msi", "truth"]
        lr_hsi, hr_msi, truth = seen.values()
        assert truth.shape == (BANDS, 16, 16)
        np.testing.assert_allclose(lr_hsi, truth[:, RATIO // 2 :: RATIO, RATIO // 2 :: RATIO], atol=1e-6)
        # The camera sees the first three bands as they are; only the scales of the two sensors differ.
        np.testing.assert_allclose(hr_msi / hr_msi.max(), truth[:3] / truth[:3].max(), atol=1e-6)


def test_a_patch_of_the_base_image_is_the_base_image_of_the_frame(source):
    whole = replace(patches(source, ("base", "hr_msi"), "bicubic"), patch=SIDE)
    part = replace(whole, patch=16)
    frame, patch = (p.sample(0, np.random.default_rng(4)) for p in (whole, part))
    windows = [
        (top, left)
        for top in range(0, 17, RATIO)
        for left in range(0, 17, RATIO)
        if all(np.array_equal(frame[k][:, top : top + 16, left : left + 16], patch[k]) for k in patch)
    ]
    assert len(windows) == 1


@pytest.mark.parametrize("base", ["bilinear", "regression"])
def test_the_network_is_trained_on_what_the_runtime_shows_it(source, rng, base):
    pair = source.draw(rng)
    manifest = fusion_manifest(
        RATIO, base=base, input=Input(quantities=("dn",), lr_scaling="frame_peak", msi_scaling="frame_peak")
    )
    lr_hsi, hr_msi = (np.moveaxis(image, 0, 2) for image in (pair.lr_hsi, pair.hr_msi))
    frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))
    shown = frame.window(Region(0, SIDE // RATIO, 0, SIDE // RATIO)).images
    trained = network_inputs(pair, RATIO, ("base", "hr_msi"), base)
    for name, image in shown.items():
        np.testing.assert_allclose(image, trained[name], atol=1e-5)
    np.testing.assert_allclose(trained["truth"] * frame.scale, pair.truth, atol=1e-6)


def test_the_spectral_frame_alone_is_scaled_as_with_a_photo(source, rng):
    pair = source.draw(rng)
    alone = network_inputs(pair, RATIO, ("lr_hsi",), None)
    both = network_inputs(pair, RATIO, ("lr_hsi", "hr_msi"), None)
    assert list(alone) == ["lr_hsi", "truth"]
    for name, image in alone.items():
        np.testing.assert_array_equal(image, both[name])


# -- research data -----------------------------------------------------------------------------------------------------


def test_scenes_lie_on_the_grid_of_31_bands_with_their_largest_value_near_one(shared_data):
    grid = vis31_nm()
    assert (grid[0], grid[-1], len(grid)) == (400, 700, 31)
    for scene in load_scenes(shared_data, "test"):
        assert scene.cube.shape[2] == 31
        assert scene.cube.dtype == np.float32
        assert scene.cube.min() >= 0
        assert 0.1 < scene.cube.max() <= 1


def test_no_pixel_is_in_two_splits(shared_data):
    blocks = {}
    for split in ("train", "validation", "test"):
        scenes = load_scenes(shared_data, split)
        assert scenes
        blocks[split] = {row.tobytes() for scene in scenes for row in scene.cube.reshape(-1, 31) if row.any()}
    assert not blocks["test"] & (blocks["train"] | blocks["validation"])
    assert not blocks["train"] & blocks["validation"]


def test_cameras_are_normalised_with_red_first(shared_data):
    cameras = [nikon_d700(shared_data), *measured_cameras(shared_data)]
    assert len(cameras) > 10
    for camera in cameras:
        assert camera.shape == (3, 31)
        assert camera.min() >= 0
        np.testing.assert_allclose(camera.sum(axis=1), 1)
        red, green, blue = camera.argmax(axis=1)
        assert red > green > blue


def test_a_missing_scene_is_named_with_its_place(tmp_path):
    with pytest.raises(InputError, match=r"abu-airport-3\.npz is missing: the research scenes belong into"):
        load_scenes(tmp_path, "test")
