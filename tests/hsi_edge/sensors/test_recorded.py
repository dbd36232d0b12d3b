from __future__ import annotations

import threading
import time

import pytest

from hsi_edge.errors import SensorEnded, SensorError, SensorTimeout
from hsi_edge.live.recorder import Recorder, RecorderSettings
from hsi_edge.records import plain_from_record, record_from_plain
from hsi_edge.sensors.recorded import RecordedSettings, RecordedSource
from tests.hsi_edge.live.live_results import START_NS, made_frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    recorder = Recorder(RecorderSettings(folder=str(folder), reserve_mib=16, queue_mib=8))
    recorder.start()
    for sequence, arrival_ms in enumerate((0, 40, 3_600_000)):
        recorder.add_frame("rgb", made_frame(sequence, arrival_ns=START_NS + arrival_ms * 10**6))
    recorder.add_frame("spectral", made_frame(7))
    recorder.stop()
    return folder


def made_source(folder, *, stream="rgb", paced=False) -> RecordedSource:
    return RecordedSource(RecordedSettings(source="recording", path=str(folder), stream=stream, paced=paced))


def test_the_frames_of_one_stream_come_in_order_and_then_the_recording_is_over(folder):
    source = made_source(folder)
    for _ in range(2):
        source.open()
        frames = [source.read(0) for _ in range(3)]
        assert [frame.sequence for frame in frames] == [0, 1, 2]
        assert frames[1].arrival_ns == START_NS + 40_000_000
        with pytest.raises(SensorEnded, match="is over"):
            source.read(0)
        source.close()
        source.close()


def test_paced_frames_come_as_far_apart_as_they_arrived_and_none_is_lost_to_a_timeout(folder):
    source = made_source(folder, paced=True)
    source.open()
    assert source.read(0).sequence == 0
    start_s = time.monotonic()
    with pytest.raises(SensorTimeout):
        source.read(0.001)
    assert source.read(5).sequence == 1
    assert time.monotonic() - start_s > 0.03
    with pytest.raises(SensorTimeout):
        source.read(0)
    source.close()


def test_closing_ends_a_waiting_read(folder):
    source = made_source(folder, paced=True)
    source.open()
    source.read(0), source.read(5)
    closer = threading.Timer(0.05, source.close)
    closer.start()
    with pytest.raises(SensorError, match="was closed"):
        source.read(60)
    closer.join()


def test_what_cannot_be_read_is_a_sensor_error(tmp_path, folder):
    with pytest.raises(SensorError, match="has no recording"):
        made_source(tmp_path).open()
    with pytest.raises(SensorError, match="not open"):
        made_source(folder).read(0)


def test_settings_survive_a_flight_file():
    settings = RecordedSettings(source="recording", path="a", stream="spectral")
    assert record_from_plain(RecordedSettings, plain_from_record(settings)) == settings
