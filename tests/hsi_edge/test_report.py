"""The report: what its files hold, how its pictures are made, which pixels it shows."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, OutputError
from hsi_edge.png import encode_png
from hsi_edge.report import false_colour, rgb_bands, stretch_limits, write_report
from hsi_edge.report.pictures import fit_to_page, most_detailed
from hsi_edge.report.spectra import pixel_spectra
from hsi_edge.run_report import RunReport

RATIO = 4
WAVELENGTHS_NM = np.linspace(400.0, 700.0, 7)


@pytest.fixture
def hr_data():
    return np.random.default_rng(3).uniform(0.0, 1.0, (24, 32, 7)).astype(np.float32)


@pytest.fixture
def lr_data(hr_data):
    return hr_data.reshape(6, RATIO, 8, RATIO, 7).mean(axis=(1, 3))


@pytest.fixture
def run_report():
    return RunReport(
        bundle="pzres-vis7-x4",
        network="pzres",
        ratio=RATIO,
        base="regression",
        backend="openvino",
        precision="fp32",
        device="a <small> CPU",
        statistics="reduced",
        tile=(16, 16),
        n_tiles=4,
        lr_shape=(6, 8, 7),
        msi_shape=(24, 32, 3),
        masked_lr_px=2,
        masked_msi_px=1,
        timings_ms={"prepare": 1.0, "statistics": 2.0, "tiles": 1200.0, "total": 1203.0},
        planned_bytes=5 << 20,
        warnings=("2 LR pixels are not finite & masked",),
    )


@pytest.fixture
def write(tmp_path, run_report, lr_data, hr_data):
    def write(wavelengths_nm=WAVELENGTHS_NM, lr=lr_data, hr=hr_data, hr_msi=None, report=run_report):
        cubes = [Cube(data=data, wavelengths_nm=wavelengths_nm, quantity="reflectance") for data in (lr, hr)]
        paths = write_report(
            tmp_path / "report",
            report=report,
            lr_hsi=cubes[0],
            hr_hsi=cubes[1],
            hr_msi=hr_msi,
            files={"lr_hsi": "a.tif"},
        )
        return json.loads(paths[0].read_text()), paths[1].read_text(encoding="utf-8")

    return write


def embedded_pictures(html):
    """The pictures as (rows, cols, RGB)."""
    from base64 import b64decode

    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [cv2.imdecode(np.frombuffer(b64decode(text), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1] for text in found]


def test_json_holds_all_that_the_engine_says_and_what_it_ran_on(write, run_report):
    facts, _ = write()
    stated = json.loads(json.dumps(asdict(run_report)))
    assert {name: facts[name] for name in stated} == stated
    assert facts["wavelengths_nm"] == WAVELENGTHS_NM.tolist()
    assert facts["hr_shape"] == [24, 32, 7]
    assert facts["files"] == {"lr_hsi": "a.tif"}
    assert {"hsi_edge", "python", "numpy"} <= facts["versions"].keys()
    assert facts["peak_memory_bytes"] > 10 << 20


def test_page_loads_nothing_from_elsewhere_and_runs_no_script(write, hr_data):
    _, html = write(hr_msi=hr_data[:, :, :3])
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', html) == []
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", html)


def test_page_names_what_a_reader_looks_for(write, hr_data):
    _, html = write(hr_msi=hr_data[:, :, :3])
    text = re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*</style>", "", html, flags=re.DOTALL))
    for wanted in ("openvino fp32", "16 × 16", "reduced", "1.2 s", "masked: 2 px", "wavelength (nm)", "reflectance"):
        assert wanted in text


@pytest.mark.parametrize(
    ("network", "base", "words"),
    [
        ("pzres", "regression", "pzres over a regression base"),
        ("fieldfuse", "subspace", "fieldfuse on the frame&#x27;s own components"),
        ("ssrnet", "none", "(ssrnet)"),
        ("regression", "regression", "(regression)"),
    ],
)
def test_page_tells_what_the_network_works_on(write, run_report, network, base, words):
    html = write(report=replace(run_report, network=network, base=base))[1]
    assert words in html


def test_page_and_json_tell_the_displacement_and_the_noise_where_they_were_looked_for(write, run_report):
    found = replace(run_report, translation_px=(0.25, -1.5), lr_noise=0.00412, msi_noise=0.0051)
    facts, html = write(report=found)
    assert "HR-MSI by +0.25 rows, -1.50 columns, in HR pixels" in html
    assert "LR-HSI 0.0041, HR-MSI 0.0051 of the frame" in html
    assert (facts["translation_px"], facts["lr_noise"], facts["msi_noise"]) == ([0.25, -1.5], 0.00412, 0.0051)
    facts, html = write(report=run_report)
    assert "displacement" not in html
    assert facts["translation_px"] is None


def test_texts_are_escaped_in_the_page(write):
    _, html = write()
    assert "a &lt;small&gt; CPU" in html
    assert "not finite &amp; masked" in html


def test_every_picture_has_an_alternative_text(write, hr_data):
    _, html = write(hr_msi=hr_data[:, :, :3])
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) == 6
    assert all(re.search(r'alt="[^"]+"', image) for image in images)
    assert html.count('role="img" aria-label="') == 4


def test_the_frame_before_is_shown_in_the_same_size_and_stretch_as_after(write, lr_data, hr_data):
    constant_hr = lr_data.repeat(RATIO, axis=0).repeat(RATIO, axis=1)
    _, html = write(hr=constant_hr)
    before, after, *_ = embedded_pictures(html)
    np.testing.assert_array_equal(before, after)


def test_frames_without_wavelengths_photograph_or_valid_pixels_are_reported(write, lr_data, hr_data):
    facts, html = write(None, np.full_like(lr_data, np.nan), np.full_like(hr_data, np.nan))
    assert facts["wavelengths_nm"] is None
    assert len(embedded_pictures(html)) == 4
    assert "<h2>Spectra</h2>" not in html


def test_a_frame_of_one_pixel_and_one_band_is_reported(write, run_report):
    data = np.ones((1, 1, 1), np.float32)
    _, html = write(None, data, data, report=replace(run_report, ratio=1, lr_shape=(1, 1, 1)))
    assert html.count('role="img"') == 1


def test_a_report_that_cannot_be_written_says_so(tmp_path, run_report, lr_data, hr_data):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot make the report's folder .*taken.*choose another place"):
        write_report(
            tmp_path / "taken", report=run_report, lr_hsi=Cube(data=lr_data), hr_hsi=Cube(data=hr_data), hr_msi=None
        )


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12).map(lambda shape: (*shape, 3))))
def test_png_is_read_back_bit_for_bit(rgb):
    decoded = cv2.imdecode(np.frombuffer(encode_png(rgb), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[:, :, ::-1], rgb)


def test_png_of_a_strided_view_is_that_of_its_copy():
    rgb = np.random.default_rng(0).integers(0, 256, (9, 8, 6), np.uint8)[::2, ::-1, ::2]
    assert encode_png(rgb) == encode_png(rgb.copy())


@pytest.mark.parametrize("rgb", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_png_of_anything_but_rgb_bytes_is_refused(rgb):
    with pytest.raises(InputError, match=r"\(rows, cols, 3\) of uint8, not empty; got"):
        encode_png(rgb)


def test_false_colour_shows_red_green_and_blue_wavelengths():
    assert rgb_bands(7, WAVELENGTHS_NM) == (5, 3, 1)
    assert rgb_bands(7, WAVELENGTHS_NM[::-1]) == (1, 3, 5)


def test_false_colour_of_an_infrared_sensor_shows_three_different_bands():
    assert rgb_bands(6, np.linspace(900.0, 1700.0, 6)) == (5, 3, 1)


def test_false_colour_leaves_out_bad_bands():
    bad = np.array([False, False, False, False, False, True, False])
    assert rgb_bands(7, WAVELENGTHS_NM, bad)[0] != 5


def test_false_colour_stretches_from_the_2nd_to_the_98th_percentile():
    data = np.arange(101, dtype=np.uint16).reshape(1, 101, 1)
    picture = false_colour(data, None)[0, :, 0]
    assert (picture[2], picture[50], picture[98]) == (0, 128, 255)
    np.testing.assert_array_equal(stretch_limits(data, None), [[2.0, 98.0]] * 3)


def test_false_colour_is_the_same_twice_and_leaves_its_input_alone(hr_data):
    hr_data[0, 0] = np.nan
    before = hr_data.copy()
    first, second = (false_colour(hr_data, WAVELENGTHS_NM) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(hr_data, before)
    assert not first[0, 0].any()


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)
def test_false_colour_takes_any_numbers(data):
    assert false_colour(data, None).shape == (*data.shape[:2], 3)


@pytest.mark.parametrize("shape", [(4, 5), (0, 5, 3)])
def test_false_colour_of_no_spectral_image_is_refused(shape):
    with pytest.raises(InputError, match=r"\(rows, cols, bands\), not empty; got shape"):
        false_colour(np.zeros(shape), None)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((24, 32), (432, 576)), ((800, 700), (800, 700)), ((4096, 2048), (1365, 682)), ((1, 4000), (1, 1333))],
)
def test_pictures_are_brought_to_the_size_of_a_page(shape, shown):
    assert fit_to_page(np.zeros((*shape, 3), np.uint8)).shape[:2] == shown


def test_a_reduced_picture_holds_the_means():
    rgb = np.zeros((3200, 2, 3), np.uint8)
    rgb[1::2] = 100
    assert (fit_to_page(rgb) == 50).all()


def test_the_part_shown_closer_is_where_the_detail_is():
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[36:44:2, 20:28] = 255
    rows, cols = most_detailed(rgb, RATIO)
    assert (rows.stop - rows.start, cols.stop - cols.start) == (16, 16)
    assert rows.start % RATIO == cols.start % RATIO == 0
    assert rows.start <= 36
    assert rows.stop >= 44
    assert cols.start <= 20
    assert cols.stop >= 28


def test_pixels_shown_have_unlike_spectra():
    lr = np.zeros((8, 8, 7), np.float32)
    lr[:4, :4, 2], lr[:4, 4:, 4], lr[4:, :4, 6] = 1.0, 1.0, 1.0
    found = pixel_spectra(lr, Cube(data=lr), ratio=1)
    assert {(pixel.row < 4, pixel.col < 4) for pixel in found} == {(a, b) for a in (True, False) for b in (True, False)}


def test_a_pixel_shows_its_centre_and_the_mean_over_its_footprint(lr_data, hr_data):
    for pixel in pixel_spectra(lr_data, Cube(data=hr_data), RATIO):
        np.testing.assert_allclose(pixel.hr_mean, lr_data[pixel.row, pixel.col], rtol=1e-5)
        np.testing.assert_array_equal(pixel.hr_centre, hr_data[pixel.row * RATIO + 2, pixel.col * RATIO + 2])


def test_pixels_without_a_measurement_are_not_shown(lr_data, hr_data):
    lr_data[:, 1:, 3] = np.nan
    found = pixel_spectra(lr_data, Cube(data=hr_data), RATIO)
    assert len(found) == 4
    assert {pixel.col for pixel in found} == {0}
