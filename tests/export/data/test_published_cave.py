from __future__ import annotations

import shutil

import numpy as np
import pytest

from export.data.published import published_scenes
from export.data.published.catalogue import DATASETS
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_mat, write_png_bands

SCENES = DATASETS["cave"].scenes
ROWS, COLS = 3, 4


def cube_of(scene):
    if scene == "watercolors":
        return ramp(ROWS, COLS, 31) % 256
    return ramp(ROWS, COLS, 31, start=1000 * SCENES.index(scene))


def write_scene(home, scene):
    """As the publisher's archives unpack: a folder in a folder of the same name, a preview, and what Windows left."""
    folder = home / f"{scene}_ms" / f"{scene}_ms"
    write_png_bands(folder, f"{scene}_ms", cube_of(scene))
    (folder / f"{scene}_RGB.bmp").write_bytes(b"BM")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    for scene in SCENES:
        if scene != "watercolors":
            write_scene(root / "cave", scene)
    # This one lies one level higher, and its bands are 8-bit RGBA with three equal colours.
    grey = cube_of("watercolors").astype(np.uint8)
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=3)
    write_png_bands(root / "cave" / "watercolors_ms", "watercolors_ms", rgba)
    return root


@pytest.mark.parametrize(("paper", "train", "test"), [("ssrnet", 26, 6), ("gelin", 22, 10), ("pzres", 20, 12)])
def test_each_paper_has_its_number_of_scenes(complete, paper, train, test):
    parts = [miniature_scenes(complete, "cave", paper, split, crop=None) for split in ("train", "test")]
    names = [{scene.name for scene in part} for part in parts]
    assert [len(part) for part in parts] == [train, test]
    assert names[0] | names[1] == set(SCENES)


def test_bands_pixels_and_scaling_are_those_of_the_files(complete):
    for split in ("train", "test"):
        for scene in published_scenes(complete, "cave", "gelin", split):
            full_scale = 255 if scene.name == "watercolors" else 65535
            assert scene.cube.dtype == np.float32
            np.testing.assert_allclose(scene.cube, cube_of(scene.name) / full_scale, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
@pytest.mark.parametrize("variable", ["truth", "msi"])
def test_copies_as_matlab_files_read_the_same(tmp_path, complete, dtype, variable):
    for scene in SCENES:
        # In floating point a copy holds 0 to 1 or the 16-bit numbers.
        raw = cube_of(scene).astype(dtype) / (65535 if dtype == "float64" and scene != "face" else 1)
        write_mat(tmp_path / "cave" / f"{scene}_ms.mat", **{variable: raw.astype(dtype)})
    # The camera's response lies beside them in the copy of PZRes-Net.
    write_mat(tmp_path / "cave" / "response coefficient.mat", iniA=np.ones((3, 31)))
    expected = {scene.name: scene.cube for scene in published_scenes(complete, "cave", "pzres", "test")}
    found = {scene.name: scene.cube for scene in published_scenes(tmp_path, "cave", "pzres", "test")}
    assert found.keys() == expected.keys()
    for name in found.keys() - {"watercolors"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_a_missing_scene_is_named(tmp_path, complete):
    shutil.copytree(complete, tmp_path, dirs_exist_ok=True)
    for scene in ("beads", "clay"):
        shutil.rmtree(tmp_path / "cave" / f"{scene}_ms")
    with pytest.raises(InputError, match=r"lacks beads, clay, as <scene>_ms.*; get it from Columbia University"):
        published_scenes(tmp_path, "cave", "ssrnet", "train")


def test_a_missing_band_is_named(tmp_path, complete):
    shutil.copytree(complete, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("*_17.png"):
        file.unlink()
    with pytest.raises(InputError, match="_ms holds bands up to 31, but band 17 is missing"):
        next(published_scenes(tmp_path, "cave", "ssrnet", "train"))


def test_a_stack_that_ends_early_is_refused(tmp_path, complete):
    shutil.copytree(complete, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("*_31.png"):
        file.unlink()
    with pytest.raises(InputError, match=r"_ms holds \(rows, cols, bands\) = \(3, 4, 30\); wanted 31 bands"):
        next(published_scenes(tmp_path, "cave", "ssrnet", "train"))


def test_a_scene_that_is_there_twice_is_refused(tmp_path, complete):
    shutil.copytree(complete, tmp_path, dirs_exist_ok=True)
    write_scene(tmp_path / "cave" / "complete_ms_data", "beads")
    with pytest.raises(InputError, match=r"holds beads twice: .* and .*; keep one of them"):
        published_scenes(tmp_path, "cave", "ssrnet", "train")
