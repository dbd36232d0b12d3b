from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.data.degradation import Degradation
from export.data.responses import measured_cameras, nikon_d700
from export.data.scenes import Scene, load_scenes, vis31_nm
from export.data.training import Augmentation, PairSource, PatchDataset, dead_leaves, network_inputs
from hsi_edge.errors import InputError
from hsi_edge.frame import prepare_frame
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Input
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


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another(source):
    def dataset(*seed):
        return PatchDataset(source, base="bilinear", patch=16, length=8, seed=seed)

    first, again, later = dataset(1, 0), dataset(1, 0), dataset(1, 1)
    assert len(first) == 8
    for index in (0, 3):
        for one, same, other in zip(first[index], again[index], later[index], strict=True):
            assert one.shape[1:] == (16, 16)
            np.testing.assert_array_equal(one, same)
            assert not np.array_equal(one, other)
    assert not np.array_equal(first[0][2], first[1][2])


@pytest.mark.parametrize("base", ["bilinear", "regression"])
def test_the_network_is_trained_on_what_the_runtime_shows_it(source, rng, base):
    pair = source.draw(rng)
    manifest = fusion_manifest(
        RATIO, base=base, input=Input(quantities=("dn",), lr_scaling="frame_peak", msi_scaling="frame_peak")
    )
    lr_hsi, hr_msi = (np.moveaxis(image, 0, 2) for image in (pair.lr_hsi, pair.hr_msi))
    frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))
    seen_base, seen_msi, _ = frame.window(Region(0, SIDE // RATIO, 0, SIDE // RATIO))
    trained_base, trained_msi, truth = network_inputs(pair, RATIO, base)
    np.testing.assert_allclose(seen_base, trained_base, atol=1e-5)
    np.testing.assert_allclose(seen_msi, trained_msi, atol=1e-5)
    np.testing.assert_allclose(truth * frame.scale, pair.truth, atol=1e-6)


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
