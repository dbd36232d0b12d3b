from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError, OutputError
from hsi_edge.io import envi_header
from hsi_edge.io.envi import read_envi, write_envi

DTYPES = ["u1", "i2", "i4", "f4", "f8", "c8", "c16", "u2", "u4", "i8", "u8"]
CODES = [1, 2, 3, 4, 5, 6, 9, 12, 13, 14, 15]
KEYS = {"samples": "3", "lines": "2", "bands": "4", "data type": "12", "interleave": "bsq"}
WAVELENGTHS = np.array([450.0, 550.25, 650.5, 750.125])
CUBE = Cube(data=np.arange(24, dtype=np.uint16).reshape(2, 3, 4), wavelengths_nm=WAVELENGTHS)
UTM = ("UTM", "2.5", "1", "600000.5", "3700000.25", "4.0", "4.0", "11", "North", "WGS-84", "units=Meters")


def header(**changed: str | None) -> str:
    """A header for 2 rows, 3 columns, 4 bands of uint16; `data_type="4"` changes a key, None removes it."""
    fields = KEYS | {key.replace("_", " "): value for key, value in changed.items()}
    return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)


def image(folder: Path, text: str, data: bytes = bytes(48)) -> Path:
    (folder / "a.img").write_bytes(data)
    (folder / "a.hdr").write_text(text, encoding="utf-8")
    return folder / "a.img"


def read_header(folder: Path, **changed: str | None) -> Cube:
    return read_envi(image(folder, header(**changed)))


# --- pixels


@given(
    code=st.sampled_from(list(zip(CODES, DTYPES, strict=True))),
    order=st.sampled_from("<>"),
    interleave=st.sampled_from(["bsq", "bil", "bip", "BSQ", "Bil"]),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
    offset=st.integers(0, 33),
    surplus=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_pixels_are_read_in_every_layout(code, order, interleave, shape, offset, surplus, seed):
    number, name = code
    dtype = np.dtype(order + name)
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
    cube = np.frombuffer(raw, dtype).reshape(shape)  # any bit pattern, NaN among them
    axes = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave.lower()]
    text = header(
        **dict(zip(("lines", "samples", "bands"), map(str, shape), strict=True)),
        interleave=interleave,
        data_type=str(number),
        byte_order=str("<>".index(order)),
        header_offset=str(offset),
    )
    with tempfile.TemporaryDirectory() as folder:
        stored = cube.transpose(axes).tobytes()
        path = image(Path(folder), text, b"\xaa" * offset + stored + b"\xbb" * surplus)
        found = read_envi(path).data
        assert found.dtype == dtype.newbyteorder(order)
        assert found[...].tobytes() == cube.tobytes()


