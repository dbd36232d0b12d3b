from __future__ import annotations

import numpy as np
import pytest

from export.data.published import find_protocol, published_scenes, wavelengths_nm
from export.data.published.cutting import tile_windows
from export.data.published.protocols import Tiles
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import write
from tests.export.data.miniature import miniature_scenes, ramp, write_mat73

NAME = "HyperspecVNIR_Chikusei_20140729"
WHOLE = ramp(11, 10, 128, "int16", start=-5)  # reflectance x 10000, a little below 0 here and there
TILES = Tiles(rows=2, cols=2, down=4, across=4, place="centre", test_share=0.25, validation=1)


@pytest.fixture(params=["mat", "envi"])
def published(request, tmp_path):
    home = tmp_path / "chikusei"
    if request.param == "mat":
        write_mat73(home / "Chikusei_MATLAB" / f"{NAME}.mat", chikusei=WHOLE)
        write_mat73(home / "Chikusei_MATLAB" / f"{NAME}_Ground_Truth.mat", GT=np.zeros((11, 10)))
    else:
        (home / "Chikusei_ENVI").mkdir(parents=True)
        write(home / "Chikusei_ENVI" / f"{NAME}.bsq", Cube(data=WHOLE))
        write(home / "Chikusei_ENVI" / f"{NAME}_Ground_Truth.bsq", Cube(data=WHOLE[:, :, :1].astype(np.uint8)))
    return tmp_path


def test_the_tiles_are_those_of_the_centre_divided_by_the_published_maximum(published):
    central = WHOLE[1:9, 1:9] / 15133
    found = np.zeros((8, 8, 128))
    scenes = {
        split: miniature_scenes(published, "chikusei", "gelin", split, tiles=TILES) for split in ("train", "test")
    }
    assert [scene.name for scene in scenes["test"]] == [f"chikusei-test-{index}" for index in range(3)]
    for index, scene in enumerate(scenes["train"] + scenes["test"]):
        row, col = 2 * (index // 4), 2 * (index % 4)
        found[row : row + 2, col : col + 2] = scene.cube
    found[6:, 6:] = miniature_scenes(published, "chikusei", "gelin", "validation", tiles=TILES)[0].cube
    np.testing.assert_allclose(found, central, rtol=1e-6)


def test_the_full_scene_has_12_3_and_1_tiles_of_512_around_its_centre():
    tiles = find_protocol("chikusei", "gelin").tiles
    windows = {split: tile_windows((2517, 2335), tiles, split) for split in ("train", "test", "validation")}
    assert {split: len(part) for split, part in windows.items()} == {"train": 12, "test": 3, "validation": 1}
    assert windows["train"][0] == (slice(234, 746), slice(143, 655))
    assert windows["validation"][0] == (slice(1770, 2282), slice(1679, 2191))


def test_bands_are_about_5_nm_apart():
    axis = wavelengths_nm("chikusei")
    np.testing.assert_allclose(axis[[0, 60, 127]], [362.59, 672.24, 1018.02], atol=0.01)


def test_a_cut_out_of_the_scene_is_too_small(published):
    with pytest.raises(InputError, match="it has 11 x 10 pixels; wanted at least 2048 x 2048; gelin on chikusei"):
        next(published_scenes(published, "chikusei", "gelin", "train"))


def test_another_variable_is_refused(tmp_path):
    write_mat73(tmp_path / "chikusei" / f"{NAME}.mat", img=WHOLE)
    with pytest.raises(InputError, match=r"wanted one array chikusei with 3 axes; .* img \(11, 10, 128\)"):
        next(published_scenes(tmp_path, "chikusei", "gelin", "train"))
