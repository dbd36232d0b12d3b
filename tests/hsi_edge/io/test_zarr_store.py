from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError, MissingPackageError, OutputError
from hsi_edge.io.window import LazyArray
from hsi_edge.io.zarr_store import read_zarr, write_zarr

TYPES = ["uint8", "int16", "uint16", "int64", "uint64", "float16", "float32", "float64"]


@pytest.fixture
def cube(rng):
    """A cube that uses every field."""
    return Cube(
        data=rng.integers(0, 10_000, (140, 51, 3), np.uint16),
        wavelengths_nm=np.array([400.1, 500.2, 600.3]),
        fwhm_nm=np.full(3, 5.3),
        bad_bands=np.array([False, True, False]),
        quantity="radiance",
        unit="W m-2 sr-1",
        scale_factor=100.0,
        gain=np.array([0.1, 0.2, 0.3]),
        offset=np.array([-1.0, 0.0, 1.0]),
        nodata=65535.0,
        mask=rng.random((140, 51)) > 0.3,
        georeference=Georeference((2.0, 0.0, 5e5, 0.0, -2.0, 4e6), "LOCAL_CS[1]", ("UTM", "1", "1")),
        timestamp_ns=1_700_000_000_123_456_789,
        band_names=("a", "b", "c"),
    )


def assert_same(result: Cube, wanted: Cube) -> None:
    for field in fields(Cube):
        got, want = getattr(result, field.name), getattr(wanted, field.name)
        if field.name == "data":
            got = got[...]
        same = np.array_equal(got, want, equal_nan=True) if isinstance(want, np.ndarray) else got == want
        assert same, f"{field.name}: {got!r} instead of {want!r}"


def create(path, name, values, **attributes):
    """An array in a group, as other programs write it, by zarr 2 or 3."""
    group = zarr.open_group(str(path), mode="a")
    make = group.create_array if hasattr(group, "create_array") else group.create_dataset
    array = make(name, shape=values.shape, dtype=values.dtype, chunks=values.shape)
    array[...] = values
    array.attrs.update(attributes)
    return group


def test_every_field_of_a_cube_survives_the_round_trip(tmp_path, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    assert_same(read_zarr(tmp_path / "a.zarr"), cube)


def test_a_bare_cube_stays_bare(tmp_path):
    bare = Cube(data=np.ones((4, 5, 2), np.float32))
    write_zarr(tmp_path / "a.zarr", bare)
    assert_same(read_zarr(tmp_path / "a.zarr"), bare)


@pytest.mark.parametrize("nodata", [float("nan"), float("-inf")])
def test_a_nodata_value_that_json_lacks_survives(tmp_path, nodata):
    write_zarr(tmp_path / "a.zarr", Cube(data=np.ones((2, 2, 2)), nodata=nodata))
    assert np.array_equal(read_zarr(tmp_path / "a.zarr").nodata, nodata, equal_nan=True)


@settings(max_examples=30)
@given(st.data())
def test_pixels_survive_bit_for_bit_in_every_type_and_shape(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5)))
    pixels = data.draw(hnp.arrays(np.dtype(data.draw(st.sampled_from(TYPES))), shape))
    path = tmp_path_factory.mktemp("zarr") / "a.zarr"
    write_zarr(path, Cube(data=pixels))
    result = read_zarr(path).data
    assert result.dtype == pixels.dtype
    assert np.array_equal(result[...], pixels, equal_nan=pixels.dtype.kind == "f")


def test_a_store_larger_than_memory_is_read_chunk_by_chunk(tmp_path):
    group = zarr.open_group(str(tmp_path / "big.zarr"), mode="w")
    make = group.create_array if hasattr(group, "create_array") else group.create_dataset
    big = make("cube", shape=(10**6, 10**6, 31), chunks=(64, 64, 31), dtype="float32")  # 120 TB, nearly all unwritten
    big[500:502, 700:703, :] = 7.0
    data = read_zarr(tmp_path / "big.zarr").data
    assert isinstance(data, LazyArray)
    assert (data[500:502, 700:703] == 7.0).all()
    assert not data[499, 700:703].any()


