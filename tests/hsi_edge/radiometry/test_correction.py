"""From DN to reflectance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.radiometry import Radiometry, RadiometrySettings
from hsi_edge.radiometry.settings import (
    BlackLevel,
    DarkFrames,
    FlatField,
    LensShading,
    Panel,
    PolynomialVignetting,
    WhiteFrames,
)
from hsi_edge.sensors.frame import SensorFrame
from tests.tiny_bundles import regression_manifest, write_tiny_bundle

NM = np.array([450.0, 550.0, 650.0])
SHAPE = (12, 16, 3)


def frame_of(data, **known):
    data = np.asarray(data)
    nm = NM if data.shape[2] == len(NM) else None
    return SensorFrame(data=data, timestamp_ns=7, sequence=0, arrival_ns=0, wavelengths_nm=nm, **known)


def level(*values):
    return BlackLevel(dark="level", level=values)


@pytest.fixture
def saved(tmp_path):
    def save(name, data):
        path = tmp_path / f"{name}.npy"
        np.save(path, np.asarray(data))
        return str(path)

    return save


def test_without_settings_a_frame_passes_through_uncopied(rng):
    frame = frame_of(rng.integers(0, 255, SHAPE, np.uint8))
    cube = Radiometry(RadiometrySettings()).apply(frame)
    assert cube.data is frame.data
    assert cube.quantity == "dn"
    assert cube.timestamp_ns == 7
    np.testing.assert_array_equal(cube.wavelengths_nm, NM)


@given(
    dark=st.floats(0, 200),
    exposure_us=st.floats(100, 1e4),
    white_exposure_us=st.floats(100, 1e4),
    gain=st.floats(1, 16),
    white_reflectance=st.floats(0.1, 1.2),
)
def test_reflectance_comes_back_whatever_the_exposures_and_gains(
    tmp_path_factory, dark, exposure_us, white_exposure_us, gain, white_reflectance
):
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 1.5, SHAPE)
    sensitivity = rng.uniform(0.5, 2, SHAPE)
    folder = tmp_path_factory.mktemp("white")

    def seen(reflectance, exposure, amplified):
        return (reflectance * sensitivity * exposure * amplified + dark).astype(np.float32)

    np.save(folder / "white.npy", seen(white_reflectance, white_exposure_us, 2.0))
    white = WhiteFrames(
        white="frames",
        files=(str(folder / "white.npy"),),
        reflectance=(white_reflectance,),
        exposure_us=white_exposure_us,
        gain=2.0,
    )
    radiometry = Radiometry(RadiometrySettings(dark=level(dark), white=white))
    cube = radiometry.apply(frame_of(seen(truth, exposure_us, gain), exposure_us=exposure_us, gain=gain))
    assert cube.quantity == "reflectance"
    assert cube.data.dtype == np.float32
    np.testing.assert_allclose(cube.data, truth, rtol=1e-3, atol=2e-4 * (1 + dark / 50))


def test_noise_below_the_dark_stays_negative_and_nothing_is_clipped(saved):
    white = WhiteFrames(white="frames", files=(saved("white", np.full(SHAPE, 110, np.uint16)),))
    data = np.full(SHAPE, 8, np.uint16)
    data[0, 0] = 210
    cube = Radiometry(RadiometrySettings(dark=level(10.0), white=white)).apply(frame_of(data))
    assert cube.data[1, 1, 0] == pytest.approx(-0.02)
    assert cube.data[0, 0, 0] == pytest.approx(2.0)


def test_a_dark_current_grows_with_the_exposure_where_the_files_show_it(saved):
    files = (saved("short", np.full(SHAPE, 102, np.uint16)), saved("long", np.full(SHAPE, 120, np.uint16)))
    dark = DarkFrames(dark="frames", files=files, exposures_us=(1000.0, 10000.0))
    radiometry = Radiometry(RadiometrySettings(dark=dark))
    cube = radiometry.apply(frame_of(np.full(SHAPE, 150, np.uint16), exposure_us=5000.0))
    np.testing.assert_allclose(cube.data, 40, atol=1e-3)
    with pytest.raises(InputError, match=r"the exposure of the frame is unknown.*dark\.exposures_us"):
        radiometry.apply(frame_of(np.full(SHAPE, 150, np.uint16)))


def test_a_dark_line_serves_every_row_of_a_line_scanner(saved):
    line = np.arange(16 * 3, dtype=np.uint16).reshape(1, 16, 3)
    radiometry = Radiometry(RadiometrySettings(dark=DarkFrames(dark="frames", files=(saved("line", line),))))
    np.testing.assert_array_equal(radiometry.apply(frame_of(np.repeat(line, 12, 0))).data, 0)


def test_hot_pixels_are_found_in_the_dark_frame_and_listed_ones_added(saved, rng):
    dark = rng.normal(100, 2, (40, 50, 3)).astype(np.float32)
    dark[5, 6, 1] = 160
    dark[7, 8] = 160
    found = DarkFrames(dark="frames", files=(saved("dark", dark),), hot_deviations=10.0)
    settings = RadiometrySettings(dark=found, bad_pixels=((0, 1), (2, 3, 2)))
    cube = Radiometry(settings).apply(frame_of(np.full((40, 50, 3), 500, np.uint16)))
    expected = np.zeros((40, 50, 3), bool)
    expected[5, 6, 1] = expected[7, 8] = expected[0, 1] = expected[2, 3, 2] = True
    np.testing.assert_array_equal(np.isnan(cube.data), expected)
    np.testing.assert_array_equal(cube.mask, ~expected.all(axis=2))


def test_a_dead_pixel_of_the_white_frame_is_no_measurement(saved):
    data = np.full(SHAPE, 1000, np.uint16)
    data[4, 5, 0] = 30
    white = WhiteFrames(white="frames", files=(saved("white", data),))
    cube = Radiometry(RadiometrySettings(white=white)).apply(frame_of(np.full(SHAPE, 500, np.uint16)))
    assert np.isnan(cube.data[4, 5, 0])
    assert np.isnan(cube.data).sum() == 1
    np.testing.assert_allclose(cube.data[4, 5, 1:], 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_saturated_values_are_missing_in_their_band_and_masked_where_all_are(dtype):
    data = np.full(SHAPE, 20, dtype)
    data[1, 2, 0] = 250
    data[3, 4] = 255
    mask = np.ones(SHAPE[:2], bool)
    mask[9, 9] = False
    cube = Radiometry(RadiometrySettings(dark=level(1.0), saturation_level=250.0)).apply(frame_of(data, mask=mask))
    assert np.isnan(cube.data[1, 2]).tolist() == [True, False, False]
    assert np.isnan(cube.data).sum() == 4
    assert np.argwhere(~cube.mask).tolist() == [[3, 4], [9, 9]]
    assert mask.sum() == mask.size - 1


def test_the_engine_takes_the_output_and_leaves_the_bad_pixels_out(tmp_path, saved, rng):
    bundle = write_tiny_bundle(tmp_path / "bundle", regression_manifest(2))
    white = WhiteFrames(white="frames", files=(saved("white", np.full((8, 8, 3), 990, np.uint16)),))
    settings = RadiometrySettings(dark=level(100.0), white=white, saturation_level=1000.0)
    data = rng.integers(200, 900, (8, 8, 3), np.uint16)
    data[2, 3, 1] = 1023
    with HSIEngine(bundle.path) as engine:
        result = engine.run(Radiometry(settings).apply(frame_of(data)), rng.random((16, 16, 3), np.float32))
    invalid = np.isnan(result.physical()).any(axis=2)
    assert invalid[4:6, 6:8].all()
    assert invalid.sum() == 4
    assert result.quantity == "reflectance"


def test_polynomial_vignetting_is_undone():
    rows, cols = np.mgrid[:40, :60]
    lens = LensShading(centre_x_px=31.5, centre_y_px=18.0, coefficients=(-1e-3, -2e-5, 0.0, 1e-9, 0.0, 0.0))
    radius = np.hypot(rows - 18.0, cols - 31.5)
    seen = 1000 * (1 - 1e-3 * radius - 2e-5 * radius**2 + 1e-9 * radius**4) + 50
    vignetting = PolynomialVignetting(vignetting="polynomial", lenses=(lens,))
    cube = Radiometry(RadiometrySettings(dark=level(50.0), vignetting=vignetting)).apply(
        frame_of(np.repeat(seen[:, :, None], 3, 2).astype(np.float32))
    )
    np.testing.assert_allclose(cube.data, 1000, rtol=1e-5)


def test_a_flat_field_makes_an_even_surface_even_and_keeps_its_mean(saved, rng):
    shape = rng.uniform(0.5, 1, SHAPE).astype(np.float32)
    flat = FlatField(vignetting="flat_field", files=(saved("flat", shape * 3000 + 20),))
    cube = Radiometry(RadiometrySettings(dark=level(20.0), vignetting=flat)).apply(frame_of(shape * 800 + 20))
    np.testing.assert_allclose(cube.data, np.broadcast_to(shape.mean((0, 1)) * 800, SHAPE), rtol=1e-4)


@pytest.mark.parametrize(
    ("dark", "white", "problem"),
    [
        ((12, 15, 3), SHAPE, r"the dark signal is for 12 x 15 pixels with 3 bands; the frame has 12 x 16"),
        (SHAPE, (12, 16, 2), "the list white.reflectance is for|the dark signal is for"),
    ],
)
def test_calibration_frames_of_another_size_are_refused(saved, dark, white, problem):
    settings = RadiometrySettings(
        dark=DarkFrames(dark="frames", files=(saved("dark", np.zeros(dark, np.uint16)),)),
        white=WhiteFrames(white="frames", files=(saved("white", np.full(white, 9, np.uint16)),)),
    )
    with pytest.raises(InputError, match=problem):
        Radiometry(settings)


def test_a_frame_of_another_size_than_the_white_is_refused(saved):
    white = WhiteFrames(white="frames", files=(saved("white", np.full(SHAPE, 9, np.uint16)),))
    with pytest.raises(InputError, match=r"white reference is for 12 x 16 .*the frame has 12 x 17"):
        Radiometry(RadiometrySettings(white=white)).apply(frame_of(np.ones((12, 17, 3), np.uint16)))


def test_swapped_dark_and_white_are_told(saved):
    settings = RadiometrySettings(
        dark=DarkFrames(dark="frames", files=(saved("dark", np.full(SHAPE, 900, np.uint16)),)),
        white=WhiteFrames(white="frames", files=(saved("white", np.full(SHAPE, 90, np.uint16)),)),
    )
    with pytest.raises(InputError, match="the dark signal is brighter than the white in band 0"):
        Radiometry(settings)


def test_a_white_frame_that_is_saturated_is_told(saved):
    white = WhiteFrames(white="frames", files=(saved("white", np.full(SHAPE, 255, np.uint8)),))
    with pytest.raises(InputError, match="all of the white reference is saturated in band 0"):
        Radiometry(RadiometrySettings(white=white, saturation_level=255.0))


@pytest.mark.parametrize(
    ("of_white", "of_frame", "problem"),
    [(1000.0, None, "the frame's exposure_us is unknown"), (None, 1000.0, "the white reference's is unknown")],
)
def test_an_exposure_that_is_known_of_one_alone_is_an_error(saved, of_white, of_frame, problem):
    white = WhiteFrames(white="frames", files=(saved("white", np.full(SHAPE, 9, np.uint16)),), exposure_us=of_white)
    with pytest.raises(InputError, match=problem):
        Radiometry(RadiometrySettings(white=white)).apply(frame_of(np.ones(SHAPE, np.uint16), exposure_us=of_frame))


def test_what_is_reflectance_already_is_not_corrected_again():
    frame = frame_of(np.ones(SHAPE, np.float32), quantity="reflectance")
    with pytest.raises(InputError, match="reflectance already"):
        Radiometry(RadiometrySettings(dark=level(1.0))).apply(frame)


def test_the_dark_frame_of_a_line_scanner_is_read_and_fits_its_own_frames_alone(shared_data):
    dark = DarkFrames(dark="frames", files=(str(shared_data / "formats" / "darkReference.hdr"),), hot_deviations=12.0)
    radiometry = Radiometry(RadiometrySettings(dark=dark))
    line = np.asarray(read(shared_data / "formats" / "darkReference.hdr").data[...])
    scan = (np.repeat(line, 3, 0) + 100).astype(np.uint16)
    cube = radiometry.apply(SensorFrame(data=scan, timestamp_ns=0, sequence=0, arrival_ns=0))
    good = np.isfinite(cube.data)
    assert (cube.data[good] == 100).all()
    assert 0.99 < good.mean() < 1
    corn = read(shared_data / "formats" / "corn-kernel-hyperspectral.hdr")
    kernels = SensorFrame(data=np.array(corn.data[...]), timestamp_ns=0, sequence=0, arrival_ns=0)
    with pytest.raises(InputError, match=r"1 x 1600 pixels with 978 bands; the frame has 31 x 43 pixels with 580"):
        radiometry.apply(kernels)


def test_a_real_dark_layer_serves_every_band(shared_data, saved):
    layers = np.asarray(read(shared_data / "formats" / "house_crop_4b_RAW.hdr").data[...])
    dark = DarkFrames(dark="frames", files=(saved("dark", layers[:, :, :1]),), hot_deviations=8.0)
    cube = Radiometry(RadiometrySettings(dark=dark)).apply(frame_of(np.ascontiguousarray(layers[:, :, 1:])))
    assert 0 < (~cube.mask).mean() < 1e-3
    np.testing.assert_allclose(
        cube.data[cube.mask], layers[cube.mask][:, 1:].astype(float) - layers[cube.mask][:, :1], atol=1e-3
    )


def test_vegetation_of_a_drone_frame_has_its_red_edge_by_a_panel_that_is_found(shared_data, saved):
    sensors = shared_data / "sensors"
    with np.load(sensors / "rededge_IMG_0000.npz") as panel, np.load(sensors / "rededge_IMG_0007.npz") as flight:
        order = np.argsort(panel["wavelength_nm"])
        panel_frame = np.moveaxis(panel["raw12"][order], 0, 2)
        data = np.ascontiguousarray(np.moveaxis(flight["raw12"][order], 0, 2))
    white = Panel(white="panel", files=(saved("panel", panel_frame),), reflectance=(0.5,), registered=False)
    radiometry = Radiometry(RadiometrySettings(dark=level(300.0), white=white, saturation_level=4095.0))
    # The panel as seen by eye, per band (475, 560, 668, 717, 840 nm): first and last row and column.
    seen = [
        (310, 485, 498, 665),
        (320, 495, 528, 695),
        (270, 442, 545, 710),
        (290, 465, 500, 662),
        (260, 436, 510, 676),
    ]
    for region, (top, bottom, left, right) in zip(radiometry.panel_regions, seen, strict=True):
        assert top <= region.first_row < region.end_row <= bottom
        assert left <= region.first_col < region.end_col <= right
        assert (region.end_row - region.first_row) * (region.end_col - region.first_col) > 0.5 * 170 * 165
    cube = radiometry.apply(SensorFrame(data=data, timestamp_ns=0, sequence=0, arrival_ns=0))
    vines = np.nanmedian(cube.data[500:800, 100:700], axis=(0, 1))
    assert vines[4] > 3 * vines[2]
    assert vines[1] > vines[2]
    assert np.isnan(cube.data).any(axis=2).mean() < 0.01
