"""Radiometry files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.radiometry import Radiometry, RadiometrySettings, read_radiometry
from hsi_edge.radiometry.settings import (
    BlackLevel,
    FlatField,
    Panel,
    PanelRegion,
    PolynomialVignetting,
    WhiteFrames,
)
from hsi_edge.sensors.frame import SensorFrame

FULL = """\
dark:
  dark: frames
  files: [dark.npy]
  hot_deviations: 8
white:
  white: panel
  files: [panel.npy]
  reflectance: [0.5, 0.52]
  regions:
  - {first_row: 2, end_row: 8, first_col: 3, end_col: 9}
  exposure_us: 2000
  gain: 1
vignetting:
  vignetting: polynomial
  lenses:
  - {centre_x_px: 5, centre_y_px: 5, coefficients: [-0.001]}
saturation_level: 4000
bad_pixels: [[0, 1], [2, 2, 1]]
"""


def test_a_file_with_everything_is_read_and_used(tmp_path):
    np.save(tmp_path / "dark.npy", np.full((10, 12, 2), 100, np.uint16))
    np.save(tmp_path / "panel.npy", np.full((10, 12, 2), 1100, np.uint16))
    (tmp_path / "radiometry.yaml").write_text(FULL)
    radiometry = Radiometry(read_radiometry(tmp_path / "radiometry.yaml"))
    frame = SensorFrame(
        data=np.full((10, 12, 2), 600, np.uint16),
        timestamp_ns=0,
        sequence=0,
        arrival_ns=0,
        exposure_us=1000.0,
        gain=1.0,
    )
    cube = radiometry.apply(frame)
    np.testing.assert_allclose(cube.data[5, 5], [0.5, 0.52], rtol=0.02)
    assert np.isnan(cube.data).sum() == 3
    assert radiometry.panel_regions == (PanelRegion(first_row=2, end_row=8, first_col=3, end_col=9),)


def test_the_files_of_the_guide_are_right(tmp_path):
    guide = (Path(__file__).parents[3] / "docs" / "radiometry.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in guide.split("```yaml\n")[1:]]
    path = tmp_path / "radiometry.yaml"
    path.write_text(blocks[0])
    assert read_radiometry(path).white.files == (str(tmp_path / "panel.hdr"),)
    path.write_text(blocks[1])
    assert isinstance(read_radiometry(path).vignetting, PolynomialVignetting)


def test_an_empty_file_means_no_correction(tmp_path):
    (tmp_path / "none.yaml").write_text("")
    assert read_radiometry(tmp_path / "none.yaml") == RadiometrySettings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("darkness: 3", "unknown key darkness .did you mean dark"),
        ("dark: {dark: level}", "dark.level is missing"),
        ("dark: {dark: frames, files: []}", "dark.files is empty"),
        ("dark: {dark: frames, files: [a.npy], exposures_us: [1, 2]}", "dark.exposures_us has 2 numbers for 1 files"),
        ("white: {white: frames, files: [w.npy], reflectance: [0]}", "white.reflectance is .0"),
        ("white: {white: frames, files: [w.npy], exposure_us: -1}", "white.exposure_us is -1"),
        ("bad_pixels: [[1]]", r"bad_pixels.0. is .1.; wanted"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, text, problem):
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(InputError, match=f"wrong.yaml is wrong: {problem}"):
        read_radiometry(tmp_path / "wrong.yaml")


def test_white_frames_and_vignetting_would_correct_twice():
    with pytest.raises(ManifestError, match="cover the vignetting already"):
        RadiometrySettings(
            white=WhiteFrames(white="frames", files=("w.npy",)),
            vignetting=FlatField(vignetting="flat_field", files=("f.npy",)),
        )


def test_a_region_beyond_the_frame_is_refused(tmp_path):
    np.save(tmp_path / "panel.npy", np.full((10, 12, 1), 1100, np.uint16))
    region = PanelRegion(first_row=5, end_row=12, first_col=0, end_col=4)
    white = Panel(white="panel", files=(str(tmp_path / "panel.npy"),), reflectance=(0.5,), regions=(region,))
    with pytest.raises(InputError, match="beyond the panel frame of 10 x 12 pixels"):
        Radiometry(RadiometrySettings(white=white))


def test_a_saturated_panel_is_refused(tmp_path):
    data = np.full((10, 12, 1), 300, np.uint16)
    data[2:6, 2:8] = 4095
    np.save(tmp_path / "panel.npy", data)
    region = PanelRegion(first_row=2, end_row=8, first_col=2, end_col=8)
    white = Panel(white="panel", files=(str(tmp_path / "panel.npy"),), reflectance=(0.5,), regions=(region,))
    settings = RadiometrySettings(dark=BlackLevel(dark="level", level=(0.0,)), white=white, saturation_level=4095.0)
    with pytest.raises(InputError, match="the panel is saturated or invalid in band 0"):
        Radiometry(settings)
