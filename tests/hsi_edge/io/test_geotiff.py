from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.crs import CRS
from rasterio.windows import Window

from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError, MissingPackageError, OutputError
from hsi_edge.io.geotiff import read_geotiff, write_geotiff
from hsi_edge.io.window import LazyArray

UTM = Georeference((2.0, 0.0, 5e5, 0.0, -2.0, 4e6), CRS.from_epsg(32611).to_wkt())
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


@pytest.fixture
def cube(rng):
    """A cube that uses every field."""
    return Cube(
        data=rng.integers(0, 10_000, (70, 51, 6), np.uint16),
        wavelengths_nm=np.array([400.1, 500.2, 600.3, 700.4, 800.5, 900.6]),
        fwhm_nm=np.full(6, 5.3),
        bad_bands=np.array([False, True, False, False, True, False]),
        quantity="reflectance",
        unit="W m-2 sr-1",
        scale_factor=10000.0,
        nodata=65535.0,
        mask=rng.random((70, 51)) > 0.3,
        georeference=UTM,
        timestamp_ns=1_700_000_000_123_456_789,
        band_names=("a", "b", "c", "d", "e", "f"),
    )


def assert_same(result: Cube, wanted: Cube) -> None:
    for field in fields(Cube):
        got, want = getattr(result, field.name), getattr(wanted, field.name)
        if field.name == "data":
            got = got[...]
        same = np.array_equal(got, want, equal_nan=True) if isinstance(want, np.ndarray) else got == want
        assert same, f"{field.name}: {got!r} instead of {want!r}"


def foreign(path, *, count=2, dtype="uint8", **profile):
    """A file as other programs write it; opened for more."""
    options = {
        "driver": "GTiff",
        "height": 4,
        "width": 5,
        "count": count,
        "dtype": dtype,
        "transform": (1, 0, 9, 0, 1, 9),
    }
    options["transform"] = rasterio.Affine(*options["transform"])
    return rasterio.open(path, "w", **(options | profile))


def test_every_field_of_a_cube_survives_the_round_trip(tmp_path, cube):
    write_geotiff(tmp_path / "a.tif", cube)
    assert_same(read_geotiff(tmp_path / "a.tif"), cube)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_gains_and_offsets_survive_beside_a_scale_factor(tmp_path, cube):
    scaled = replace(cube, gain=np.linspace(0.1, 0.6, 6), offset=np.linspace(-1, 1, 6))
    write_geotiff(tmp_path / "a.tif", scaled)
    assert_same(read_geotiff(tmp_path / "a.tif"), scaled)


def test_a_bare_cube_stays_bare_and_nobody_is_warned(tmp_path, recwarn):
    bare = Cube(data=np.ones((4, 5, 2), np.float32))
    write_geotiff(tmp_path / "a.tif", bare)
    result = read_geotiff(tmp_path / "a.tif")
    assert_same(result, bare)
    assert not recwarn.list


@settings(max_examples=60)
@given(st.data())
def test_pixels_survive_in_every_type_and_shape(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5)))
    pixels = data.draw(hnp.arrays(np.dtype(data.draw(st.sampled_from(TYPES))), shape))
    path = tmp_path_factory.mktemp("tif") / "a.tif"
    write_geotiff(path, Cube(data=pixels))
    result = read_geotiff(path)
    assert result.data.dtype == pixels.dtype
    # Not bit for bit: GDAL leaves out blocks of zeros, and -0.0 among them comes back as 0.0.
    np.testing.assert_array_equal(result.data[...], pixels)
    assert result.mask is None


@pytest.mark.parametrize(("dtype", "stored"), [("float16", "float32"), ("bool", "uint8"), (">f4", "float32")])
def test_types_that_geotiff_lacks_are_widened(tmp_path, dtype, stored):
    pixels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    write_geotiff(tmp_path / "a.tif", Cube(data=pixels))
    result = read_geotiff(tmp_path / "a.tif").data
    assert result.dtype == stored
    assert np.array_equal(result[...], pixels)


def test_a_tiled_file_gives_each_window_as_it_was(tmp_path, rng):
    pixels = rng.random((520, 530, 3), np.float32)
    write_geotiff(tmp_path / "a.tif", Cube(data=pixels, georeference=UTM))
    with rasterio.open(tmp_path / "a.tif", driver="GTiff") as written:
        assert written.block_shapes[0] == (64, 64)
    data = read_geotiff(tmp_path / "a.tif").data
    assert isinstance(data, LazyArray)
    for window in (
        (slice(0, 1),),
        (slice(60, 70), slice(500, 530), slice(1, 3)),
        (519, ..., -1),
        (slice(None, 9, -3),),
    ):
        assert np.array_equal(data[window], pixels[window])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_larger_than_memory_is_read_window_by_window(tmp_path):
    path = tmp_path / "big.tif"
    big = {"height": 200_000, "width": 200_000, "tiled": True, "SPARSE_OK": True, "BIGTIFF": "YES"}
    with foreign(path, count=8, dtype="float32", **big) as file:  # 1.2 TiB, nearly all unwritten
        file.write(np.full((8, 2, 3), 7, np.float32), window=Window(100_000, 50_000, 3, 2))
    data = read_geotiff(path).data
    assert data.shape == (200_000, 200_000, 8)
    assert (data[50_000:50_002, 100_000:100_003] == 7).all()
    assert not data[49_999, 100_000:100_003].any()


