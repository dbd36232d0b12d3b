from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, SensorEnded, SensorTimeout
from hsi_edge.sensors.images import ImagesSettings, ImagesSource
from tests.hsi_edge.sensors.fake_time import FakeTime
from tests.hsi_edge.sensors.source_contract import Case


def write_pictures(folder, names, dtype=np.uint8):
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names, 1):
        bgr = np.zeros((4, 6, 3), dtype)
        bgr[:, :, 2] = index
        assert cv2.imwrite(str(folder / name), bgr)
    return str(folder)


def contract_case(folder, stack):
    path = write_pictures(folder / "pictures", ["a1.png", "a2.png", "a3.png"])
    missing = ImagesSource(ImagesSettings(source="images", folder=str(folder / "nowhere")))
    return Case(
        source=ImagesSource(ImagesSettings(source="images", folder=path, fps=50.0)),
        n_frames=3,
        ends=True,
        missing=missing,
    )


def all_frames(source):
    source.open()
    frames = list(until_the_end(source))
    source.close()
    return frames


def until_the_end(source):
    with suppress(SensorEnded):
        while True:
            yield source.read(1)


def test_every_picture_comes_once_in_the_order_of_the_numbers_in_the_names(tmp_path):
    folder = write_pictures(tmp_path / "p", ["f2.png", "f10.png", "f1.png", "F3.PNG"])
    (tmp_path / "p" / "notes.txt").write_text("no picture")
    (tmp_path / "p" / ".f0.png").write_bytes(b"hidden")
    frames = all_frames(ImagesSource(ImagesSettings(source="images", folder=folder)))
    assert [int(frame.data[0, 0, 0]) for frame in frames] == [3, 1, 4, 2]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert frames[0].data.shape == (4, 6, 3)
    assert frames[0].data[:, :, 1:].max() == 0


def test_times_and_pace_follow_the_rate(tmp_path):
    time = FakeTime()
    folder = write_pictures(tmp_path / "p", ["1.png", "2.png", "3.png"])
    source = ImagesSource(ImagesSettings(source="images", folder=folder, fps=4.0), time.now, time.wait)
    frames = all_frames(source)
    assert np.diff([frame.timestamp_ns for frame in frames]).tolist() == [250_000_000] * 2
    assert time.waited_s == [0.0, 0.25, 0.25]
    assert [frame.arrival_ns for frame in frames] == [frame.timestamp_ns for frame in frames]


def test_a_picture_that_is_not_due_in_time_is_a_timeout_and_is_not_lost(tmp_path):
    time = FakeTime()
    folder = write_pictures(tmp_path / "p", ["1.png", "2.png"])
    source = ImagesSource(ImagesSettings(source="images", folder=folder, fps=1.0), time.now, time.wait)
    source.open()
    source.read(0.1)
    with pytest.raises(SensorTimeout):
        source.read(0.4)
    assert source.read(0.7).sequence == 1
    source.close()


def test_a_slow_reader_loses_nothing(tmp_path):
    time = FakeTime()
    folder = write_pictures(tmp_path / "p", ["1.png", "2.png", "3.png"])
    source = ImagesSource(ImagesSettings(source="images", folder=folder, fps=10.0), time.now, time.wait)
    source.open()
    for sequence in range(3):
        assert source.read(0.0).sequence == sequence
        time.wait(5)
    source.close()


def test_a_damaged_picture_leaves_a_gap_and_its_reason(tmp_path, caplog):
    folder = write_pictures(tmp_path / "p", ["1.png", "2.png", "3.png"])
    (tmp_path / "p" / "2.png").write_bytes((tmp_path / "p" / "2.png").read_bytes()[:-20])
    source = ImagesSource(ImagesSettings(source="images", folder=folder))
    assert [frame.sequence for frame in all_frames(source)] == [0, 2]
    assert source.refused == 1
    assert "2.png" in source.error
    assert "2.png" in caplog.text


def test_sixteen_bits_and_tiff_stay_as_they_are(tmp_path):
    folder = tmp_path / "p"
    write_pictures(folder, ["1.png"], np.uint16)
    pytest.importorskip("rasterio", reason="reading TIFF files needs rasterio")
    from hsi_edge.io import write

    write(folder / "2.tif", Cube(data=np.full((4, 6, 3), 900, np.uint16)))
    frames = all_frames(ImagesSource(ImagesSettings(source="images", folder=str(folder))))
    assert [frame.data.dtype for frame in frames] == [np.uint16, np.uint16]
    assert frames[1].data[0, 0, 0] == 900


def test_a_negative_rate_is_refused():
    with pytest.raises(InputError, match="fps is -1"):
        ImagesSource(ImagesSettings(source="images", folder=".", fps=-1.0))
