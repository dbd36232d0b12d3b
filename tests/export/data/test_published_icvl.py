from __future__ import annotations

import numpy as np
import pytest

from export.data.published import published_scenes
from export.data.published.protocols import Crop
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_mat73

ROWS, COLS = 7, 5  # upright; 1392 and 1300 in truth
STORED = "float64"


def upright(index):
    return ramp(ROWS, COLS, 31, STORED, start=1 + index)


def write_scene(home, index, **changes):
    """As MATLAB's size() tells: turned clockwise, so that the columns of the scene are the rows of the file."""
    variables = {
        "rad": np.ascontiguousarray(np.rot90(upright(index), -1)),
        "bands": np.linspace(400, 700, 31),
        "rgb": np.zeros((COLS, ROWS, 3)),
    }
    return write_mat73(home / f"BGU_0403-{index:04}.mat", **(variables | changes))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    for index in range(110):
        write_scene(root / "icvl", index)
    return root


def test_scenes_stand_upright(published):
    for scene in published_scenes(published, "icvl", "gelin", "train"):
        expected = upright(int(scene.name[-4:])) / 4095
        np.testing.assert_allclose(scene.cube, expected, rtol=1e-6)


def test_each_paper_draws_its_number_of_scenes_from_those_that_are_there(published):
    for paper, sizes in (("gelin", (60, 15)), ("msssf", (71, 30))):
        parts = [miniature_scenes(published, "icvl", paper, split, crop=None) for split in ("train", "test")]
        assert tuple(len(part) for part in parts) == sizes
        assert len({scene.name for part in parts for scene in part}) == sum(sizes)


def test_gelin_tests_on_the_centre(published):
    crop = Crop(place="centre", rows=3, cols=3, splits=("test",))
    for scene in miniature_scenes(published, "icvl", "gelin", "test", crop=crop):
        expected = upright(int(scene.name[-4:]))[2:5, 1:4] / 4095
        np.testing.assert_allclose(scene.cube, expected, rtol=1e-6)


def test_msssf_divides_by_the_largest_value_of_each_scene(published):
    scene = next(published_scenes(published, "icvl", "msssf", "test"))
    assert scene.cube.max() == 1


def test_a_copy_with_other_axes_is_refused(tmp_path):
    for index in range(75):
        write_scene(tmp_path / "icvl", index, rad=np.zeros((31, ROWS, COLS)))
    with pytest.raises(InputError, match=r"\(rows, cols, bands\) = \(7, 31, 5\); wanted 31 bands"):
        next(published_scenes(tmp_path, "icvl", "gelin", "train"))