@given(
    data=hnp.arrays(
        st.sampled_from([np.dtype(order + name) for name in DTYPES for order in "<>"]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    ),
    interleave=st.sampled_from(["bsq", "bil", "bip"]),
    strided=st.booleans(),
)
def test_what_is_written_is_read_back_bit_for_bit(data, interleave, strided):
    if strided:
        data = data[::-1, :, ::-1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.img"
        write_envi(path, Cube(data=data), interleave=interleave)
        back = read_envi(path).data
        assert back.dtype == data.dtype
        assert back[...].tobytes() == data.tobytes()
        assert f"interleave = {interleave}\n" in path.with_suffix(".hdr").read_text()


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_an_image_of_many_blocks_is_written_whole(tmp_path, monkeypatch, rng, interleave):
    monkeypatch.setattr("hsi_edge.io.envi._BLOCK_BYTES", 100)
    data = rng.random((17, 3, 5), dtype=np.float32)
    write_envi(tmp_path / "a.img", Cube(data=data), interleave=interleave)
    np.testing.assert_array_equal(read_envi(tmp_path / "a.img").data, data)


def test_pixels_stay_in_the_file_until_they_are_asked_for(tmp_path):
    path = image(tmp_path, header())
    data = read_envi(path).data
    assert isinstance(data, np.memmap)
    assert not data.flags.writeable


@pytest.mark.parametrize(("stored", "written"), [("f2", "f4"), ("i1", "i2"), ("?", "u1")])
def test_types_that_envi_lacks_are_widened_without_loss(tmp_path, stored, written):
    data = np.array([[[0, 1, 1]]], stored)
    write_envi(tmp_path / "a.img", Cube(data=data))
    back = read_envi(tmp_path / "a.img").data
    assert back.dtype == written
    np.testing.assert_array_equal(back, data)


def test_other_types_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ENVI has no type for .*; convert the data to one of u1, i2"):
        write_envi(tmp_path / "a.img", Cube(data=np.zeros((1, 1, 1), "M8[ns]")))
    with pytest.raises(InputError, match="ENVI has no empty images"):
        write_envi(tmp_path / "a.img", Cube(data=np.zeros((0, 3, 1))))
    with pytest.raises(InputError, match="interleave is 'bqs'; wanted one of bsq, bil, bip"):
        write_envi(tmp_path / "a.img", CUBE, interleave="bqs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "interleave"), [("a.bsq", "bsq"), ("a.BIL", "bil"), ("a.bip", "bip"), ("a.dat", "bip")]
)
def test_the_interleave_follows_from_the_ending(tmp_path, name, interleave):
    write_envi(tmp_path / name, CUBE)
    assert f"interleave = {interleave}\n" in (tmp_path / "a.hdr").read_text()


def test_an_image_can_be_written_over_itself(tmp_path):
    path = tmp_path / "a.img"
    write_envi(path, CUBE, interleave="bsq")
    write_envi(path, read_envi(path), interleave="bil")
    np.testing.assert_array_equal(read_envi(path).data, CUBE.data)


# --- which file belongs to which


@pytest.mark.parametrize("data_name", ["a", "a.raw", "a.dat", "a.img", "a.bil", "a.BSQ", "a.xyz"])
def test_the_header_is_found_from_the_data_file(tmp_path, data_name):
    image(tmp_path, header()).rename(tmp_path / data_name)
    assert read_envi(tmp_path / data_name).data.shape == (2, 3, 4)


@pytest.mark.parametrize("names", [("a", "a.hdr"), ("a.raw", "a.hdr"), ("a.IMG", "a.HDR"), ("a.raw", "a.raw.hdr")])
def test_the_data_file_is_found_from_the_header(tmp_path, names):
    image(tmp_path, header()).rename(tmp_path / names[0])
    (tmp_path / "a.hdr").rename(tmp_path / names[1])
    assert read_envi(tmp_path / names[1]).data.shape == (2, 3, 4)
    assert read_envi(tmp_path / names[0]).data.shape == (2, 3, 4)


def test_a_header_that_fits_two_files_is_refused(tmp_path):
    image(tmp_path, header())
    (tmp_path / "a.raw").write_bytes(bytes(48))
    with pytest.raises(InputError, match=r"could belong to each of a\.img, a\.raw; give the path of the data file"):
        read_envi(tmp_path / "a.hdr")


def test_a_missing_partner_is_named(tmp_path):
    path = image(tmp_path, header())
    (tmp_path / "a.hdr").rename(tmp_path / "b.hdr")
    with pytest.raises(InputError, match=r"a\.img has no ENVI header beside it; wanted a\.img\.hdr or a\.hdr"):
        read_envi(path)
    with pytest.raises(InputError, match=r"b\.hdr has no data file beside it"):
        read_envi(tmp_path / "b.hdr")
    with pytest.raises(InputError, match=r"c\.img: there is no such file"):
        read_envi(tmp_path / "c.img")


def test_writing_never_takes_the_header_of_another_image(tmp_path):
    write_envi(tmp_path / "a.raw", CUBE)
    write_envi(tmp_path / "a.img", Cube(data=np.ones((5, 5, 1), np.float32)))
    np.testing.assert_array_equal(read_envi(tmp_path / "a.raw").data, CUBE.data)
    assert read_envi(tmp_path / "a.img").data.shape == (5, 5, 1)


def test_writing_to_a_header_replaces_the_image_that_it_belongs_to(tmp_path):
    write_envi(tmp_path / "a.raw", CUBE)
    write_envi(tmp_path / "a.hdr", Cube(data=np.ones((5, 5, 1), np.float32)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hdr", "a.raw"]
    assert read_envi(tmp_path / "a.hdr").data.shape == (5, 5, 1)


# --- metadata


def test_all_metadata_survive_a_round_trip(tmp_path):
    cube = Cube(
        data=CUBE.data,
        wavelengths_nm=WAVELENGTHS,
        fwhm_nm=np.array([9.5, 9.6, 9.7, 9.8]),
        bad_bands=np.array([False, True, False, True]),
        quantity="radiance",
        unit="uW/(cm^2 nm sr)",
        scale_factor=10000.0,
        gain=np.array([0.1, 0.2, 0.3, 0.4]),
        offset=np.array([-1.0, 0.0, 1.0, 1e-9]),
        nodata=65535.0,
        georeference=Georeference((4.0, 0.0, 599994.5, 0.0, -4.0, 3700000.25), "", UTM),
        timestamp_ns=1_700_000_000_123_456_789,
        band_names=("blue", "green", "red edge", "nir (750)"),
    )
    write_envi(tmp_path / "a.img", cube)
    back = read_envi(tmp_path / "a.img")
    for name in ("wavelengths_nm", "fwhm_nm", "bad_bands", "gain", "offset"):
        np.testing.assert_array_equal(getattr(back, name), getattr(cube, name))
    for name in ("quantity", "unit", "scale_factor", "nodata", "timestamp_ns", "band_names"):
        assert getattr(back, name) == getattr(cube, name)
    assert back.georeference.transform == cube.georeference.transform
    assert back.georeference.map_info == UTM
    assert 'AUTHORITY["EPSG","32611"]' in back.georeference.crs_wkt


def test_a_bare_cube_has_no_metadata_after_a_round_trip(tmp_path):
    write_envi(tmp_path / "a.img", Cube(data=CUBE.data))
    back = read_envi(tmp_path / "a.img")
    assert replace(back, data=CUBE.data).__dict__ == Cube(data=CUBE.data).__dict__


@pytest.mark.parametrize(
    ("unit", "values", "nm"),
    [
        ("Nanometers", "400, 500, 600, 700", [400, 500, 600, 700]),
        ("nm", "400, 500, 600, 700", [400, 500, 600, 700]),
        ("Micrometers", "0.4, 0.55, 0.6, 2.5", [400, 550, 600, 2500]),
        ("um", "0.4, 0.5, 0.6, 0.7", [400, 500, 600, 700]),
        ("Unknown", "0.4, 0.5, 0.6, 0.7", [400, 500, 600, 700]),
        (None, "0.4, 0.5, 0.6, 12.5", [400, 500, 600, 12500]),
        (None, "400, 500, 600, 700,", [400, 500, 600, 700]),
    ],
)
def test_wavelengths_become_nanometres(tmp_path, unit, values, nm):
    cube = read_header(tmp_path, wavelength=f"{{{values}}}", fwhm=f"{{{values}}}", wavelength_units=unit)
    np.testing.assert_allclose(cube.wavelengths_nm, nm, rtol=1e-12)
    np.testing.assert_allclose(cube.fwhm_nm, nm, rtol=1e-12)


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("SP1", "0.1, 0.556, 0.589, 0.625"),
        ("Index", "1, 2, 3, 4"),
        (None, "1, 2, 3, 4"),
        (None, "50, 100, 150, 200"),
        ("nm", "0, 500, 600, 700"),
    ],
)
def test_lists_that_are_no_wavelengths_become_band_names(tmp_path, unit, values):
    cube = read_header(tmp_path, wavelength=f"{{{values}}}", wavelength_units=unit)
    assert cube.wavelengths_nm is None
    assert cube.band_names[1] == f"{values.split(', ')[1]} {unit or ''}".strip()


def test_a_width_of_zero_means_unknown(tmp_path):
    cube = read_header(tmp_path, wavelength="{400, 500, 600, 700}", fwhm="{0, 0, 0, 0}")
    assert cube.wavelengths_nm is not None
    assert cube.fwhm_nm is None


def test_the_scale_factor_is_carried_and_not_applied(tmp_path):
    data = np.full((2, 3, 4), 5000, np.uint16).tobytes()
    cube = read_envi(image(tmp_path, header(reflectance_scale_factor="10000.0"), data))
    assert cube.quantity == "reflectance"
    assert cube.data[0, 0, 0] == 5000
    assert cube.physical()[0, 0, 0] == 0.5


def test_the_quantity_is_unknown_unless_the_header_says_it(tmp_path):
    assert read_header(tmp_path).quantity is None
    assert read_header(tmp_path, quantity="Radiance").quantity == "radiance"


@pytest.mark.parametrize(
    ("text", "nodata"), [("-9999", -9999.0), ("-9.999000e+03", -9999.0), ("0", 0.0), ("nan", float("nan"))]
)
def test_the_ignore_value_is_read(tmp_path, text, nodata):
    np.testing.assert_equal(read_header(tmp_path, data_ignore_value=text).nodata, nodata)


def test_masked_pixels_are_written_as_the_ignore_value(tmp_path):
    mask = np.array([[True, False, True], [True, True, True]])
    write_envi(tmp_path / "a.img", replace(CUBE, mask=mask, nodata=65535.0))
    back = read_envi(tmp_path / "a.img")
    assert (back.data[~mask] == 65535).all()
    np.testing.assert_array_equal(back.data[mask], CUBE.data[mask])
    np.testing.assert_array_equal(np.isnan(back.physical()).any(axis=2), ~mask)


def test_masked_pixels_of_floats_are_written_as_nan(tmp_path):
    mask = np.array([[True, False, True], [True, True, True]])
    data = CUBE.data.astype(np.float32)
    write_envi(tmp_path / "a.img", Cube(data=data, mask=mask))
    np.testing.assert_array_equal(np.isnan(read_envi(tmp_path / "a.img").data).all(axis=2), ~mask)
    assert not np.isnan(data).any()


@pytest.mark.parametrize("nodata", [None, -1.0, 0.5, float("nan")])
def test_a_mask_that_integers_cannot_hold_is_refused(tmp_path, nodata):
    cube = replace(CUBE, mask=np.zeros((2, 3), np.bool_), nodata=nodata)
    with pytest.raises(InputError, match="give the cube a nodata value of that type, or float data"):
        write_envi(tmp_path / "a.img", cube)


def test_band_names_with_commas_are_dropped_rather_than_split_wrong(tmp_path):
    assert read_header(tmp_path, band_names="{a, b, c (x, y), d}").band_names == ()


def test_comments_blank_lines_and_lists_over_many_lines_are_read(tmp_path):
    text = header(interleave=None).replace("\n", "\r\n") + (
        "\r\n; samples = 99\r\n;\r\nINTERLEAVE   =  Bil\r\nno equals sign here\r\nDescription = {two\r\n lines = 7}\r\n"
        "Wavelength  Units = nm\r\nwavelength = {\r\n 400\r\n ,500\r\n; not a value\r\n,600,\r\n700,\r\n}\r\n"
    )
    cube = read_envi(image(tmp_path, text))
    assert cube.data.shape == (2, 3, 4)
    np.testing.assert_array_equal(cube.wavelengths_nm, [400, 500, 600, 700])


def test_a_header_in_an_old_code_page_is_read(tmp_path):
    path = image(tmp_path, "")
    path.with_suffix(".hdr").write_bytes(header(wavelength="{1,2,3,4}", wavelength_units="µm").encode("latin-1"))
    np.testing.assert_array_equal(read_envi(path).wavelengths_nm, [1000, 2000, 3000, 4000])


# --- georeference


def georeference(folder: Path, map_info: str, **more: str) -> Georeference:
    return read_header(folder, map_info=f"{{{map_info}}}", **more).georeference


def test_the_reference_pixel_counts_from_one(tmp_path):
    assert georeference(tmp_path, ", ".join(UTM)).transform == (4, 0, 599994.5, 0, -4, 3700000.25)


def test_a_rotation_turns_the_image_counterclockwise_about_the_reference_pixel(tmp_path):
    a, b, c, d, e, f = georeference(tmp_path, "UTM, 3, 2, 1000, 2000, 2, 2, 11, North, WGS-84, rotation=90").transform
    np.testing.assert_allclose([a * 2 + b * 1 + c, d * 2 + e * 1 + f], [1000, 2000])
    np.testing.assert_allclose([a, d], [0, 2], atol=1e-12)  # a step along the row goes north
    np.testing.assert_allclose([b, e], [2, 0], atol=1e-12)  # a step down the column goes east


@pytest.mark.parametrize("rotation", [0, 30, -66, 150])
def test_gdal_places_the_pixels_alike(tmp_path, rotation):
    rasterio = pytest.importorskip("rasterio", reason="rasterio is an optional extra")
    ours = georeference(
        tmp_path,
        f"UTM, 1, 1, 1000, 2000, 2, 2, 33, South, WGS-84, units=Meters, rotation={rotation}",
        byte_order="0",
    )
    with rasterio.open(tmp_path / "a.img") as theirs:
        np.testing.assert_allclose(ours.transform, theirs.transform[:6], atol=1e-9)
        assert rasterio.crs.CRS.from_wkt(ours.crs_wkt) == theirs.crs
        assert rasterio.crs.CRS.from_wkt(ours.crs_wkt).to_epsg() == 32733


def test_gdal_reads_what_we_write(tmp_path, rng):
    rasterio = pytest.importorskip("rasterio", reason="rasterio is an optional extra")
    data = rng.random((4, 5, 3), dtype=np.float32)
    crs = rasterio.crs.CRS.from_epsg(32611).to_wkt()
    cube = Cube(data=data, georeference=Georeference((2.0, 0, 500000.0, 0, -2.0, 3.7e6), crs), nodata=-1.0)
    for interleave in ("bsq", "bil", "bip"):
        write_envi(tmp_path / "a.img", cube, interleave=interleave)
        with rasterio.open(tmp_path / "a.img") as theirs:
            np.testing.assert_array_equal(theirs.read().transpose(1, 2, 0), data)
            assert theirs.transform[:6] == cube.georeference.transform
            assert theirs.crs.to_epsg() == 32611
            assert theirs.nodata == -1


def test_the_coordinate_system_string_survives(tmp_path):
    wkt = 'PROJCS["Gauss, zone 3",GEOGCS["x"]]'
    found = georeference(tmp_path, "Gauss, 1, 1, 0, 0, 1, 1", coordinate_system_string="{" + wkt + "}")
    assert found.crs_wkt == wkt
    write_envi(tmp_path / "b.img", replace(CUBE, georeference=found))
    assert read_envi(tmp_path / "b.img").georeference == found


steps = st.floats(0.01, 1000).flatmap(lambda size: st.sampled_from([size, -size]))


@given(
    transform=st.tuples(steps, steps, st.floats(-1e7, 1e7), steps, steps, st.floats(-1e7, 1e7)).filter(
        lambda t: abs(t[0] * t[4] - t[1] * t[3]) > 1e-6
    )
)
@example((2.0, 0.0, 5.0, 0.0, -2.0, 7.0))
@example((2.0, 0.0, 5.0, 0.0, 2.0, 7.0))
@example((0.0, 3.0, 5.0, 2.0, 0.0, 7.0))
@settings(max_examples=50)
def test_every_transform_survives_even_shear(transform):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.img"
        write_envi(path, replace(CUBE, georeference=Georeference(transform)))
        size = max(map(abs, transform[:2] + transform[3:5]))
        np.testing.assert_allclose(read_envi(path).georeference.transform, transform, rtol=1e-9, atol=1e-6 * size)


def test_map_info_that_speaks_of_another_grid_is_replaced(tmp_path):
    georef = Georeference((1.0, 0.0, 10.0, 0.0, -1.0, 20.0), "", UTM)
    write_envi(tmp_path / "a.img", replace(CUBE, georeference=georef))
    assert read_envi(tmp_path / "a.img").georeference.transform == georef.transform


def test_the_finer_grid_of_a_result_starts_at_the_same_corner(tmp_path):
    coarse = georeference(tmp_path, ", ".join((*UTM, "rotation=30")))
    write_envi(tmp_path / "fine.img", replace(CUBE, georeference=coarse.scaled(8)))
    fine = read_envi(tmp_path / "fine.img").georeference
    np.testing.assert_allclose(fine.transform, coarse.scaled(8).transform, rtol=1e-12)
    np.testing.assert_allclose(fine.transform[2::3], coarse.transform[2::3], rtol=1e-12)


# --- bad input


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": None}, r"a\.hdr: 'samples' is missing; wanted a whole number"),
        ({"lines": "12a"}, r"'lines' is '12a'; wanted a whole number of at least 1"),
        ({"bands": "0"}, r"'bands' is '0'; wanted a whole number of at least 1"),
        ({"bands": "-4"}, r"'bands' is '-4'"),
        ({"bands": "9" * 5000}, r"'bands' is '9{40}\.\.\.'"),
        ({"data_type": None}, r"'data type' is missing"),
        ({"data_type": "7"}, r"'data type' is 7; wanted one of 1, 2, 3, 4, 5, 6, 9, 12, 13, 14, 15"),
        ({"interleave": None}, r"'interleave' is missing; wanted bsq, bil or bip"),
        ({"interleave": "bqs"}, r"'interleave' is 'bqs'; wanted bsq, bil or bip"),
        ({"byte_order": "2"}, r"'byte order' is 2; wanted 0 \(little endian\) or 1"),
        ({"byte_order": "Intel"}, r"'byte order' is 'Intel'; wanted a whole number"),
        ({"header_offset": "-1"}, r"'header offset' is '-1'"),
        ({"wavelength": "{400, 500, 600}"}, r"'wavelength' has 3 values; wanted 4, one per band"),
        ({"wavelength": "{400, 500, x, 700}"}, r"'wavelength' holds 'x'; wanted numbers"),
        ({"wavelength": "{400, 500, , 700}"}, r"'wavelength' holds ''; wanted numbers"),
        ({"wavelength": "{400, 500, nan, 700}"}, r"'wavelength' holds 'nan'; wanted finite numbers"),
        ({"wavelength": "{400, 500, 600"}, r"'wavelength' opens a brace that is never closed"),
        ({"bbl": "{1, 1}"}, r"'bbl' has 2 values; wanted 4"),
        ({"reflectance_scale_factor": "0"}, r"'reflectance scale factor' is 0\.0; wanted a positive number"),
        ({"data_ignore_value": "none"}, r"'data ignore value' is 'none'; wanted a number"),
        ({"map_info": "{UTM, 1, 1}"}, r"'map info' is \{UTM, 1, 1\}; wanted a projection"),
        ({"file_type": "ENVI Spectral Library"}, r"'file type' is 'ENVI Spectral Library'; wanted a flat binary image"),
        ({"file_compression": "1"}, r"'file compression' is '1'; wanted uncompressed data"),
        ({"major_frame_offsets": "{0, 64}"}, r"'major frame offsets' is '0, 64'; wanted pixels without frames"),
    ],
)
def test_a_bad_header_is_refused_with_file_key_and_what_was_found(tmp_path, changed, said):
    with pytest.raises(InputError, match=said):
        read_header(tmp_path, **changed)


