from __future__ import annotations

import numpy as np
import pytest

from export.data.published import published_scenes, wavelengths_nm
from export.data.published.protocols import Crop
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_mat

DAYLIGHT, INDOOR = 50, 27


def cube_of(index):
    return ramp(5, 6, 31, "float64", start=1 + index) / 7000


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    for folder, count in (("CZ_hsdb", DAYLIGHT), ("CZ_hsdbi", INDOOR)):
        for index in range(count):
            file = root / "harvard" / folder / f"img{index:02}.mat"
            write_mat(file, ref=cube_of(index), lbl=np.ones((5, 6), np.uint8))
        (root / "harvard" / folder / "calib.txt").write_text("0.1 0.2")
    return root


def test_the_cube_is_ref_divided_by_its_largest_value(published):
    for scene in published_scenes(published, "harvard", "ssrnet", "train"):
        whole = cube_of(int(scene.name[-2:]))
        np.testing.assert_allclose(scene.cube, whole / whole.max(), rtol=1e-6)
    assert (wavelengths_nm("harvard")[0], wavelengths_nm("harvard")[-1]) == (420, 720)


def test_ssrnet_takes_daylight_and_artificial_light(published):
    train = [scene.name for scene in miniature_scenes(published, "harvard", "ssrnet", "train", crop=None)]
    test = [scene.name for scene in miniature_scenes(published, "harvard", "ssrnet", "test", crop=None)]
    assert (len(train), len(test)) == (62, 15)
    assert {name.split("/")[0] for name in train} == {"CZ_hsdb", "CZ_hsdbi"}


def test_pzres_takes_the_first_and_last_images_in_daylight(published):
    crop = Crop(place="top_left", rows=4, cols=4, splits=("train", "test"))
    train = miniature_scenes(published, "harvard", "pzres", "train", crop=crop)
    test = miniature_scenes(published, "harvard", "pzres", "test", crop=crop)
    assert [scene.name for scene in train] == [f"CZ_hsdb/img{index:02}" for index in range(30)]
    assert [scene.name for scene in test] == [f"CZ_hsdb/img{index:02}" for index in range(30, 50)]
    assert {scene.cube.shape for scene in train + test} == {(4, 4, 31)}


def test_msssf_draws_among_the_images_in_daylight(published):
    train, test = (list(published_scenes(published, "harvard", "msssf", split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (40, 10)
    assert len({scene.name for scene in train + test}) == 50


def test_a_file_without_ref_says_what_it_has(tmp_path):
    for index in range(5):
        write_mat(tmp_path / "harvard" / "CZ_hsdb" / f"img{index}.mat", cube=cube_of(0), lbl=np.ones((5, 6)))
    with pytest.raises(InputError, match=r"wanted one array ref with 3 axes; .* cube \(5, 6, 31\), lbl \(5, 6\)"):
        next(published_scenes(tmp_path, "harvard", "ssrnet", "train"))