def test_threads_and_pickled_copies_read_the_same_file(tmp_path, rng):
    pixels = rng.random((64, 40, 3), np.float32)
    write_geotiff(tmp_path / "a.tif", Cube(data=pixels))
    data = read_geotiff(tmp_path / "a.tif").data
    for _ in range(5):  # each time with new threads, which open the file at once
        with ThreadPoolExecutor(8) as pool:
            assert np.array_equal(list(pool.map(data.__getitem__, range(64))), pixels)
    assert np.array_equal(pickle.loads(pickle.dumps(data))[...], pixels)


@pytest.mark.parametrize("unit", ["Nanometers", "Micrometers", ""])
def test_wavelengths_come_from_the_tags_of_the_bands_in_their_unit(tmp_path, unit):
    factor = 1000 if unit == "Nanometers" else 1
    with foreign(tmp_path / "a.tif") as file:
        for band, wavelength in ((1, 0.45), (2, 0.65)):
            file.update_tags(band, WAVELENGTH=str(wavelength * factor), fwhm=str(0.01 * factor), wavelength_units=unit)
    cube = read_geotiff(tmp_path / "a.tif")
    assert cube.wavelengths_nm.tolist() == [450.0, 650.0]
    assert cube.fwhm_nm.tolist() == [10.0, 10.0]


def test_wavelengths_come_from_the_imagery_domain(tmp_path):
    with foreign(tmp_path / "a.tif") as file:
        for band, wavelength in ((1, "0.45"), (2, "0.65")):
            file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=wavelength, FWHM_UM="0.01")
    cube = read_geotiff(tmp_path / "a.tif")
    assert cube.wavelengths_nm.tolist() == [450.0, 650.0]
    assert cube.fwhm_nm.tolist() == [10.0, 10.0]


def test_other_programs_find_our_wavelengths_and_scale_in_gdals_places(tmp_path, cube):
    write_geotiff(tmp_path / "a.tif", cube)
    with rasterio.open(tmp_path / "a.tif", driver="GTiff") as file:
        assert float(file.tags(3, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"]) == pytest.approx(0.6003)
        assert file.scales[0] == pytest.approx(1e-4)
        assert file.nodata == 65535


def test_wavelengths_come_from_descriptions_and_keep_them_as_names(tmp_path):
    with foreign(tmp_path / "a.tif") as file:
        file.descriptions = ("blue (450 nm)", "Band 2 (0.65 Micrometers)")
    cube = read_geotiff(tmp_path / "a.tif")
    assert cube.wavelengths_nm.tolist() == [450.0, 650.0]
    assert cube.band_names == ("blue (450 nm)", "Band 2 (0.65 Micrometers)")


def test_a_wavelength_missing_from_one_band_means_that_they_are_unknown(tmp_path):
    with foreign(tmp_path / "a.tif") as file:
        file.update_tags(1, wavelength="450")
    assert read_geotiff(tmp_path / "a.tif").wavelengths_nm is None


def test_an_alpha_band_is_a_mask_and_no_band(tmp_path):
    rgba = np.full((4, 4, 5), 255, np.uint8)
    rgba[3, 1, 2] = 0
    with foreign(tmp_path / "a.tif", count=4, photometric="RGB", alpha="YES") as file:
        file.write(rgba)
    cube = read_geotiff(tmp_path / "a.tif")
    assert cube.n_bands == 3
    assert np.argwhere(~cube.mask).tolist() == [[1, 2]]


def test_four_bands_of_bytes_stay_four_bands(tmp_path):
    write_geotiff(tmp_path / "a.tif", Cube(data=np.zeros((4, 5, 4), np.uint8)))
    assert read_geotiff(tmp_path / "a.tif").n_bands == 4


def test_a_nodata_value_that_no_pixel_can_have_is_left_out(tmp_path):
    write_geotiff(tmp_path / "a.tif", Cube(data=np.zeros((2, 2, 2), np.uint16), nodata=-9999.0))
    assert read_geotiff(tmp_path / "a.tif").nodata is None
    write_geotiff(tmp_path / "b.tif", Cube(data=np.zeros((2, 2, 2), np.float32), nodata=float("nan")))
    assert np.isnan(read_geotiff(tmp_path / "b.tif").nodata)


def test_a_quantity_that_we_do_not_know_is_no_error(tmp_path):
    with foreign(tmp_path / "a.tif") as file:
        file.update_tags(quantity="temperature")
    assert read_geotiff(tmp_path / "a.tif").quantity is None


def test_a_colour_table_is_refused_with_the_way_out(tmp_path):
    with foreign(tmp_path / "a.tif", count=1) as file:
        file.write_colormap(1, {0: (1, 2, 3, 255)})
    with pytest.raises(InputError, match=r"a\.tif: .*colour table; expand it: gdal_translate -expand rgb"):
        read_geotiff(tmp_path / "a.tif")


def test_complex_numbers_are_refused_on_reading_and_writing(tmp_path):
    with foreign(tmp_path / "a.tif", dtype="complex64"):
        pass
    with pytest.raises(InputError, match="its numbers are complex64"):
        read_geotiff(tmp_path / "a.tif")
    with pytest.raises(InputError, match="GeoTIFF has no number type complex128"):
        write_geotiff(tmp_path / "b.tif", Cube(data=np.zeros((2, 2, 2), complex)))


def test_an_empty_cube_and_an_unknown_reference_system_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"at least one pixel and band; the cube is \(0, 2, 2\)"):
        write_geotiff(tmp_path / "a.tif", Cube(data=np.zeros((0, 2, 2))))
    nonsense = Georeference(UTM.transform, "PROJCS[nonsense")
    with pytest.raises(InputError, match=r"reference system, 'PROJCS\[nonsense'.*leave it empty"):
        write_geotiff(tmp_path / "a.tif", Cube(data=np.zeros((2, 2, 2)), georeference=nonsense))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [20, 520])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.98])