def test_a_file_that_is_no_envi_header_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.hdr is no ENVI header: its first line is 'BYTEORDER I'; wanted 'ENVI'"):
        read_envi(image(tmp_path, "BYTEORDER I\nLAYOUT BIL\n"))


def test_a_truncated_file_is_refused_with_both_sizes(tmp_path):
    path = image(tmp_path, header(header_offset="8"), bytes(50))
    with pytest.raises(
        InputError, match=r"a\.img holds 50 bytes, but a\.hdr promises 56: 2 lines x 3 samples x 4 bands"
    ):
        read_envi(path)


@pytest.mark.parametrize("lines", [10**12, 10**18 - 1])
def test_a_header_of_huge_size_is_refused_before_anything_is_allocated(tmp_path, lines):
    path = image(tmp_path, header(lines=str(lines), samples="1000000"))
    with pytest.raises(InputError, match=rf"holds 48 bytes, but a\.hdr promises {lines * 8000000}:"):
        read_envi(path)


def test_a_huge_header_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(envi_header, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(InputError, match="is larger than 1000 bytes"):
        read_header(tmp_path, description="{" + "x" * 1000 + "}")


def test_a_header_that_cannot_be_opened_is_an_input_error(tmp_path):
    path = image(tmp_path, header())
    (tmp_path / "b.hdr").mkdir()
    with pytest.raises(InputError, match="cannot read the ENVI header"):
        envi_header.read_header(tmp_path / "b.hdr")
    assert read_envi(path) is not None


key_names = st.sampled_from(
    [
        *KEYS,
        *("byte order", "header offset", "wavelength", "wavelength units", "fwhm", "bbl", "map info", "quantity"),
        *("data gain values", "data offset values", "reflectance scale factor", "data ignore value", "band names"),
        *("geotransform", "coordinate system string", "acquisition time", "file type", "major frame offsets"),
    ]
)
fragments = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["1", "4", "bip", "{1,2,3,4}", "{", "}", "nan", "1e999", "-1e308", "{1e305,1,1,1}", "UTM", "m", "0"]
    ),
    st.sampled_from(
        ["9999-99-99T99:99:99", "0001-01-01T00:00:00Z", "{UTM,1,1,1e308,1,1e308,1,60,South,WGS-84,rotation}"]
    ),
    st.lists(st.floats(), min_size=4, max_size=7).map(lambda values: "{" + ",".join(map(str, values)) + "}"),
)


