from __future__ import annotations

import errno
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from hsi_edge.errors import InputError, RecordingError
from hsi_edge.live import recorder as recorder_module
from hsi_edge.live.mcap_file import McapFile
from hsi_edge.live.recorder import Recorder, RecorderSettings
from hsi_edge.live.recording import Recording
from hsi_edge.live.repair import finished
from hsi_edge.live.setup import Setup
from hsi_edge.sensors.frame import SensorFrame
from tests.hsi_edge.live.live_results import made_frame, made_result, wait_until

MIB = 2**20
Usage = namedtuple("Usage", "total used free")  # as shutil has it


def made_recorder(folder: Path, **changes: object) -> Recorder:
    settings = {"folder": str(folder), "reserve_mib": 16, "queue_mib": 8} | changes
    return Recorder(RecorderSettings(**settings), Setup(files={"rig.yaml": b"lr_shape: [2, 2]\n"}))


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.mcap")
    return path


def hold_disk(monkeypatch) -> threading.Event:
    """Make the disk wait until the event is set."""
    go = threading.Event()
    add = McapFile.add

    def slow(self, message):
        go.wait(10)
        add(self, message)

    monkeypatch.setattr(McapFile, "add", slow)
    return go


def test_a_standard_reader_opens_a_recording_and_finds_both_streams_telemetry_and_setup(tmp_path):
    recorder = made_recorder(tmp_path)
    recorder.start()
    for sequence in range(5):
        assert recorder.add_frame("rgb", made_frame(sequence))
    assert recorder.add_frame("spectral", made_frame(3, shape=(2, 2, 4)))
    recorder.take(made_result())
    assert recorder.add_tag("position", {"latitude_deg": 33.3}, 123)
    recorder.stop()
    assert recorder.status().frames == 6
    with only_file(tmp_path).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        counts = {
            summary.channels[channel].topic: count
            for channel, count in summary.statistics.channel_message_counts.items()
        }
        assert counts == {"/rgb": 5, "/spectral": 1, "/telemetry": 1, "/position": 1}
        assert [attachment.name for attachment in reader.iter_attachments()] == ["rig.yaml"]
        messages = [message for _, channel, message in reader.iter_messages("/rgb")]
    assert [message.log_time for message in messages] == [made_frame(sequence).arrival_ns for sequence in range(5)]
    assert [message.publish_time for message in messages] == [0, 10_000_000, 20_000_000, 30_000_000, 40_000_000]


def test_the_status_counts_what_is_on_the_disk_while_recording(tmp_path):
    recorder = made_recorder(tmp_path)
    assert not recorder.status().on
    recorder.start()
    try:
        recorder.add_frame("rgb", made_frame(0))
        wait_until(lambda: recorder.status().frames == 1)
        status = recorder.status()
        assert status.on
        assert status.bytes_written == Path(status.path).stat().st_size
        assert len(list(Recording.open(status.path).arrivals())) == 1  # readable while it goes on
    finally:
        recorder.close()


def test_it_refuses_frames_while_it_is_off_and_begins_a_new_recording_when_turned_on_again(tmp_path):
    recorder = made_recorder(tmp_path)
    assert not recorder.add_frame("rgb", made_frame(0))
    recorder.take(made_result())
    for sequence in (1, 2):
        recorder.start()
        recorder.start()
        recorder.add_frame("rgb", made_frame(sequence))
        recorder.stop()
        recorder.stop()
    assert not recorder.add_frame("rgb", made_frame(3))
    files = sorted(tmp_path.iterdir())
    assert [next(Recording.open(file).arrivals())[1].sequence for file in files] == [1, 2]
    assert recorder.missed == 0


