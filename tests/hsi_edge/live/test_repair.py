from __future__ import annotations

from functools import cache
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import NonSeekingReader, SeekingReader
from mcap.writer import Writer

from hsi_edge.errors import RecordingError
from hsi_edge.live.mcap_file import McapFile
from hsi_edge.live.recording import Recording
from hsi_edge.live.repair import finished, repair
from hsi_edge.live.setup import BundleFacts, Setup
from hsi_edge.live.topics import frame_message
from tests.hsi_edge.live.live_results import made_frame

SETUP = Setup(
    files={"flight.yaml": b"rgb: {}\n", "dark.npy": bytes(100)},
    bundles=(
        BundleFacts(
            role="fusion", name="a", manifest_sha256="0" * 64, precision="fp32", backend="openvino", device="CPU"
        ),
    ),
)
N_CHUNKS = 5


@cache
def whole_file(tmp: Path) -> tuple[bytes, list[int]]:
    """A finished file of one frame per chunk, and how long it was after each."""
    path, ends = tmp / "whole.mcap", []
    with FileIO(path, "w") as file:
        mcap = McapFile(file, SETUP, 0)
        ends.append(mcap.size)
        for sequence in range(N_CHUNKS):
            mcap.add(frame_message("rgb", made_frame(sequence)))
            mcap.sync()
            ends.append(mcap.size)
        mcap.finish()
    return path.read_bytes(), ends


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


def sequences(path: Path) -> list[int]:
    return [frame.sequence for _, frame in Recording.open(path).arrivals()]


def test_a_finished_file_is_left_alone(folder):
    data, _ = whole_file(folder)
    path = folder / "finished.mcap"
    path.write_bytes(data)
    assert finished(path)
    assert not repair(path)
    assert path.read_bytes() == data


@given(st.data())
def test_a_file_cut_anywhere_keeps_all_that_was_complete_and_is_whole_again_after_repair(folder, data):
    content, ends = whole_file(folder)
    cut = data.draw(st.integers(ends[0], len(content) - 1))
    path = folder / "cut.mcap"
    path.write_bytes(content[:cut])
    kept = sum(cut >= end for end in ends[1:])
    before = sequences(path)
    assert path.read_bytes() == content[:cut]  # reading does not change it
    assert before[:kept] == list(range(kept))
    assert repair(path)
    assert sequences(path) == before
    with path.open("rb") as file:
        reader = SeekingReader(file, validate_crcs=True)
        assert [message.sequence for _, _, message in reader.iter_messages()] == before
        assert [attachment.name for attachment in reader.iter_attachments()] == ["flight.yaml", "dark.npy"]
    assert Recording.open(path).setup == SETUP
    assert len(before) < N_CHUNKS or path.read_bytes() == content


@given(st.data())
def test_damage_after_a_power_cut_ends_the_file_before_it(folder, data):
    content, ends = whole_file(folder)
    cut = data.draw(st.integers(1, N_CHUNKS))
    filler = data.draw(st.sampled_from([b"\0", b"\xff", b"\x06\x10"]))
    torn = data.draw(st.integers(ends[cut - 1], ends[cut] - 60))
    path = folder / "damaged.mcap"
    path.write_bytes(content[:torn] + filler * data.draw(st.integers(20, 3000)))
    assert sequences(path) == list(range(cut - 1))
    assert repair(path)
    assert sequences(path) == list(range(cut - 1))


def test_a_repair_that_was_cut_short_can_be_repeated(folder):
    content, _ = whole_file(folder)
    path = folder / "again.mcap"
    for missing in (1, 20, 100, 300):
        path.write_bytes(content[: len(content) - missing])
        repair(path)
        assert path.read_bytes() == content


def test_a_sequential_reader_agrees_with_the_repaired_file_on_its_checksums(folder):
    path = folder / "sequential.mcap"
    content, ends = whole_file(folder)
    path.write_bytes(content[: ends[3] + 10])
    repair(path)
    with path.open("rb") as file:
        assert len(list(NonSeekingReader(file, validate_crcs=True).iter_messages())) == 3


def test_files_of_others_are_refused_and_not_touched(folder, tmp_path):
    path = tmp_path / "other.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2")
        writer.finish()
    data = path.read_bytes()
    with pytest.raises(RecordingError, match="of another program"):
        Recording.open(path)
    path.write_bytes(data[:-1])
    with pytest.raises(RecordingError, match=r"of another program .* `mcap recover`"):
        repair(path)
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match="no MCAP file, or has lost its beginning"):
        repair(path)
    with pytest.raises(RecordingError, match="No such file"):
        repair(tmp_path / "missing.mcap")
