from __future__ import annotations

import struct
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_edge.errors import InputError, MissingPackageError
from hsi_edge.io.image import read_image

RNG = np.random.default_rng(5)
PHOTO = RNG.integers(0, 256, (12, 9, 3), np.uint8)


def save(path, rgb):
    cv2.imwrite(str(path), rgb[:, :, [2, 1, 0, 3][: rgb.shape[2]]] if rgb.ndim == 3 else rgb)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_is_read_as_red_green_blue_with_its_bit_depth(tmp_path, dtype):
    rgb = RNG.integers(0, np.iinfo(dtype).max, (12, 9, 3), dtype)
    cube = read_image(save(tmp_path / "a.png", rgb))
    assert cube.data.dtype == dtype
    assert np.array_equal(cube.data, rgb)
    assert cube.band_names == ("red", "green", "blue")
    assert cube.mask is None


def test_a_red_jpeg_is_red(tmp_path):
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 200
    pixel = read_image(save(tmp_path / "a.jpg", red)).data[8, 8]
    assert pixel[0] > 180
    assert pixel[1:].max() < 20


def test_a_grey_image_has_one_band(tmp_path):
    grey = RNG.integers(0, 65536, (6, 7), np.uint16)
    cube = read_image(save(tmp_path / "a.png", grey))
    assert np.array_equal(cube.data[:, :, 0], grey)
    assert cube.n_bands == 1


def test_only_full_transparency_masks_a_pixel(tmp_path):
    rgba = RNG.integers(0, 256, (6, 7, 4), np.uint8)
    rgba[:, :, 3] = 255
    assert read_image(save(tmp_path / "opaque.png", rgba)).mask is None
    rgba[2, 3, 3], rgba[4, 4, 3] = 0, 1
    cube = read_image(save(tmp_path / "a.png", rgba))
    assert cube.n_bands == 3
    assert np.argwhere(~cube.mask).tolist() == [[2, 3]]


def test_a_note_to_turn_the_picture_is_not_followed(tmp_path):
    path = save(tmp_path / "a.jpg", PHOTO)
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)  # orientation 6: turn by 90 degrees
    exif = b"Exif\0\0" + tiff
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert cv2.imread(str(path)).shape == (9, 12, 3)
    assert read_image(path).data.shape == (12, 9, 3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_truncated_png_is_refused(tmp_path_factory, data):
    path = save(tmp_path_factory.mktemp("png") / "cut.png", PHOTO)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(InputError, match=r"cannot read .*cut\.png: .*(cut short|neither)"):
        read_image(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_png_with_a_changed_byte_is_refused(tmp_path_factory, data):
    path = save(tmp_path_factory.mktemp("png") / "hurt.png", PHOTO)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*hurt\.png: ."):
        read_image(path)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_refused(tmp_path, kept):
    path = save(tmp_path / "cut.jpg", RNG.integers(0, 256, (80, 90, 3), np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"cannot read .*cut\.jpg: the JPEG file is cut short"):
        read_image(path)


def test_another_format_under_the_ending_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="neither a PNG nor a JPEG"):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"cannot read .*missing\.png"):
        read_image(tmp_path / "missing.png")


def test_opencv_missing_names_the_extra(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", PHOTO)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingPackageError, match=r"hsi-edge\[opencv\]"):
        read_image(path)