def test_files_are_limited_in_size_sort_by_time_and_can_each_be_read_alone(tmp_path):
    recorder = made_recorder(tmp_path, file_mib=1)
    recorder.start()
    for sequence in range(4):
        assert recorder.add_frame("rgb", made_frame(sequence, shape=(500, 500, 3)))
        wait_until(lambda seen=sequence: recorder.status().frames == seen + 1)
    recorder.stop()
    files = sorted(tmp_path.glob("*.mcap"))
    assert len(files) == 3  # two frames of 0.7 MiB fill a file; the last one is still empty
    assert [file.stem[-4:] for file in files] == ["0001", "0002", "0003"]
    sequences = []
    for file in files:
        recording = Recording.open(file)
        assert recording.setup.files == {"rig.yaml": b"lr_shape: [2, 2]\n"}
        sequences += [frame.sequence for _, frame in recording.arrivals()]
    assert sequences == list(range(4))
    assert [frame.sequence for _, frame in Recording.open(tmp_path).arrivals()] == sequences


def test_a_disk_that_does_not_keep_up_makes_it_refuse_at_once_and_loses_nothing_that_was_accepted(
    tmp_path, monkeypatch
):
    go = hold_disk(monkeypatch)
    recorder = made_recorder(tmp_path, queue_mib=1)
    recorder.start()
    accepted = [
        sequence for sequence in range(6) if recorder.add_frame("rgb", made_frame(sequence, shape=(400, 300, 3)))
    ]
    with pytest.raises(RecordingError, match="does not keep up"):
        recorder.take(made_result(hr_hsi=made_result().hr_hsi, reason="x" * 2**20))
    wait_until(lambda: recorder.behind_s > 0.05)
    go.set()
    recorder.stop()
    assert recorder.behind_s == 0
    assert 2 <= len(accepted) < 6
    assert recorder.missed == 6 - len(accepted)
    assert [frame.sequence for _, frame in Recording.open(tmp_path).arrivals()] == accepted


def test_it_stops_before_the_disk_is_full_keeps_what_it_accepted_and_says_why(tmp_path, monkeypatch):
    recorder = made_recorder(tmp_path, reserve_mib=16)
    recorder.start()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * MIB, 90 * MIB, 10 * MIB))
    recorder.add_frame("rgb", made_frame(0))
    wait_until(lambda: not recorder.status().on)
    recorder._join()
    assert not recorder.add_frame("rgb", made_frame(1))
    status = recorder.status()
    assert "10 MiB left, and 16 are to stay free" in status.stopped
    assert status.frames == 1
    assert finished(only_file(tmp_path))
    with pytest.raises(RecordingError, match="to stay free"):
        recorder.start()


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "does not work, or was unplugged")]
)
def test_an_error_of_the_disk_turns_it_off_and_leaves_a_readable_file(tmp_path, monkeypatch, code, words):
    recorder = made_recorder(tmp_path)
    recorder.start()
    recorder.add_frame("rgb", made_frame(0))
    wait_until(lambda: recorder.status().frames == 1)
    write = McapFile._write
    failures = []

    def torn(self, *parts):
        if not failures:
            failures.append(self._file.write(b"".join(parts)[:100]))
            raise OSError(code, "injected")
        write(self, *parts)

    monkeypatch.setattr(McapFile, "_write", torn)
    recorder.add_frame("rgb", made_frame(1))
    wait_until(lambda: not recorder.status().on)
    recorder.stop()
    assert words in recorder.status().stopped
    assert recorder.missed == 1
    assert finished(only_file(tmp_path))
    assert [frame.sequence for _, frame in Recording.open(tmp_path).arrivals()] == [0]
    recorder.start()  # the disk is well again
    recorder.stop()
    assert recorder.status().stopped == ""


def test_an_error_when_the_next_file_is_begun_keeps_the_finished_one_and_what_it_had(tmp_path, monkeypatch):
    recorder = made_recorder(tmp_path, file_mib=1)
    recorder.start()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hsi_edge.live.recording_files.FileIO", refuse)
    recorder.add_frame("rgb", made_frame(0, shape=(600, 800, 3)))
    wait_until(lambda: not recorder.status().on)
    recorder.stop()
    assert "the disk is full" in recorder.status().stopped
    assert (recorder.status().frames, recorder.missed) == (1, 0)
    assert finished(only_file(tmp_path))
    assert len(list(Recording.open(tmp_path).arrivals())) == 1


