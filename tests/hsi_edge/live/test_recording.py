from __future__ import annotations

from dataclasses import fields
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.cube import Cube
from hsi_edge.errors import RecordingError
from hsi_edge.live.digest import digest
from hsi_edge.live.mcap_file import McapFile
from hsi_edge.live.recorder import Recorder, RecorderSettings
from hsi_edge.live.recording import FrameKey, Recording
from hsi_edge.live.setup import Setup
from hsi_edge.live.topics import frame_message, telemetry_message
from hsi_edge.sensors.frame import SensorFrame
from tests.hsi_edge.live.live_results import START_NS, made_frame, made_result, wait_until


def recorded(folder: Path, *messages, **settings) -> Recording:
    """What is read back of frames `(stream, frame)`, results, and tags `(name, values, time)`."""
    recorder = Recorder(RecorderSettings(folder=str(folder), reserve_mib=16, queue_mib=8, **settings))
    recorder.start()
    for message in messages:
        if not isinstance(message, tuple):
            recorder.take(message)
        elif len(message) == 2:
            assert recorder.add_frame(*message)
        else:
            assert recorder.add_tag(*message)
    recorder.stop()
    return Recording.open(recorder.status().path)


def same(one: SensorFrame, other: SensorFrame) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name), equal_nan=field.name == "data")
        if isinstance(getattr(one, field.name), np.ndarray)
        else getattr(one, field.name) == getattr(other, field.name)
        for field in fields(SensorFrame)
    )


def test_a_frame_comes_back_bit_for_bit_with_all_that_is_known_of_it(tmp_path, rng):
    data = rng.normal(size=(3, 5, 4)).astype(np.float32)
    data[0, 0, 0] = np.nan
    frame = SensorFrame(
        data=data,
        timestamp_ns=-5,  # a sensor's clock may start anywhere
        sequence=2**40,
        arrival_ns=START_NS,
        exposure_us=12.5,
        gain=2.0,
        mask=rng.random((3, 5)) > 0.5,
        wavelengths_nm=np.array([400.0, 500.5, 600.25, 700.125]),
        quantity="radiance",
    )
    ((stream, back),) = recorded(tmp_path, ("spectral", frame)).arrivals()
    assert stream == "spectral"
    assert back.data.tobytes() == data.tobytes()
    assert same(frame, back)


@given(st.lists(st.tuples(st.sampled_from(["rgb", "spectral"]), st.integers(0, 6)), max_size=20))
def test_arrivals_come_in_order_of_time_and_equal_ones_as_they_were_added(tmp_path_factory, order):
    added = [
        (stream, made_frame(sequence, arrival_ns=START_NS + moment)) for sequence, (stream, moment) in enumerate(order)
    ]
    recording = recorded(tmp_path_factory.mktemp("order"), *added)
    wanted = sorted(added, key=lambda item: item[1].arrival_ns)
    assert [(stream, frame.sequence) for stream, frame in recording.arrivals()] == [
        (stream, frame.sequence) for stream, frame in wanted
    ]


def test_frames_that_arrive_across_the_end_of_a_file_are_in_order_all_the_same(tmp_path):
    late = made_frame(0, arrival_ns=START_NS + 500, shape=(600, 800, 3))
    early = made_frame(1, arrival_ns=START_NS + 400)
    recorder = Recorder(RecorderSettings(folder=str(tmp_path), file_mib=1, reserve_mib=16, queue_mib=8))
    recorder.start()
    recorder.add_frame("rgb", late)
    wait_until(lambda: recorder.status().path.endswith("0002.mcap"))
    recorder.add_frame("spectral", early)
    recorder.stop()
    recording = Recording.open(tmp_path)
    assert len(recording.files) == 2
    assert [frame.sequence for _, frame in recording.arrivals()] == [1, 0]


def test_the_pairs_that_were_processed_are_named_by_their_frames(tmp_path):
    fused, alone = made_result(0), made_result(1, rgb=False)
    recording = recorded(tmp_path, fused, alone)
    first, second = recording.processed()
    assert first.spectral == FrameKey(sequence=0, arrival_ns=fused.pair.spectral.arrival_ns)
    assert first.rgb == FrameKey(sequence=1000, arrival_ns=fused.pair.rgb.arrival_ns)
    assert first.digest == digest(fused)
    assert second.rgb is None
    assert [told["mode"] for told in recording.results()] == ["fusion", "single"]
    assert list(recording.outputs()) == []  # off by default


