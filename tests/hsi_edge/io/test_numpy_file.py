from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, OutputError
from hsi_edge.io.numpy_file import read_numpy, write_numpy
from hsi_edge.io.window import LazyArray

REAL = (
    hnp.integer_dtypes(endianness="=")
    | hnp.unsigned_integer_dtypes(endianness="=")
    | hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64))
)


@settings(deadline=None)
@given(hnp.arrays(REAL, st.tuples(st.integers(1, 70), st.integers(1, 4), st.integers(1, 4))))
def test_a_written_npy_reads_back_bit_for_bit(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npy") / "cube.npy"
    write_numpy(path, Cube(data=data))
    result = read_numpy(path).data
    assert result.dtype == data.dtype
    assert np.asarray(result).tobytes() == data.tobytes()


def test_a_lazy_cube_is_written_piece_by_piece(tmp_path):
    pixels = np.arange(200 * 3 * 2, dtype=np.float32).reshape(200, 3, 2)
    heights = []

    def read(*window: slice) -> np.ndarray:
        heights.append(window[0].stop - window[0].start)
        return pixels[window]

    write_numpy(tmp_path / "cube.npy", Cube(data=LazyArray(pixels.shape, pixels.dtype, read)))
    assert np.array_equal(np.load(tmp_path / "cube.npy"), pixels)
    assert max(heights) <= 64


def test_big_endian_pixels_are_written_in_this_machines_order(tmp_path):
    pixels = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    write_numpy(tmp_path / "cube.npy", Cube(data=pixels))
    assert np.array_equal(np.load(tmp_path / "cube.npy"), pixels)


def test_a_file_larger_than_memory_is_mapped(tmp_path):
    path = tmp_path / "big.npy"
    shape = (2**20, 2**10, 2**9)  # 1 TiB of holes
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 2 * 2**39)
    cube = read_numpy(path)
    assert cube.data.shape == shape
    assert not cube.data[-1:, :8].any()


def test_an_npz_brings_wavelengths_bad_bands_and_mask(tmp_path):
    mask = np.array([[1, 0], [1, 1]], np.uint8)
    np.savez(
        tmp_path / "cube.npz",
        cube=np.ones((2, 2, 3), np.uint16),
        rgb=np.zeros((4, 4, 3)),
        wavelength_nm=[450.0, 550.0, 650.0],
        bbl=np.array([1, 1, 0], np.uint8),
        mask=mask,
    )
    cube = read_numpy(tmp_path / "cube.npz")
    assert cube.wavelengths_nm.tolist() == [450.0, 550.0, 650.0]
    assert cube.bad_bands.tolist() == [False, False, True]
    assert np.array_equal(cube.mask, mask == 1)
    assert cube.data.dtype == np.uint16


def test_the_only_cube_of_an_npz_may_have_any_name(tmp_path):
    np.savez(tmp_path / "cube.npz", scene=np.ones((2, 2, 3)), labels=np.zeros((2, 2)))
    assert read_numpy(tmp_path / "cube.npz").data.shape == (2, 2, 3)


def test_bands_in_front_are_noticed_by_their_wavelengths(tmp_path):
    np.savez(tmp_path / "raw.npz", raw=np.ones((4, 6, 8), np.uint16), wavelength_nm=[550.0, 660.0, 735.0, 790.0])
    with pytest.raises(InputError, match=r"raw\.npz: wavelengths_nm has shape \(4,\); the cube has 8 bands"):
        read_numpy(tmp_path / "raw.npz")


def test_a_pickle_is_refused_unless_it_is_not_needed(tmp_path):
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "beside.npz", cube=np.ones((2, 2, 3)), notes=objects)
    assert read_numpy(tmp_path / "beside.npz").n_bands == 3
    np.save(tmp_path / "objects.npy", objects)
    with pytest.raises(InputError, match=r"cannot read .*objects\.npy: ."):
        read_numpy(tmp_path / "objects.npy")


@pytest.mark.parametrize("shape", [(4, 5), (4,), (1, 4, 5, 6)])
def test_other_numbers_of_axes_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(InputError, match=r"a\.npy: its shape is .*; a cube has 3 axes \(rows, cols, bands\)"):
        read_numpy(tmp_path / "a.npy")


def test_complex_numbers_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2), complex))
    with pytest.raises(InputError, match="its numbers are complex128"):
        read_numpy(tmp_path / "a.npy")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("kept", [0, 3, 40, 0.5, 0.99])
def test_a_truncated_file_names_itself(tmp_path, ending, kept):
    path = tmp_path / f"cut{ending}"
    pixels = np.random.default_rng(1).random((20, 20, 5))
    if ending == ".npy":
        np.save(path, pixels)
    else:
        np.savez_compressed(path, cube=pixels)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=rf"cannot read .*cut\{ending}: ."):
        read_numpy(path)


def test_a_header_of_a_trillion_pixels_over_nothing_is_refused(tmp_path):
    path = tmp_path / "huge.npy"
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6, 31)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(InputError, match="cannot read"):
        read_numpy(path)


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        write_numpy(tmp_path / "nowhere" / "cube.npy", Cube(data=np.zeros((1, 1, 1))))


def test_a_real_airborne_scene_is_read_with_its_axis_and_bad_bands(shared_data):
    cube = read_numpy(shared_data / "sensors" / "pair_salton_sea.npz")
    assert cube.data.shape == (51, 56, 224)
    assert 360 < cube.wavelengths_nm[0] < 370
    assert 2490 < cube.wavelengths_nm[-1] < 2510
    assert np.array_equal(cube.bad_bands, np.isnan(cube.data).all(axis=(0, 1)))
