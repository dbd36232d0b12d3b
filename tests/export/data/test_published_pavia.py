from __future__ import annotations

import numpy as np
import pytest

from export.data.published import find_protocol, published_scenes, wavelengths_nm
from export.data.published.cutting import tile_windows
from export.data.published.protocols import Tiles
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_mat

CENTRE, UNIVERSITY = ramp(11, 8, 102), ramp(9, 7, 103)


@pytest.fixture
def published(tmp_path):
    write_mat(tmp_path / "pavia_centre" / "Pavia.mat", pavia=CENTRE)
    write_mat(tmp_path / "pavia_centre" / "Pavia_gt.mat", pavia_gt=np.zeros((11, 8), np.uint8))
    # Named in either case by those who copy it.
    write_mat(tmp_path / "pavia_university" / "paviaU.mat", paviaU=UNIVERSITY)
    write_mat(tmp_path / "pavia_university" / "PaviaU_gt.mat", paviaU_gt=np.zeros((9, 7), np.uint8))
    return tmp_path


def test_gelin_trains_on_nine_tiles_of_the_centre(published):
    tiles = Tiles(rows=3, cols=2, down=3, across=3, test_share=0)
    scenes = miniature_scenes(published, "pavia_centre", "gelin", "train", tiles=tiles)
    assert len(scenes) == 9
    np.testing.assert_allclose(scenes[4].cube, CENTRE[3:6, 2:4] / CENTRE.max(), rtol=1e-6)


def test_gelin_tests_on_six_tiles_of_the_university_with_the_bands_of_the_centre(published):
    tiles = Tiles(rows=3, cols=3, down=3, across=2, test_share=1)
    scenes = miniature_scenes(published, "pavia_university", "gelin", "test", tiles=tiles)
    assert len(scenes) == 6
    np.testing.assert_allclose(scenes[5].cube, UNIVERSITY[6:9, 3:6, :102] / UNIVERSITY.max(), rtol=1e-6)
    np.testing.assert_array_equal(wavelengths_nm("pavia_university")[:102], wavelengths_nm("pavia_centre"))


def test_the_tiles_of_the_paper_fit_the_true_images():
    centre = tile_windows((1096, 715), find_protocol("pavia_centre", "gelin").tiles, "train")
    university = tile_windows((610, 340), find_protocol("pavia_university", "gelin").tiles, "test")
    assert (len(centre), len(university)) == (9, 6)
    assert {(rows.stop - rows.start, cols.stop - cols.start) for rows, cols in centre} == {(360, 224)}
    assert {(rows.stop - rows.start, cols.stop - cols.start) for rows, cols in university} == {(200, 160)}


def test_one_image_in_the_other_s_place_is_refused(tmp_path):
    write_mat(tmp_path / "pavia_centre" / "Pavia.mat", pavia=UNIVERSITY)
    with pytest.raises(InputError, match=r"= \(9, 7, 103\); wanted 102 bands"):
        next(published_scenes(tmp_path, "pavia_centre", "gelin", "train"))
