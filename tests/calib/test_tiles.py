from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calib.runner import Runner, openvino
from calib.tiles import HELD_OUT_PX, choose, frames_to_judge
from hsi_edge import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.manifest import Graph, Statistics
from hsi_edge.scenes import read_scenes
from tests.calib.chain import RATIO, manifest, write_scene, write_scenes
from tests.tiny_bundles import BANDS, fusion_manifest, subspace_manifest, write_tiny_bundle


def chosen(folder, **changes):
    model = manifest(**changes)
    return choose(model, read_scenes(folder, model), measure=no_statistics)


def no_statistics(_):
    raise AssertionError("a network without statistics has none to measure")


def test_the_same_scenes_give_the_same_tiles_and_fingerprint(tmp_path):
    one, other = (chosen(write_scenes(tmp_path / name)) for name in ("one", "other"))
    assert one.sha256 == other.sha256
    for a, b in zip(one.calibration, other.calibration, strict=True):
        assert a.scene == b.scene
        np.testing.assert_array_equal(a.images["base"], b.images["base"])


def test_the_fingerprint_changes_with_one_number_of_a_scene(tmp_path):
    one = chosen(write_scenes(tmp_path / "one"))
    folder = write_scenes(tmp_path / "other")
    array = np.load(folder / "scene-0" / "lr_hsi.npy")
    array[3, 3, 3] += 1e-3
    np.save(folder / "scene-0" / "lr_hsi.npy", array)
    assert chosen(folder).sha256 != one.sha256


def test_no_ground_is_both_calibrated_with_and_judged_on(tmp_path, rng):
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        write_scene(tmp_path / f"{name}-clean", seed=seed)
        noisy = rng.random((16, 16, BANDS))
        write_scene(tmp_path / f"{name}-noisy", seed=seed, lr_hsi=noisy)
    found = chosen(tmp_path)
    assert {tile.scene for tile in found.calibration} == {"a-clean", "a-noisy", "b-clean", "b-noisy"}
    assert {frame.scene for frame in found.held_out} == {"c-clean", "c-noisy"}


def test_a_single_scene_is_cut_into_parts_that_share_no_pixel(tmp_path):
    rows = 48
    ramp = np.broadcast_to(np.arange(rows, dtype=np.float32)[:, None, None] + 1, (rows, 16, BANDS))
    truth = ramp.repeat(RATIO, axis=0).repeat(RATIO, axis=1)
    write_scene(tmp_path / "only", lr_shape=(rows, 16), lr_hsi=ramp, hr_msi=truth[:, :, :3], hr_hsi=truth)
    found = chosen(tmp_path)
    used = max(float(tile.frame.guide.source.max()) for tile in found.calibration)
    judged = min(float(np.nanmin(frame.truth) * frame.frame.scale) for frame in found.held_out)
    assert used < judged


def test_tiles_are_spread_over_all_scenes(tmp_path):
    found = chosen(write_scenes(tmp_path, 6, lr_shape=(40, 40)))
    counts = [sum(tile.scene == f"scene-{n}" for tile in found.calibration) for n in range(4)]
    assert min(counts) >= 4
    assert len(found.calibration) <= 36


def test_one_tile_is_refused_with_the_number_that_is_needed(tmp_path):
    write_scenes(tmp_path, 2, lr_shape=(8, 8))
    with pytest.raises(InputError, match=r"1 tile\(s\) to calibrate with.*at least 2 are needed: add scenes"):
        chosen(tmp_path)


def test_a_single_small_scene_is_refused_with_a_way_out(tmp_path):
    write_scene(tmp_path / "dot", lr_shape=(3, 3))
    with pytest.raises(InputError, match="one scene alone, dot, of 3 x 3 LR pixels: too small"):
        chosen(tmp_path)


def test_a_scene_of_other_bands_is_named_with_what_was_wanted(tmp_path, rng):
    write_scenes(tmp_path)
    write_scene(tmp_path / "other", lr_hsi=rng.random((16, 16, BANDS + 2)), hr_hsi=None)
    with pytest.raises(InputError, match=f"the scene other: .*{BANDS + 2}.*{BANDS}"):
        chosen(tmp_path)


def test_a_truth_of_another_size_is_named(tmp_path, rng):
    write_scenes(tmp_path)
    write_scene(tmp_path / "other", hr_hsi=rng.random((16, 16, BANDS)))
    with pytest.raises(InputError, match="the scene other: hr_hsi is"):
        chosen(tmp_path)


def test_a_scene_with_nan_in_every_tile_is_named(tmp_path, rng):
    write_scenes(tmp_path)
    holes = rng.random((16, 16, BANDS), np.float32)
    holes[::4, ::4] = np.nan
    write_scene(tmp_path / "a-holes", lr_hsi=holes, hr_hsi=None)
    with pytest.raises(InputError, match="the scene a-holes holds NaN, infinite or masked pixels in every tile"):
        chosen(tmp_path)


def test_tiles_with_nan_are_left_out_where_others_are_whole(tmp_path):
    write_scenes(tmp_path)
    lr_hsi = np.load(tmp_path / "scene-0" / "lr_hsi.npy")
    lr_hsi[0, 0] = np.nan
    np.save(tmp_path / "scene-0" / "lr_hsi.npy", lr_hsi)
    tiles = [tile for tile in chosen(tmp_path).calibration if tile.scene == "scene-0"]
    assert 0 < len(tiles) < 4
    assert all(np.isfinite(image).all() for tile in tiles for image in tile.images.values())


def test_a_large_frame_is_judged_in_its_middle(tmp_path):
    write_scene(tmp_path / "large", lr_shape=(160, 40))
    model = manifest()
    (frame,) = frames_to_judge(model, read_scenes(tmp_path, model))
    assert frame.truth is not None
    assert frame.truth.shape == (HELD_OUT_PX, 80, BANDS)


def test_a_network_that_runs_whole_frames_is_judged_on_whole_frames(tmp_path):
    base = fusion_manifest(RATIO)
    whole = Statistics(modes=("whole",), default="whole", size=base.statistics.size)
    model = replace(
        base,
        statistics=whole,
        graphs={"fp32": Graph(whole="fp32.onnx")},
        tiling=replace(base.tiling, max_tile_lr=8),
    )
    write_scenes(tmp_path)
    assert [len(frame.tiles) for frame in frames_to_judge(model, read_scenes(tmp_path, model))] == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["statistics", "subspace"])
def test_what_is_judged_is_what_the_engine_gives(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    model = fusion_manifest(RATIO) if kind == "statistics" else subspace_manifest(RATIO)
    model = replace(model, tiling=replace(model.tiling, max_tile_lr=8))
    bundle = write_tiny_bundle(tmp_path / "bundle", model)
    write_scene(tmp_path / "scenes" / "one")
    (scene,) = read_scenes(tmp_path / "scenes", model)
    (held,) = frames_to_judge(model, [scene])
    names = model.graphs["fp32"]
    graphs = {"whole": bundle.read_bytes(names.whole)}
    if names.given:
        graphs["given"] = bundle.read_bytes(names.given)
    fused = Runner(model, graphs, openvino).fuse(held)
    assert fused is not None
    assert len(held.tiles) > 1
    with HSIEngine(tmp_path / "bundle", precision="fp32") as engine:
        wanted = engine.run(scene.lr_hsi, scene.hr_msi).data
    np.testing.assert_allclose(fused * held.frame.scale, wanted, atol=2e-5)