@pytest.mark.parametrize(("outputs", "tolerance"), [("float32", 0.0), ("float16", 5e-4)])
def test_outputs_are_recorded_if_wished(tmp_path, outputs, tolerance):
    result = made_result(3)
    (output,) = recorded(tmp_path, result, outputs=outputs).outputs()
    assert output.sequence == 3
    assert output.timestamp_ns == result.timestamp_ns
    assert output.data.dtype == np.float32
    np.testing.assert_allclose(output.data, result.hr_hsi.data, rtol=tolerance)
    np.testing.assert_array_equal(output.mask, result.hr_hsi.mask)
    np.testing.assert_array_equal(output.wavelengths_nm, result.hr_hsi.wavelengths_nm)


def test_numbers_beyond_float16_are_kept_as_float32(tmp_path):
    data = np.full((2, 2, 1), 70000.0, np.float32)
    data[0, 0, 0] = np.nan
    (output,) = recorded(tmp_path, made_result(hr_hsi=Cube(data=data)), outputs="float16").outputs()
    np.testing.assert_array_equal(output.data, data)


def test_tags_come_back_with_their_time(tmp_path):
    recording = recorded(tmp_path, ("position", {"latitude_deg": 33.25}, 7), ("position", {"latitude_deg": 33.5}, 9))
    assert list(recording.tags("position")) == [(7, {"latitude_deg": 33.25}), (9, {"latitude_deg": 33.5})]
    assert list(recording.tags("other")) == []


def test_an_empty_recording_has_nothing_and_is_no_error(tmp_path):
    assert list(recorded(tmp_path).arrivals()) == []


def test_a_folder_with_more_than_one_recording_says_what_to_do(tmp_path):
    recorded(tmp_path, ("rgb", made_frame(0)))
    recorded(tmp_path, ("rgb", made_frame(1)))
    with pytest.raises(RecordingError, match=r"has 2 recordings .* give the path of one file"):
        Recording.open(tmp_path)


def test_a_cut_end_and_a_missing_file_are_told(tmp_path):
    path = recorded(tmp_path, ("rgb", made_frame(0))).files[0]
    assert Recording.open(path).damage == ()
    path.write_bytes(path.read_bytes()[:-10])
    assert "has no end" in Recording.open(path).damage[0]
    path.rename(path.with_name(path.name.replace("0001", "0002")))
    copy = path.with_name(path.name.replace("0001", "0003"))
    copy.write_bytes(path.with_name(path.name.replace("0001", "0002")).read_bytes())
    assert any("a file is missing" in words for words in Recording.open(tmp_path).damage)


def test_what_is_no_recording_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(RecordingError, match="no such file or folder"):
        Recording.open(tmp_path / "missing")
    with pytest.raises(RecordingError, match="has no recording"):
        Recording.open(tmp_path)
    (tmp_path / "a.mcap").write_bytes(b"something else entirely")
    with pytest.raises(RecordingError, match="is no MCAP file"):
        Recording.open(tmp_path / "a.mcap")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small finished file, the same each time."""
    path = tmp_path_factory.mktemp("damage") / "whole.mcap"
    with FileIO(path, "w") as file:
        mcap = McapFile(file, Setup(files={"rig.yaml": b"{}"}), 0)
        mcap.add(frame_message("rgb", made_frame(0)))
        mcap.add(telemetry_message(made_result(), START_NS))
        mcap.finish()
    return path


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_damaged_bytes_give_a_recording_error_or_are_in_what_is_not_read(whole, changes):
    content = bytearray(whole.read_bytes())
    for at, flipped in changes:
        content[at % len(content)] ^= flipped
    path = whole.with_name("damaged.mcap")
    path.write_bytes(content)
    try:
        recording = Recording.open(path)
        frames = list(recording.arrivals())
        list(recording.processed())
    except RecordingError:
        return
    assert all(frame.data.tobytes() == made_frame(0).data.tobytes() for _, frame in frames)
