from __future__ import annotations

import struct
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_edge.errors import InputError, MissingPackageError
from hsi_edge.io.matlab import read_matlab
from hsi_edge.io.window import LazyArray

CUBE = np.random.default_rng(3).integers(0, 4000, (7, 5, 4)).astype(np.uint16)
CLASSES = {"uint16": b"uint16", "float64": b"double", "float32": b"single", "int32": b"int32"}


def write_73(path: Path, variables: dict[str, np.ndarray], **options: object) -> None:
    """What MATLAB's `save -v7.3` leaves: 512 bytes of header, then HDF5 with the axes of each array in reverse."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            item = file.create_dataset(name, data=np.atleast_2d(values).T, **options)
            item.attrs["MATLAB_class"] = np.bytes_(CLASSES[values.dtype.name])
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + struct.pack("<H2s", 0x0200, b"IM"))


@pytest.fixture(params=["5", "7.3"])
def write(request):
    return scipy.io.savemat if request.param == "5" else write_73


def test_the_cube_has_the_axes_that_matlab_shows(write, tmp_path):
    write(tmp_path / "a.mat", {"scene": CUBE, "labels": np.zeros((7, 5))})
    cube = read_matlab(tmp_path / "a.mat")
    assert cube.data.shape == (7, 5, 4)
    assert cube.data.dtype == np.uint16
    assert np.array_equal(cube.data[...], CUBE)
    assert np.array_equal(cube.data[2:4, 1, ::-2], CUBE[2:4, 1, ::-2])
    assert cube.wavelengths_nm is None


def test_wavelengths_come_from_a_vector_beside_it_in_either_unit(write, tmp_path):
    write(
        tmp_path / "a.mat", {"ref": CUBE, "rgb": np.zeros((7, 5, 3)), "wavelengths": np.array([0.45, 0.5, 0.55, 0.6])}
    )
    assert read_matlab(tmp_path / "a.mat").wavelengths_nm.tolist() == [450.0, 500.0, 550.0, 600.0]
    write(tmp_path / "b.mat", {"ref": CUBE, "bands": np.array([450.0, 500.0, 550.0, 600.0])})
    assert read_matlab(tmp_path / "b.mat").wavelengths_nm.tolist() == [450.0, 500.0, 550.0, 600.0]
    write(tmp_path / "c.mat", {"ref": CUBE, "bands": np.array([1.0, 2.0, 3.0, 4.0])})
    assert read_matlab(tmp_path / "c.mat").wavelengths_nm is None


def test_several_cubes_without_a_known_name_are_listed(write, tmp_path):
    write(tmp_path / "a.mat", {"left": CUBE, "right": CUBE})
    with pytest.raises(InputError, match=r"a\.mat: several.*left \(7, 5, 4\), right \(7, 5, 4\)"):
        read_matlab(tmp_path / "a.mat")


def test_a_file_of_matrices_alone_is_refused_with_their_names(write, tmp_path):
    write(tmp_path / "a.mat", {"labels": np.zeros((7, 5))})
    with pytest.raises(InputError, match=r"no array has 3 axes \(rows, cols, bands\).*labels \(7, 5\)"):
        read_matlab(tmp_path / "a.mat")


def test_text_and_structures_are_no_cubes(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"scene": CUBE, "name": "x", "info": {"gain": np.ones((2, 2, 2))}})
    assert np.array_equal(read_matlab(tmp_path / "a.mat").data, CUBE)
    write_73(tmp_path / "b.mat", {"scene": CUBE})
    with h5py.File(tmp_path / "b.mat", "r+") as file:
        file.create_dataset("text", data=np.ones((2, 3, 4), np.uint16)).attrs["MATLAB_class"] = np.bytes_(b"char")
        file.create_group("info")["gain"] = np.ones((2, 2, 2))
    assert np.array_equal(read_matlab(tmp_path / "b.mat").data[...], CUBE)


def test_complex_cubes_are_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"scene": np.ones((2, 3, 4), complex)})
    with pytest.raises(InputError, match="'scene' holds complex128"):
        read_matlab(tmp_path / "a.mat")


def test_version_73_is_read_window_by_window(tmp_path):
    with h5py.File(tmp_path / "big.mat", "w", userblock_size=512) as file:
        big = file.create_dataset("cube", (2**8, 2**16, 2**16), "f4", chunks=(8, 64, 64))  # 4 TiB, nearly all unwritten
        big[3:5, 100:102, 200:203] = 7.0
    cube = read_matlab(tmp_path / "big.mat")
    assert isinstance(cube.data, LazyArray)
    assert cube.data.shape == (2**16, 2**16, 2**8)
    assert (cube.data[200:203, 100:102, 3:5] == 7.0).all()
    assert not cube.data[199, 100:102, 3:5].any()


@pytest.mark.parametrize("compressed", [False, True])
@settings(max_examples=40, deadline=None)
@given(kept=st.floats(0, 0.999))
def test_a_truncated_version_5_file_names_itself(tmp_path_factory, compressed, kept):
    path = tmp_path_factory.mktemp("mat") / "cut.mat"
    scipy.io.savemat(path, {"cube": CUBE}, do_compression=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"cannot read .*cut\.mat: ."):
        read_matlab(path)


@pytest.mark.parametrize("kept", [520, 0.5, 0.99])
def test_a_truncated_version_73_file_names_itself(tmp_path, kept):
    path = tmp_path / "cut.mat"
    write_73(path, {"cube": CUBE})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=r"cannot read .*cut\.mat: ."):
        read_matlab(path)


def test_damage_inside_a_chunk_shows_when_it_is_read(tmp_path):
    path = tmp_path / "hurt.mat"
    write_73(path, {"cube": CUBE}, chunks=(4, 5, 7), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["cube"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    start = chunk.byte_offset
    start += 0 if content[start] == 0x78 else 512  # counted from the end of the header in some versions of HDF5
    content[start + 5 : start + chunk.size - 5] = bytes(chunk.size - 10)
    path.write_bytes(content)
    cube = read_matlab(path)
    with pytest.raises(InputError, match=r"cannot read .*hurt\.mat: ."):
        cube.data[0]


@pytest.mark.parametrize(("module", "version"), [("scipy.io", "5"), ("h5py", "7.3")])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, module, version):
    (scipy.io.savemat if version == "5" else write_73)(tmp_path / "a.mat", {"cube": CUBE})
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=r"hsi-edge\[matlab\]"):
        read_matlab(tmp_path / "a.mat")
