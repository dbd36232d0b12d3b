"""The page of sensors that were tried."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from export.cli import main
from export.sensor_figures import bands_figure, mosaic_figure, ndvi_figure
from export.sensor_trials import MosaicTrial, RedEdgeTrial, mosaic_trials, rededge_trial
from hsi_edge.errors import RegistrationError
from hsi_edge.radiometry.settings import PanelRegion
from hsi_edge.sensors.frame import SensorFrame

NM = np.array([475.0, 560.0, 668.0, 717.0, 840.0])


@pytest.fixture
def rededge(rng):
    cube = rng.uniform(0.1, 0.9, (960, 1280, 5)).astype(np.float32)
    cube[:10] = np.nan
    region = PanelRegion(first_row=1, end_row=9, first_col=1, end_col=9)
    return RedEdgeTrial(NM, np.ones((960, 1280, 5), np.uint16), (region,), cube, cube, np.zeros((4, 5)))


def test_pictures_are_drawn_where_pixels_are_missing(rededge):
    assert len(bands_figure(rededge).axes) == 3
    titles = [place.get_title() for place in ndvi_figure(rededge).axes]
    assert "NDVI" in titles


def test_the_spectra_of_a_mosaic_frame_are_relative_to_its_white(rng):
    nm = np.linspace(460, 620, 16)
    data = np.full((256, 512, 16), 200, np.float32) * np.linspace(1, 2, 16, dtype=np.float32)
    data[232:240, 100:300] *= 0.25
    frame = SensorFrame(data=data, timestamp_ns=0, sequence=0, arrival_ns=0, wavelengths_nm=nm)
    raw = rng.integers(0, 255, (1024, 2048), np.uint8)
    figure = mosaic_figure(MosaicTrial("mei_shanghai_5_0", raw, frame, frame, 0.1, (0.1, 0.2)))
    grass = next(line for line in figure.axes[3].get_lines() if line.get_label() == "2: grass")
    np.testing.assert_allclose(grass.get_ydata(), 0.25, rtol=1e-5)


def test_the_bands_of_a_drone_s_cameras_come_to_lie_on_each_other(shared_data, monkeypatch):
    starts = []

    def stay_and_refuse_the_last(_pairs, *, start):
        starts.append(start)
        if len(starts) == 4:
            raise RegistrationError("no structure")
        return SimpleNamespace(rig=start)

    monkeypatch.setattr("export.sensor_trials.calibrate", stay_and_refuse_the_last)
    stacked, turned, moved, registered = rededge_trial(shared_data).offsets_px
    assert stacked.max() > 20
    assert moved.max() < 0.5
    # A calibration that stays at its start leaves what RigRelatives leave.
    np.testing.assert_allclose(registered[:4], turned[:4], atol=0.05)
    assert np.isnan(registered[4])


def test_the_inferred_order_of_the_filters_has_the_smoothest_spectrum(shared_data):
    for trial in mosaic_trials(shared_data):
        # Turning the spectrum round leaves its roughness as it is.
        assert trial.roughness <= trial.rivals[0] * 1.000001
        assert trial.roughness < 0.25 * np.median(trial.rivals)


def test_the_command_tells_where_the_page_goes(capsys):
    with pytest.raises(SystemExit):
        main(["sensors", "-h"])
    assert "sensors-tried.md" in capsys.readouterr().out
