from __future__ import annotations

import numpy as np
import pytest

from export.data.published import published_scenes
from hsi_edge.errors import InputError
from tests.export.data.miniature import ramp, write_mat


def cube_of(index):
    # Sizes differ from scene to scene.
    return ramp(4 + index % 3, 5, 31, "float64", start=1 + index)


def write_scenes(root, folder, indices):
    for index in indices:
        file = root / "nus" / folder / f"Scene{index:02}.mat"
        write_mat(file, tensor=cube_of(index), illumination=np.ones((31, 1)))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    write_scenes(root, "training", range(41))
    write_scenes(root, "testing", range(41, 66))
    return root


def test_the_folders_are_the_split(published):
    train, test = (list(published_scenes(published, "nus", "msssf", split)) for split in ("train", "test"))
    assert [scene.name for scene in train] == [f"Scene{index:02}" for index in range(41)]
    assert [scene.name for scene in test] == [f"Scene{index:02}" for index in range(41, 66)]
    for index, scene in enumerate(train + test):
        np.testing.assert_allclose(scene.cube, cube_of(index) / cube_of(index).max(), rtol=1e-6)


def test_the_folders_may_lie_deeper(tmp_path):
    write_scenes(tmp_path, "training/mat_norm", range(41))
    write_scenes(tmp_path, "Testing/mat_norm", range(41, 66))
    assert next(published_scenes(tmp_path, "nus", "msssf", "test")).name == "Scene41"


def test_an_incomplete_folder_is_refused(tmp_path):
    write_scenes(tmp_path, "training", range(40))
    with pytest.raises(InputError, match=r"has 40 scenes in its folder train\*; wanted 41"):
        published_scenes(tmp_path, "nus", "msssf", "train")


def test_a_scene_in_two_forms_is_refused(tmp_path):
    write_scenes(tmp_path, "training/mat", range(41))
    write_scenes(tmp_path, "training/mat_norm", range(41))
    with pytest.raises(InputError, match="holds Scene00 twice"):
        published_scenes(tmp_path, "nus", "msssf", "train")
