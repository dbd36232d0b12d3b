from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from apps import salton_sea
from hsi_edge.io import read
from hsi_edge.quality import rmse

FRAME_BANDS_NM = (650.0, 550.0, 460.0)


@pytest.fixture(scope="module")
def frame():
    return read(salton_sea.SAMPLES / "frame.hdr")


@pytest.fixture(scope="module")
def photo():
    return np.asarray(read(salton_sea.SAMPLES / "orthophoto.png").data)


@pytest.fixture(scope="module")
def registration():
    return salton_sea.read_registration(salton_sea.SAMPLES)


@pytest.fixture(scope="module")
def straight_rgb(frame, registration):
    """The straightened frame's red, green and blue."""
    bands = [int(np.abs(frame.wavelengths_nm - nm).argmin()) for nm in FRAME_BANDS_NM]
    return np.asarray(salton_sea.straightened(frame.select_bands(bands), registration.displacement).data)


def correlation(straight_rgb, photo, photo_from_frame):
    """Mean correlation of the frame's colours with those of the photo, averaged over the frame's pixels."""
    rows, cols = straight_rgb.shape[:2]
    on_grid = salton_sea.photo_on_grid(photo, photo_from_frame, rows, cols, 1)
    return np.mean([np.corrcoef(straight_rgb[..., k].ravel(), on_grid[..., k].ravel())[0, 1] for k in range(3)])


def moved(photo_from_frame, dx, dy):
    """The transform after a shift of the frame by `(dx, dy)` frame pixels."""
    return photo_from_frame @ np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]])


def test_frame_is_reflectance_with_wavelengths_in_nanometres(frame):
    assert (frame.rows, frame.cols, frame.n_bands) == (51, 56, 224)
    assert frame.quantity == "reflectance"
    assert frame.wavelengths_nm[[0, -1]] == pytest.approx([365.9137, 2496.2237], abs=1e-3)
    assert frame.scale_factor == 10_000


def test_flagged_bands_hold_no_measurement_and_the_others_do(frame):
    values = frame.physical()
    assert frame.bad_bands.sum() == 20
    assert np.isnan(values[:, :, frame.bad_bands]).all()
    good = values[:, :, ~frame.bad_bands]
    assert good.min() >= 0
    assert good.max() == pytest.approx(0.6944, abs=1e-4)


def test_photo_is_8_bit_colour(photo):
    assert photo.shape == (674, 738, 3)
    assert photo.dtype == np.uint8


def test_published_registration_makes_photo_and_frame_agree(straight_rgb, photo, registration):
    assert correlation(straight_rgb, photo, registration.photo_from_frame) > 0.96


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
def test_half_a_frame_pixel_off_agrees_less(straight_rgb, photo, registration, dx, dy):
    published = correlation(straight_rgb, photo, registration.photo_from_frame)
    assert correlation(straight_rgb, photo, moved(registration.photo_from_frame, dx, dy)) < published - 0.004


def test_frame_as_measured_agrees_less_than_straightened(frame, straight_rgb, photo, registration):
    bands = [int(np.abs(frame.wavelengths_nm - nm).argmin()) for nm in FRAME_BANDS_NM]
    bent = frame.select_bands(bands).physical()
    published = correlation(straight_rgb, photo, registration.photo_from_frame)
    assert correlation(bent, photo, registration.photo_from_frame) < published - 0.01


def test_photo_covers_the_whole_frame(photo, registration, frame):
    everywhere = np.full_like(photo, 255)
    on_grid = salton_sea.photo_on_grid(everywhere, registration.photo_from_frame, frame.rows, frame.cols, 8)
    assert (on_grid == 255).all()


def test_photo_pixel_is_the_mean_over_its_area():
    stripes = np.zeros((24, 24, 3), np.uint8)
    stripes[:, ::2] = 200
    to_pairs_of_pixels = np.array([[4.0, 0, 0], [0, 4.0, 0]])
    on_grid = salton_sea.photo_on_grid(stripes, to_pairs_of_pixels, 6, 6, 2)
    assert np.abs(on_grid[1:-1, 1:-1].astype(int) - 100).max() <= 1


def test_photo_at_its_own_scale_is_left_where_it_is(photo):
    crop = cv2.GaussianBlur(photo[:40, :48], (0, 0), 2)
    on_grid = salton_sea.photo_on_grid(crop, np.eye(3)[:2], 40, 48, 1)
    inner = (slice(1, -1), slice(1, -1))
    assert np.abs(on_grid[inner].astype(int) - crop[inner]).max() <= 3


def test_demo_writes_a_sharp_cube_that_keeps_the_measured_spectra(frame, registration, tmp_path, capsys):
    salton_sea.main(tmp_path)

    fused = read(tmp_path / "fused.hdr")
    assert (fused.rows, fused.cols, fused.n_bands) == (408, 448, 68)
    bands = salton_sea.visible_and_near_infrared(frame)
    measured = salton_sea.straightened(bands, registration.displacement)
    assert rmse(salton_sea.seen_by_frame(fused, 8, psf_fwhm_px=8.0), np.asarray(measured.data)) < 0.001
    within_a_frame_pixel = np.asarray(fused.data).reshape(51, 8, 56, 8, 68).std(axis=(1, 3)).mean()
    assert within_a_frame_pixel > 0.012

    assert json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "report.html").stat().st_size > 0
    assert cv2.imread(str(tmp_path / "comparison.png")).shape == (816 + 40, 3 * 896, 3)
    assert "comparison.png" in capsys.readouterr().out