def test_windows_with_steps_and_pickled_copies_read_the_same_store(tmp_path, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    data = pickle.loads(pickle.dumps(read_zarr(tmp_path / "a.zarr").data))
    assert np.array_equal(data[::-7, 3, 1:], cube.data[::-7, 3, 1:])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_at_the_root_is_read_in_both_formats(tmp_path, zarr_format):
    if zarr_format == 3 and zarr.__version__.startswith("2."):
        pytest.skip("the installed zarr knows format 2 only")
    option = {} if zarr.__version__.startswith("2.") else {"zarr_format": zarr_format}
    array = zarr.open_array(
        str(tmp_path / "a.zarr"), mode="w", shape=(4, 5, 3), chunks=(4, 5, 3), dtype="uint16", **option
    )
    array[...] = 7
    array.attrs["wavelengths_nm"] = [450, 550, 650]
    cube = read_zarr(tmp_path / "a.zarr")
    assert (cube.data[...] == 7).all()
    assert cube.wavelengths_nm.tolist() == [450.0, 550.0, 650.0]


def test_a_foreign_group_brings_wavelengths_as_an_array_and_attributes_of_its_own(tmp_path):
    create(tmp_path / "a.zarr", "reflectance", np.ones((4, 5, 3), np.float32))
    create(tmp_path / "a.zarr", "labels", np.ones((4, 5), np.uint8))
    group = create(tmp_path / "a.zarr", "wavelength", np.array([0.45, 0.55, 0.65]))
    group.attrs.update({"quantity": "albedo", "scale_factor": 2.0})
    cube = read_zarr(tmp_path / "a.zarr")
    assert cube.wavelengths_nm.tolist() == [450.0, 550.0, 650.0]
    assert cube.quantity is None
    assert cube.scale_factor == 2.0


def test_a_group_without_a_clear_cube_lists_its_arrays(tmp_path):
    create(tmp_path / "a.zarr", "left", np.ones((4, 5, 3)))
    create(tmp_path / "a.zarr", "right", np.ones((4, 5, 3)))
    with pytest.raises(InputError, match=r"a\.zarr: several arrays.*left \(4, 5, 3\)"):
        read_zarr(tmp_path / "a.zarr")


def test_metadata_that_do_not_fit_name_the_store(tmp_path):
    create(tmp_path / "a.zarr", "cube", np.ones((4, 5, 3)), wavelengths_nm=[450.0])
    with pytest.raises(
        InputError, match=r"cannot read .*a\.zarr: wavelengths_nm has shape \(1,\); the cube has 3 bands"
    ):
        read_zarr(tmp_path / "a.zarr")


def test_a_store_without_a_cube_is_refused(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*empty\.zarr"):
        read_zarr(tmp_path / "empty.zarr")
    with pytest.raises(InputError, match=r"cannot read .*missing\.zarr"):
        read_zarr(tmp_path / "missing.zarr")
    zarr.open_array(str(tmp_path / "flat.zarr"), mode="w", shape=(4, 5), chunks=(4, 5), dtype="u1")
    with pytest.raises(InputError, match=r"its array is \(4, 5\) of uint8"):
        read_zarr(tmp_path / "flat.zarr")


def test_a_truncated_chunk_names_the_store(tmp_path, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    chunk = max(
        (tmp_path / "a.zarr" / "cube").rglob("*"), key=lambda file: file.stat().st_size if file.is_file() else 0
    )
    chunk.write_bytes(chunk.read_bytes()[:1000])
    data = read_zarr(tmp_path / "a.zarr").data
    with pytest.raises(InputError, match=r"cannot read .*a\.zarr: ."):
        data[...]


def test_truncated_metadata_name_the_store(tmp_path, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    for file in (tmp_path / "a.zarr").rglob("*"):
        if file.name in ("zarr.json", ".zarray"):
            file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(InputError, match=r"cannot read .*a\.zarr: ."):
        read_zarr(tmp_path / "a.zarr")


def test_writing_again_replaces_the_whole_store(tmp_path, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    write_zarr(tmp_path / "a.zarr", replace(cube, mask=None))
    assert read_zarr(tmp_path / "a.zarr").mask is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_failure_while_writing_leaves_the_old_store(tmp_path, cube):
    def fail(*window: slice) -> np.ndarray:
        if window[0].start > 0:
            raise OSError(28, "No space left on device")
        return np.zeros((window[0].stop, 51, 3), np.uint16)

    write_zarr(tmp_path / "a.zarr", cube)
    with pytest.raises(OutputError, match=r"a\.zarr.*[Nn]o space left"):
        write_zarr(tmp_path / "a.zarr", replace(cube, data=LazyArray((140, 51, 3), np.dtype(np.uint16), fail)))
    assert_same(read_zarr(tmp_path / "a.zarr"), cube)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_store_may_be_moved_and_read_elsewhere(tmp_path, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    shutil.move(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert_same(read_zarr(tmp_path / "b.zarr"), cube)


def test_zarr_missing_names_the_extra(tmp_path, monkeypatch, cube):
    write_zarr(tmp_path / "a.zarr", cube)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingPackageError, match=r"hsi-edge\[zarr\]"):
        read_zarr(tmp_path / "a.zarr")
