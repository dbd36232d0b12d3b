from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hsi_edge.errors import InputError
from hsi_edge.io.png_stack import read_png_stack

SCENE = np.random.default_rng(7).integers(0, 65536, (6, 5, 12), np.uint16)


@pytest.fixture
def folder(tmp_path):
    return write_stack(tmp_path / "scene", SCENE)


def write_stack(folder: Path, cube: np.ndarray, first: int = 1) -> Path:
    folder.mkdir()
    for index in range(cube.shape[2]):
        cv2.imwrite(str(folder / f"scene_{first + index}.png"), cube[:, :, index])
    return folder


def test_bands_are_ordered_by_number_and_not_by_spelling(folder):
    cube = read_png_stack(folder)
    assert np.array_equal(cube.data, SCENE)
    assert cube.data.dtype == np.uint16
    assert cube.wavelengths_nm is None


def test_counting_may_start_at_zero(tmp_path):
    assert np.array_equal(read_png_stack(write_stack(tmp_path / "a", SCENE, first=0)).data, SCENE)


def test_the_cave_layout_has_its_wavelengths(tmp_path):
    cube = read_png_stack(write_stack(tmp_path / "balloons_ms", np.zeros((2, 2, 31), np.uint16)))
    assert cube.wavelengths_nm.tolist() == list(range(400, 701, 10))
    assert read_png_stack(write_stack(tmp_path / "other", np.zeros((2, 2, 31), np.uint16))).wavelengths_nm is None


def test_other_files_in_the_folder_are_left_alone(folder):
    (folder / "scene_RGB.bmp").write_bytes(b"BM")
    (folder / "Thumbs.db").write_bytes(b"")
    assert read_png_stack(folder).n_bands == 12


def test_grey_bands_stored_as_rgba_are_read_as_grey(tmp_path):
    (tmp_path / "watercolors_ms").mkdir()
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    cv2.imwrite(str(tmp_path / "watercolors_ms" / "watercolors_ms_01.png"), rgba)
    assert np.array_equal(read_png_stack(tmp_path / "watercolors_ms").data[:, :, 0], grey)


def test_a_missing_band_is_named(folder):
    (folder / "scene_7.png").unlink()
    with pytest.raises(InputError, match="bands up to 12, but band 7 is missing"):
        read_png_stack(folder)


def test_a_missing_first_band_is_named(folder):
    (folder / "scene_1.png").unlink()
    with pytest.raises(InputError, match="band 1 is missing"):
        read_png_stack(folder)


def test_a_band_that_is_there_twice_is_named(folder):
    (folder / "scene_03.png").write_bytes((folder / "scene_3.png").read_bytes())
    with pytest.raises(InputError, match=r"band 3 twice: scene_03\.png and scene_3\.png"):
        read_png_stack(folder)


@pytest.mark.parametrize("odd", [np.zeros((6, 4), np.uint16), np.zeros((6, 5), np.uint8)])
def test_a_band_unlike_the_others_is_named(folder, odd):
    cv2.imwrite(str(folder / "scene_9.png"), odd)
    with pytest.raises(InputError, match=r"scene_9\.png is 6 x \d of uint.*scene_1\.png, is 6 x 5 of uint16"):
        read_png_stack(folder)


def test_a_picture_in_colour_is_no_band(folder):
    colour = np.random.default_rng(1).integers(0, 256, (6, 5, 3), np.uint8)
    cv2.imwrite(str(folder / "scene_2.png"), colour)
    with pytest.raises(InputError, match=r"scene_2\.png: it is in colour"):
        read_png_stack(folder)


def test_a_png_without_a_number_is_named(folder):
    (folder / "scene_1.png").rename(folder / "preview.png")
    with pytest.raises(InputError, match=r"preview\.png does not end in the number of its band"):
        read_png_stack(folder)


def test_a_damaged_band_is_named(folder):
    content = (folder / "scene_4.png").read_bytes()
    (folder / "scene_4.png").write_bytes(content[:-20])
    with pytest.raises(InputError, match=r"cannot read .*scene_4\.png: the PNG file is cut short"):
        read_png_stack(folder)


def test_a_folder_without_bands_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no PNG"):
        read_png_stack(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*nowhere"):
        read_png_stack(tmp_path / "nowhere")


def test_a_real_cave_scene_comes_back_from_its_own_layout(tmp_path, shared_data):
    with np.load(shared_data / "train" / "cave_balloons_256_31b.npz", allow_pickle=False) as archive:
        scene, wavelengths = archive["cube"], archive["wavelength_nm"]
    cube = read_png_stack(write_stack(tmp_path / "balloons_ms", scene))
    assert np.array_equal(cube.data, scene)
    assert np.array_equal(cube.wavelengths_nm, wavelengths)
