from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from apps import salton_sea
from hsi_edge.io import read
from hsi_edge.quality import rmse
from hsi_edge.registration.calibrate import calibrate
from hsi_edge.registration.rig import read_rig


@pytest.fixture(scope="module")
def frame():
    return read(salton_sea.SAMPLES / "frame.hdr")


@pytest.fixture(scope="module")
def photo():
    return read(salton_sea.SAMPLES / "orthophoto.png")


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
    assert photo.data.shape == (674, 738, 3)
    assert photo.data.dtype == np.uint8


def test_the_frame_without_its_bend_lies_where_the_publisher_put_it(frame, photo):
    """Published: 10.5 photo pixels per frame pixel, turned by -0.7 degrees; here as 2 x 3 numbers of transform.yaml."""
    rig = calibrate([(frame, photo)]).rig
    corners = np.array([[0.0, 0], [56, 0], [0, 51], [56, 51]])
    published = np.array([[10.511953, 0.130008, 82.792690], [-0.130170, 10.498846, 44.271778]])
    wanted = corners @ published[:, :2].T + published[:, 2]
    assert np.linalg.norm(rig.msi_points(corners) - wanted, axis=1).max() < 0.3 * 10.5


def test_demo_registers_by_itself_and_writes_a_sharp_cube_that_keeps_the_measured_spectra(frame, tmp_path, capsys):
    salton_sea.main(tmp_path)

    rig = read_rig(tmp_path / "rig.yaml")
    assert (rig.lr_shape, rig.msi_shape) == ((51, 56), (674, 738))
    assert 1 < np.abs(rig.bend).max() < 4
    fused = read(tmp_path / "fused.hdr")
    assert (fused.rows, fused.cols, fused.n_bands) == (408, 448, 68)
    measured = salton_sea.visible_and_near_infrared(frame)
    assert rmse(salton_sea.seen_by_frame(fused, 8, psf_fwhm_px=8.0), np.asarray(measured.data)) < 0.001
    within_a_frame_pixel = np.asarray(fused.data).reshape(51, 8, 56, 8, 68).std(axis=(1, 3)).mean()
    assert within_a_frame_pixel > 0.012

    assert json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "report.html").stat().st_size > 0
    assert cv2.imread(str(tmp_path / "comparison.png")).shape == (816 + 40, 3 * 896, 3)
    assert "comparison.png" in capsys.readouterr().out
