from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io import formats, read, write

CUBE = Cube(data=np.arange(24, dtype=np.uint16).reshape(2, 3, 4), wavelengths_nm=np.array([450.0, 550.0, 650.0, 750.0]))


@pytest.mark.parametrize("target", sorted({*formats.READERS.values(), *formats.WRITERS.values()}))
def test_every_format_of_the_table_is_there(target):
    module, _, function = target.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", ["a.img", "a.hdr", "A.RAW", "a.bil", "a.tif", "a.npy", "a.zarr"])
def test_what_is_written_is_read_back(tmp_path, name):
    assert write(tmp_path / name, CUBE) == tmp_path / name
    np.testing.assert_array_equal(read(str(tmp_path / name)).data[...], CUBE.data)


def test_a_file_without_an_ending_is_envi_if_a_header_lies_beside(tmp_path):
    write(tmp_path / "dark.img", CUBE)
    (tmp_path / "dark.img").rename(tmp_path / "dark")
    np.testing.assert_array_equal(read(tmp_path / "dark").data, CUBE.data)


def test_a_folder_with_zarr_metadata_is_zarr_whatever_its_name(tmp_path):
    write(tmp_path / "a.zarr", CUBE)
    (tmp_path / "a.zarr").rename(tmp_path / "flight7")
    np.testing.assert_array_equal(read(tmp_path / "flight7").data[...], CUBE.data)


def test_any_other_folder_is_read_as_a_png_stack(tmp_path, monkeypatch):
    monkeypatch.setattr("hsi_edge.io.png_stack.read_png_stack", lambda path: ("stack", path))
    assert read(tmp_path) == ("stack", tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.img: there is no such file or folder"):
        read(tmp_path / "gone.img")


@pytest.mark.parametrize("name", ["a.hdr", "a.tif", "a.mat", "a.npy", "a.png"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name}: the file is empty"):
        read(tmp_path / name)


@pytest.mark.parametrize(("name", "said"), [("a.xyz", "the ending '.xyz' is unknown"), ("a", "the name has no ending")])
def test_an_unknown_ending_is_answered_with_the_list_of_formats(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"{said}.*\.hdr.*\.tif.*\.mat.*\.zarr.*PNG"):
        read(tmp_path / name)
    with pytest.raises(InputError, match=rf"{said}.*what can be written: .*\.tif"):
        write(tmp_path / name, CUBE)


@pytest.mark.parametrize("name", ["a.mat", "a.npz", "a.png"])
def test_formats_that_are_only_read_are_not_written(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot write .*what can be written: "):
        write(tmp_path / name, CUBE)


@pytest.mark.parametrize("name", ["a.zarr", "a.img"])
def test_a_folder_that_is_no_zarr_store_is_never_replaced(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("kept")
    with pytest.raises(InputError, match="a folder of that name is in the way"):
        write(tmp_path / name, CUBE)
    assert (tmp_path / name / "thesis.txt").read_text() == "kept"


def test_envi_needs_no_optional_package(tmp_path):
    write(tmp_path / "a.img", CUBE)
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['cv2', 'rasterio', 'scipy', 'h5py', 'zarr', 'openvino'], None))\n"
        "from hsi_edge.io import read; print(read(sys.argv[1]).data.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.img"], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "(2, 3, 4)", done.stderr
