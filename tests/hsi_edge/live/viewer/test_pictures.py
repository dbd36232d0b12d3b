from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.live.viewer import pictures
from hsi_edge.live.viewer.pictures import CONFIDENCE_COLOURS, NO_MEASUREMENT, Painter
from hsi_edge.live.viewer.view import View
from tests.hsi_edge.live.viewer_source import ViewerPipeline


@pytest.fixture
def result():
    return ViewerPipeline(lr=16, ratio=4).step()


def rgb(picture):
    decoded = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return decoded[..., [2, 1, 0, 3]] if decoded.shape[2] == 4 else decoded[..., ::-1]


def with_data(cube, data, **fields):
    return Cube(data=data, wavelengths_nm=cube.wavelengths_nm, quantity=cube.quantity, **fields)


def test_both_pictures_are_stretched_alike(result):
    painting = Painter().paint(result, View())
    low, high = painting.legend["limits"]
    shown = painting.legend["bands"]
    for picture, cube in ((painting.sensor, result.lr_hsi), (painting.fused, result.hr_hsi)):
        wanted = np.clip((cube.data[..., shown].astype(np.float64) - low) / (high - low), 0, 1) * 255
        assert np.abs(rgb(picture) - wanted).max() <= 1
    assert rgb(painting.fused).shape == (64, 64, 3)


def test_what_is_no_measurement_is_dark_and_does_not_change_the_rest(result):
    clean = rgb(Painter().paint(result, View()).sensor)
    data = result.lr_hsi.data.copy()
    data[3, 4] = np.nan
    mask = np.ones(data.shape[:2], bool)
    mask[5, 6] = False
    holed = rgb(Painter().paint(replace(result, lr_hsi=with_data(result.lr_hsi, data, mask=mask)), View()).sensor)
    assert (holed[3, 4] == 0).all()
    assert (holed[5, 6] == 0).all()
    assert (
        np.abs(
            np.delete(holed.reshape(-1, 3), [52, 86], 0).astype(int) - np.delete(clean.reshape(-1, 3), [52, 86], 0)
        ).max()
        <= 4
    )


def test_a_frame_without_a_single_measurement_is_a_dark_picture(result):
    nothing = with_data(result.lr_hsi, np.full_like(result.lr_hsi.data, np.nan))
    for view in (View(), View(show="ndvi")):
        painting = Painter().paint(replace(result, lr_hsi=nothing), view)
        assert rgb(painting.sensor).max() <= 70


def test_an_index_is_shown_on_a_fixed_scale(result):
    data = np.zeros((4, 4, 31), np.float32)
    data[..., 13], data[:2, :, 20], data[2:, :, 20] = 1.0, 19.0, 0.6
    painting = Painter().paint(replace(result, lr_hsi=with_data(result.lr_hsi, data)), View(show="ndvi"))
    assert painting.legend == {"index": "ndvi", "limits": [-0.2, 0.9]}
    assert rgb(painting.sensor)[0, 0].tolist() == list(pictures.INDEX_COLOURS[-1])
    assert rgb(painting.sensor)[3, 0].tolist() == list(pictures.INDEX_COLOURS[0])


def test_a_large_frame_is_sent_smaller(result, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST_PX", 32)
    assert rgb(Painter().paint(result, View()).fused).shape == (32, 32, 3)
    assert rgb(Painter().paint(result, View(show="ndvi")).fused).shape == (32, 32, 3)


def test_a_sudden_bright_frame_does_not_make_the_picture_jump(result):
    painter = Painter()
    steady = painter.paint(result, View()).legend["limits"][1]
    bright = replace(result, lr_hsi=with_data(result.lr_hsi, result.lr_hsi.data * 2))
    ways = [painter.paint(bright, View()).legend["limits"][1] / steady for _ in range(12)]
    assert 1.2 < ways[0] < 1.3
    assert ways[-1] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(("value", "place"), [(0.1, 0), (0.7, 1), (1.5, 2)])
def test_confidence_has_a_colour_for_each_verdict(result, value, place):
    checked = replace(result, check=replace(result.check, map=np.array([[value, np.nan]], np.float32)))
    overlay = rgb(Painter().paint(checked, View(overlay="confidence")).overlay)
    assert tuple(overlay[0, 0, :3]) == CONFIDENCE_COLOURS[place][1]
    assert tuple(overlay[0, 1, :3]) == NO_MEASUREMENT
    assert overlay[..., 3].min() > 0


def test_the_residual_is_on_the_lr_grid_and_only_where_asked_for(result):
    painter = Painter()
    assert painter.paint(result, View()).overlay is None
    assert rgb(painter.paint(result, View(overlay="residual")).overlay).shape == (16, 16, 4)