def test_a_frame_that_cannot_be_written_is_counted_and_disturbs_no_other(tmp_path):
    recorder = made_recorder(tmp_path)
    recorder.start()
    odd = SensorFrame(
        data=np.zeros((2, 2, 1), np.uint8), timestamp_ns=0, sequence=0, arrival_ns=1, exposure_us=float("nan")
    )
    recorder.add_frame("rgb", odd)
    recorder.add_frame("rgb", made_frame(1))
    recorder.stop()
    assert recorder.missed == 1
    assert [frame.sequence for _, frame in Recording.open(tmp_path).arrivals()] == [1]


def test_a_new_folder_is_made_where_the_one_above_it_exists(tmp_path):
    recorder = made_recorder(tmp_path / "recordings")
    recorder.start()
    recorder.add_frame("rgb", made_frame(0))
    recorder.stop()
    assert len(list(Recording.open(tmp_path / "recordings").arrivals())) == 1


def test_a_disk_that_is_not_mounted_does_not_become_a_folder_of_another_one(tmp_path):
    with pytest.raises(RecordingError, match=r"there is no folder .*card; mount the disk, or create it first"):
        made_recorder(tmp_path / "card" / "recordings").start()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_or_may_not_be_written_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match=r"cannot record to .*file: .*File exists"):
        made_recorder(tmp_path / "file").start()
    monkeypatch.setattr(recorder_module.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(RecordingError, match="no permission to write there; change the folder's rights"):
        made_recorder(tmp_path).start()


def test_a_file_system_that_turned_read_only_is_told_at_the_start(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("hsi_edge.live.recording_files.FileIO", refuse)
    recorder = made_recorder(tmp_path)
    with pytest.raises(RecordingError, match="read-only, as it does when it is damaged"):
        recorder.start()
    assert not recorder.status().on


def test_starting_repairs_what_a_crash_left_and_leaves_other_files_alone(tmp_path):
    first = made_recorder(tmp_path)
    first.start()
    first.add_frame("rgb", made_frame(0))
    first.stop()
    left = only_file(tmp_path)
    left.write_bytes(left.read_bytes()[:-30])
    foreign = tmp_path / "foreign.mcap"
    foreign.write_bytes(b"no MCAP at all")
    (tmp_path / ".20260101T000000.000Z-0001.mcap.part").write_bytes(b"begun")
    second = made_recorder(tmp_path)
    second.start()
    second.stop()
    assert finished(left)
    assert foreign.read_bytes() == b"no MCAP at all"
    assert not list(tmp_path.glob(".*"))


def test_the_file_of_a_recorder_that_is_at_work_is_not_repaired(tmp_path):
    one, other = made_recorder(tmp_path), made_recorder(tmp_path)
    one.start()
    try:
        one.add_frame("rgb", made_frame(0))
        wait_until(lambda: one.status().frames == 1)
        other.start()
        other.stop()
        one.add_frame("rgb", made_frame(1))
    finally:
        one.stop()
    assert [frame.sequence for _, frame in Recording.open(one.status().path).arrivals()] == [0, 1]


def test_tags_have_free_names_and_json_values(tmp_path):
    recorder = made_recorder(tmp_path)
    for name in ("rgb", "telemetry", "a/b", "", "1"):
        with pytest.raises(InputError, match="cannot be called"):
            recorder.add_tag(name, {}, 0)
    with pytest.raises(InputError, match="JSON cannot hold"):
        recorder.add_tag("position", {"altitude_m": float("nan")}, 0)


@pytest.mark.parametrize(
    ("changes", "words"), [({"reserve_mib": 10}, "reserve_mib is 10; wanted twice"), ({"file_mib": 0}, "wanted 1 or")]
)
def test_settings_that_would_lose_frames_are_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        made_recorder(tmp_path, **changes)