@given(text=st.one_of(st.text(), st.lists(st.tuples(key_names, fragments), max_size=8)))
@settings(max_examples=300)
def test_no_header_raises_anything_but_an_input_error(text):
    if not isinstance(text, str):
        text = header(data_type="1") + "".join(f"{key} = {value}\n" for key, value in text)
    with tempfile.TemporaryDirectory() as folder:
        path = image(Path(folder), "")
        path.with_suffix(".hdr").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            cube = read_envi(path)
        except InputError as err:
            said = str(err)
        else:
            said = f"a.hdr holds {cube.data.shape}"
        assert "a.hdr" in said


@given(raw=st.binary(max_size=200))
def test_no_bytes_after_the_first_line_raise_anything_but_an_input_error(raw):
    with tempfile.TemporaryDirectory() as folder:
        path = image(Path(folder), "")
        path.with_suffix(".hdr").write_bytes(b"ENVI\n" + raw)
        with pytest.raises(InputError):
            read_envi(path)


# --- the system refuses, or the process dies


def test_a_write_that_the_system_refuses_keeps_the_old_image(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of the file size are POSIX")
    write_envi(tmp_path / "a.img", CUBE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"the file is larger than .*; what was there before is untouched"):
            write_envi(tmp_path / "a.img", Cube(data=np.zeros((100, 100, 100), np.float32)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old_handler)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hdr", "a.img"]
    np.testing.assert_array_equal(read_envi(tmp_path / "a.img").data, CUBE.data)


KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
import numpy as np
from hsi_edge.cube import Cube
from hsi_edge.io.envi import write_envi
left = [int(sys.argv[2])]
plain = Path.replace
def replace(self, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return plain(self, target)
Path.replace = replace
write_envi(sys.argv[1], Cube(data=np.full((2, 3, 4), 2, np.uint16), scale_factor=2.0))
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
@pytest.mark.parametrize("renames", range(5))
def test_a_kill_between_two_renames_never_mixes_two_images(tmp_path, renames):
    path = tmp_path / "a.img"
    write_envi(path, Cube(data=np.full((2, 3, 4), 1, np.uint16), scale_factor=1.0))
    command = [sys.executable, "-c", KILLED_AT_A_RENAME, str(path), str(renames)]
    assert subprocess.run(command, timeout=60).returncode == (-signal.SIGKILL if renames < 4 else 0)
    try:
        cube = read_envi(path)
    except InputError:
        assert 0 < renames < 4  # absent
        return
    assert cube.scale_factor == cube.data[0, 0, 0]
    assert cube.scale_factor == (1 if renames < 4 else 2)


# --- real files


def real(shared_data: Path, name: str) -> Cube:
    path = shared_data / "formats" / name
    if not path.is_file():
        pytest.skip(f"research data is not here: formats/{name}")
    return read_envi(path)


@pytest.mark.parametrize("ending", ["hdr", "raw"])
def test_a_real_image_without_byte_order_is_little_endian(shared_data, ending):
    cube = real(shared_data, f"corn-kernel-hyperspectral.{ending}")
    assert cube.data.shape == (31, 43, 580)
    assert cube.data.dtype == np.dtype("<u2")
    assert cube.wavelengths_nm[[0, -1]].tolist() == [366.551, 1048.421]
    spectra = cube.data[...].astype(float)
    # Neighbouring bands are alike; swapped bytes or axes would be noise.
    assert np.corrcoef(spectra[:, :, 300].ravel(), spectra[:, :, 301].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", ["darkReference", "darkReference.hdr"])
def test_a_real_data_file_without_an_ending_is_found(shared_data, name):
    cube = real(shared_data, name)
    assert cube.data.shape == (1, 1600, 978)
    assert cube.wavelengths_nm[0] == 379.027
    assert 0 < np.median(cube.data) < 4096


def test_a_real_header_in_volts_has_band_names_and_no_wavelengths(shared_data):
    cube = real(shared_data, "house_crop_4b_RAW.hdr")
    assert cube.data.shape == (400, 400, 4)
    assert cube.wavelengths_nm is None
    assert cube.fwhm_nm is None
    assert cube.band_names == ("0.000000 SP1", "0.556162 SP1", "0.589708 SP1", "0.625901 SP1")
