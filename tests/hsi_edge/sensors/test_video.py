from __future__ import annotations

import cv2
import numpy as np
import pytest

from hsi_edge.errors import SensorEnded, SensorError
from hsi_edge.sensors.video import VideoSettings, VideoSource
from tests.hsi_edge.sensors.fake_time import FakeTime
from tests.hsi_edge.sensors.source_contract import Case


def write_video(path, n_frames=3, fps=20.0):
    """Motion JPEG: red brightness 60, 120, 180, ... in grey-free frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    assert writer.isOpened()
    for index in range(n_frames):
        bgr = np.zeros((48, 64, 3), np.uint8)
        bgr[:, :, 2] = 60 * (index + 1)
        writer.write(bgr)
    writer.release()
    return str(path)


def contract_case(folder, stack):
    path = write_video(folder / "flight.avi")
    missing = VideoSource(VideoSettings(source="video", path=str(folder / "nowhere.avi")))
    return Case(source=VideoSource(VideoSettings(source="video", path=path)), n_frames=3, ends=True, missing=missing)


def test_every_frame_comes_in_order_as_rgb_at_the_rate_of_the_file(tmp_path):
    time = FakeTime()
    source = VideoSource(VideoSettings(source="video", path=write_video(tmp_path / "v.avi")), time.now, time.wait)
    source.open()
    frames = [source.read(1) for _ in range(3)]
    with pytest.raises(SensorEnded):
        source.read(1)
    source.close()
    for index, frame in enumerate(frames):
        assert frame.data.shape == (48, 64, 3)
        assert abs(float(frame.data[:, :, 0].mean()) - 60 * (index + 1)) < 4
        assert float(frame.data[:, :, 2].mean()) < 4
    assert np.diff([frame.timestamp_ns for frame in frames]).tolist() == [50_000_000] * 2
    assert [frame.sequence for frame in frames] == [0, 1, 2]


def test_a_loop_goes_on_with_growing_times_and_sequence(tmp_path):
    path = write_video(tmp_path / "v.avi")
    time = FakeTime()
    source = VideoSource(VideoSettings(source="video", path=path, loop=True), time.now, time.wait)
    source.open()
    frames = [source.read(1) for _ in range(8)]
    source.close()
    assert [round(float(frame.data[:, :, 0].mean()) / 60) for frame in frames] == [1, 2, 3, 1, 2, 3, 1, 2]
    assert [frame.sequence for frame in frames] == list(range(8))
    assert np.diff([frame.timestamp_ns for frame in frames]).tolist() == [50_000_000] * 7


def test_another_rate_may_be_given(tmp_path):
    time = FakeTime()
    path = write_video(tmp_path / "v.avi")
    source = VideoSource(VideoSettings(source="video", path=path, fps=2.0), time.now, time.wait)
    source.open()
    first, second = source.read(1), source.read(1)
    source.close()
    assert second.timestamp_ns - first.timestamp_ns == 500_000_000


def test_what_is_no_video_is_named(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(SensorError, match="no video that this OpenCV can decode"):
        VideoSource(VideoSettings(source="video", path=str(path))).open()