def test_a_truncated_file_is_refused_at_once(tmp_path, size, kept):
    path = tmp_path / "cut.tif"
    write_geotiff(path, Cube(data=np.ones((size, size, 3), np.float32)))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"cannot read .*cut\.tif: ."):
        read_geotiff(path)


def test_a_file_that_is_no_tiff_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("<VRTDataset/>")
    with pytest.raises(InputError, match=r"cannot read .*a\.tif"):
        read_geotiff(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"cannot read .*missing\.tif"):
        read_geotiff(tmp_path / "missing.tif")


def test_damage_within_the_pixels_shows_when_they_are_read(tmp_path, rng):
    path = tmp_path / "hurt.tif"
    with foreign(path, dtype="uint16", height=64, width=64, compress="deflate") as file:
        file.write(rng.integers(0, 60_000, (2, 64, 64), np.uint16))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    data = read_geotiff(path).data
    with pytest.raises(InputError, match=r"cannot read .*hurt\.tif: ."):
        data[...]


WRITE_WITH_100_KB_OF_ROOM = """
import pathlib, resource, sys
import numpy as np
from hsi_edge.cube import Cube
from hsi_edge.io.geotiff import write_geotiff
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write_geotiff(pathlib.Path(sys.argv[1]), Cube(data=np.ones((150, 170, 1), np.float32)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit the size of files")
def test_a_disk_that_fills_while_the_file_is_closed_is_no_success(tmp_path):
    """GDAL itself says nothing in this case."""
    (tmp_path / "a.tif").write_text("old")
    command = [sys.executable, "-c", WRITE_WITH_100_KB_OF_ROOM, str(tmp_path / "a.tif")]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert "OutputError" in result.stderr.splitlines()[-1]
    assert "a.tif" in result.stderr.splitlines()[-1]
    assert (tmp_path / "a.tif").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        write_geotiff(tmp_path / "nowhere" / "a.tif", Cube(data=np.ones((2, 2, 2))))


def test_rasterio_missing_names_the_extra(tmp_path, monkeypatch, cube):
    write_geotiff(tmp_path / "a.tif", cube)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingPackageError, match=r"hsi-edge\[geotiff\]"):
        read_geotiff(tmp_path / "a.tif")
    with pytest.raises(MissingPackageError, match=r"writing GeoTIFF.*hsi-edge\[geotiff\]"):
        write_geotiff(tmp_path / "a.tif", cube)


def test_a_real_airborne_scene_keeps_its_pixels_and_axis(tmp_path, shared_data):
    with np.load(shared_data / "train" / "muufl_sub.npz", allow_pickle=False) as archive:
        scene = Cube(data=archive["cube"], wavelengths_nm=archive["wavelength_nm"], mask=archive["mask"] != 0)
    write_geotiff(tmp_path / "a.tif", scene)
    result = read_geotiff(tmp_path / "a.tif")
    assert np.array_equal(result.data[...], scene.data)
    assert np.array_equal(result.wavelengths_nm, scene.wavelengths_nm)
