from __future__ import annotations

import numpy as np
import pytest

from export.data.published import published_scenes
from export.data.published.protocols import Crop
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_mat


def cube_of(index, bands=33):
    return ramp(6 + index % 2, 7, bands, "float64", start=1 + index) / 9000


def write_2015(root, count=30):
    for index in range(count):
        write_mat(root / "foster" / f"Scene_{index:02}.mat", hsi=cube_of(index))


def write_2004(root, bands):
    """A folder per scene, with two spectra and a picture beside the reflectances."""
    for index, count in enumerate(bands):
        folder = root / "foster" / f"scene{index + 1}"
        write_mat(folder / f"ref_place{index}bb_reg1.mat", reflectances=cube_of(index, count))
        write_mat(folder / f"radiance_by_reflectance_place{index}.mat", radiance=np.ones((33, 2)))
        write_mat(folder / "ref_n7.mat", ref_n7=np.ones((33, 2)))
        (folder / f"place{index}bb_reg1_2bright.bmp").write_bytes(b"BM")


def test_the_scenes_of_2015_split_into_24_and_6(tmp_path):
    write_2015(tmp_path)
    crop = Crop(place="top_left", rows=4, cols=5, splits=("test",))
    train, test = (miniature_scenes(tmp_path, "foster", "ssrnet", split, crop=crop) for split in ("train", "test"))
    assert (len(train), len(test)) == (24, 6)
    for scene in test:
        whole = cube_of(int(scene.name[-2:]))
        np.testing.assert_allclose(scene.cube, (whole / whole.max())[:4, :5], rtol=1e-6)


def test_of_the_scenes_of_2004_the_reflectances_are_read(tmp_path):
    write_2004(tmp_path, bands=[33] * 8)
    scenes = list(published_scenes(tmp_path, "foster", "ssrnet", "train"))
    assert len(scenes) == 6
    for scene in scenes:
        index = int(scene.name.removeprefix("ref_place")[0])
        np.testing.assert_allclose(scene.cube, cube_of(index) / cube_of(index).max(), rtol=1e-6)


def test_the_scenes_of_2002_have_31_bands(tmp_path):
    write_2004(tmp_path, bands=[31] * 8)
    assert {scene.cube.shape[2] for scene in published_scenes(tmp_path, "foster", "ssrnet", "train")} == {31}


def test_scenes_with_different_bands_are_not_mixed(tmp_path):
    write_2004(tmp_path, bands=[33] + [32] * 7)
    with pytest.raises(InputError, match=r"\(rows, cols, bands\) = \(\d, 7, 3[23]\); wanted 3[32] bands"):
        miniature_scenes(tmp_path, "foster", "ssrnet", "train")
    write_2004(tmp_path, bands=[30] * 8)
    with pytest.raises(InputError, match="wanted 31 or 32 or 33 bands"):
        next(published_scenes(tmp_path, "foster", "ssrnet", "train"))
