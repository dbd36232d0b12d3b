"""Choosing among bundles: the list of a folder, and which of them a sensor's frames fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsi_edge import cli
from hsi_edge.bundle import write_bundle
from hsi_edge.catalogue import describe_bundles, fit, holds_bundles
from hsi_edge.cube import Cube
from hsi_edge.io import write
from hsi_edge.manifest import Bands, Cost, Msi
from tests.tiny_bundles import regression_manifest, subspace_manifest

VISIBLE_NM = (450.0, 550.0, 650.0)
MEANS = {"pair": "realistic", "scene": "mean over scenes", "psnr_db": 41.26, "sam_deg": 2.04}
FREE = regression_manifest(2, name="free-x2")
VISIBLE = regression_manifest(
    2,
    name="visible-x2",
    bands=Bands(wavelengths_nm=VISIBLE_NM),
    msi=Msi(bands=3),
    cost=Cost(parameters=1000, macs_per_px=10_000.0),
    accuracy=(MEANS,),
    advice="Take it for visible light.",
)


def frame(wavelengths_nm=VISIBLE_NM, *, side=6, quantity="reflectance"):
    n_bands = len(wavelengths_nm)
    return Cube(
        data=np.ones((side, side, n_bands), np.float32), wavelengths_nm=np.array(wavelengths_nm), quantity=quantity
    )


def photo(side=12, n_bands=3):
    return Cube(data=np.ones((side, side, n_bands), np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bundles").mkdir()
    write_bundle(tmp_path / "bundles" / "visible-x2", VISIBLE, {})
    write_bundle(tmp_path / "bundles" / "free-x2.zip", FREE, {})
    return tmp_path / "bundles"


def test_a_folder_of_bundles_is_listed_with_what_each_takes_costs_and_reaches(folder):
    lines = describe_bundles(folder).splitlines()
    assert lines[0] == f"{folder}: 2 model bundles"
    assert lines[1].split() == ["name", "takes", "ratio", "bands", "GMAC", "PSNR", "/", "SAM", "advice"]
    assert lines[2].split("  ")[1] == "visible-x2"  # measured ones first
    for words in ("LR-HSI and RGB", "3, 450 to 650 nm", "2.62", "41.3 dB / 2.0 deg", "Take it for visible light."):
        assert words in lines[2]
    assert "any" in lines[3]


def test_a_damaged_bundle_is_named_and_the_others_are_listed(folder):
    (folder / "visible-x2" / "manifest.yaml").write_text("schema: 1\n")
    text = describe_bundles(folder)
    assert "1 model bundles" in text
    assert "free-x2" in text
    assert "damaged: " in text


def test_a_folder_without_bundles_is_not_taken_for_one(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"not a zip")
    (tmp_path / "band01.png").write_bytes(b"")
    assert not holds_bundles(tmp_path)
    assert not holds_bundles(tmp_path / "band01.png")


@pytest.mark.parametrize(
    ("manifest", "lr_hsi", "hr_msi", "verdict", "words"),
    [
        (VISIBLE, frame(), photo(), "fits", "ratio 2"),
        (VISIBLE, frame(), None, "fits", "with an RGB frame of 12 x 12 pixels"),
        (VISIBLE, frame((430.0, 500.0, 600.0, 700.0)), photo(), "with --resample", "Take it for visible light."),
        (VISIBLE, frame((600.0, 650.0, 700.0)), photo(), "does not fit", "covers 600 to 700 nm"),
        (VISIBLE, frame(), photo(24), "does not fit", "24 x 24 pixels; at ratio 2 it must be resampled to 12 x 12"),
        (VISIBLE, frame(), photo(n_bands=4), "does not fit", "the RGB frame has 4 bands; it takes 3"),
        (VISIBLE, frame(side=1), None, "does not fit", "it takes 2 x 2 or more"),
        (FREE, frame((900.0, 1600.0, 2200.0)), photo(n_bands=5), "fits", "ratio 2"),
        (subspace_manifest(2), frame((900.0, 1600.0, 2200.0)), photo(), "fits", "ratio 2"),
        (subspace_manifest(2), frame(), photo(n_bands=5), "does not fit", "the RGB frame has 5 bands; it takes 3"),
    ],
)
def test_a_sensor_s_frames_are_told_apart(manifest, lr_hsi, hr_msi, verdict, words):
    found = fit(manifest, lr_hsi, hr_msi)
    assert found.verdict == verdict
    assert words in found.words


def test_bands_without_wavelengths_are_counted_and_not_resampled():
    unknown = Cube(data=np.ones((6, 6, 4), np.float32))
    found = fit(VISIBLE, unknown, None)
    assert found.verdict == "does not fit"
    assert "lr_hsi has 4 bands" in found.words


def test_bad_bands_at_the_end_of_the_range_cannot_be_resampled_from():
    wide = replace(frame((440.0, 550.0, 600.0, 650.0)), bad_bands=np.array([True, True, False, False]))
    assert fit(VISIBLE, wide, None).verdict == "does not fit"


def test_the_command_line_says_which_bundles_fit(folder, tmp_path, capsys):
    write(tmp_path / "frame.hdr", frame((900.0, 1600.0, 2200.0)))
    np.save(tmp_path / "photo.npy", np.ones((12, 12, 3), np.uint8))
    arguments = ["info", str(folder), "--lr", str(tmp_path / "frame.hdr"), "--msi", str(tmp_path / "photo.npy")]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fits"
    assert lines[1].split() == ["free-x2", "ratio", "2"]
    assert lines[2] == "does not fit"
    assert lines[3].split()[0] == "visible-x2"


def test_the_command_line_asks_about_one_bundle_too(folder, tmp_path, capsys):
    write(tmp_path / "frame.hdr", frame())
    assert cli.main(["info", str(folder / "free-x2.zip"), "--lr", str(tmp_path / "frame.hdr")]) == 0
    assert capsys.readouterr().out.startswith("fits\n  free-x2")


def test_a_photograph_without_its_spectral_frame_is_refused(folder, capsys):
    assert cli.main(["info", str(folder), "--msi", "photo.png"]) == 2
    assert "give the spectral frame too, with --lr" in capsys.readouterr().err


def test_a_bundle_s_advice_is_shown(folder, capsys):
    assert cli.main(["info", str(folder / "visible-x2")]) == 0
    assert "Take it for visible light." in capsys.readouterr().out
