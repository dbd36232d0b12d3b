from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, OutputError, SensorError, SensorTimeout
from hsi_edge.live import shared_memory
from hsi_edge.live.shared_memory import FOLDER, SharedMemoryReader, SharedMemorySink
from hsi_edge.live.shared_segment import SegmentReader
from tests.hsi_edge.live.live_results import made_result

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="this system has no /dev/shm")

WRITER = """
import sys
import numpy as np
from hsi_edge.cube import Cube
from hsi_edge.live.shared_memory import SharedMemorySink
from tests.hsi_edge.live.live_results import made_result
sink = SharedMemorySink(sys.argv[1])
number = 0
while True:
    sink.take(made_result(number, hr_hsi=Cube(data=np.full((64, 64, 8), number, np.float32))))
    if number == 0:
        print("published", flush=True)
    number += 1
"""


@pytest.fixture
def name():
    name = f"test-{uuid.uuid4().hex}"
    yield name
    (FOLDER / f"hsi_edge.{name}").unlink(missing_ok=True)


@pytest.fixture
def sink(name):
    sink = SharedMemorySink(name)
    yield sink
    sink.close()


@pytest.fixture
def reader(name):
    reader = SharedMemoryReader(name)
    yield reader
    reader.close()


def test_a_reader_gets_the_newest_result_once_with_all_that_is_known_of_it(sink, reader):
    sink.take(made_result(0))
    sink.take(made_result(1))
    found, wanted = reader.newest(0), made_result(1)
    np.testing.assert_array_equal(found.hr_hsi, wanted.hr_hsi.data)
    np.testing.assert_array_equal(found.mask, wanted.hr_hsi.mask)
    np.testing.assert_array_equal(found.wavelengths_nm, wanted.hr_hsi.wavelengths_nm)
    assert (found.quantity, found.telemetry["number"]) == ("reflectance", 1)
    with pytest.raises(SensorTimeout, match="nothing new"):
        reader.newest(0)
    found.hr_hsi[:] = 0  # it is the reader's own
    sink.take(made_result(2))
    assert reader.newest(0).telemetry["number"] == 2


def test_a_reader_may_come_before_the_writer_and_stay_when_it_ends(name, reader):
    with pytest.raises(SensorTimeout):
        reader.newest(0)
    for _ in range(2):  # a second writer counts from the start
        sink = SharedMemorySink(name)
        sink.take(made_result(0))
        assert reader.newest(0).telemetry["number"] == 0
        sink.close()
        with pytest.raises(SensorTimeout):
            reader.newest(0)
    assert not (FOLDER / f"hsi_edge.{name}").exists()


def test_a_reader_gives_the_memory_back_at_the_end_of_its_block(name, sink):
    sink.take(made_result(0))
    with SharedMemoryReader(name) as reader:
        assert reader.newest(0).telemetry["number"] == 0
    assert reader.newest(0).telemetry["number"] == 0  # it would begin anew, as it holds nothing
    reader.close()


def test_larger_frames_and_texts_are_followed(sink, reader):
    sink.take(made_result(0, hr_hsi=Cube(data=np.zeros((2, 2, 1), np.float32))))
    assert reader.newest(0).hr_hsi.shape == (2, 2, 1)
    sink.take(made_result(1, hr_hsi=Cube(data=np.ones((20, 30, 5), np.float32)), reason="why " * 5000))
    found = reader.newest(0)
    assert found.hr_hsi.shape == (20, 30, 5)
    assert len(found.telemetry["reason"]) == 20000
    assert found.mask is None


def test_a_reader_in_another_process_never_sees_a_torn_frame_and_outlives_a_kill_of_the_writer(name, reader):
    command = [sys.executable, "-c", WRITER, name]
    numbers = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        for _ in range(300):
            found = reader.newest(10)
            numbers.append(found.telemetry["number"])
            assert (found.hr_hsi == numbers[-1]).all()
        with pytest.raises(OutputError, match="another process publishes by this name"):
            SharedMemorySink(name).take(made_result())
        writer.kill()
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 300 - 1  # it did not wait for the reader
    with pytest.raises(SensorTimeout):
        SharedMemoryReader(name).newest(0)  # what a dead writer left is not new
    again = SharedMemorySink(name)
    again.take(made_result(5))
    assert reader.newest(0).telemetry["number"] == 5
    again.close()


def test_a_reader_that_ends_takes_nothing_with_it(sink, name, reader):
    sink.take(made_result(0))
    code = "import sys; from hsi_edge.live.shared_memory import *; SharedMemoryReader(sys.argv[1]).newest(5)"
    subprocess.run([sys.executable, "-c", code, name], cwd=ROOT, check=True)
    assert reader.newest(0).telemetry["number"] == 0


def test_content_that_the_writer_overtook_is_not_handed_out(sink, name):
    sink.take(made_result(0))
    segment = SegmentReader(FOLDER / f"hsi_edge.{name}")
    assert json.loads(segment.content(1)[0])["telemetry"]["number"] == 0
    sink.take(made_result(1))
    sink.take(made_result(2))
    assert segment.content(1) is None
    segment.close()


def test_names_and_files_that_are_not_ours_are_refused(name, reader, tmp_path, monkeypatch):
    for wrong in ("", "../a", "a/b", ".a"):
        with pytest.raises(InputError, match="cannot be called"):
            SharedMemorySink(wrong)
    (FOLDER / f"hsi_edge.{name}").write_bytes(bytes(1000))
    with pytest.raises(SensorError, match="another version of this package, or of another program"):
        reader.newest(0)
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "missing")
    with pytest.raises(OutputError, match="No such file or directory"):
        SharedMemorySink(name).take(made_result())


def test_memory_that_is_used_up_is_an_error_and_no_crash(name, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="No space left"):
        SharedMemorySink(name).take(made_result())
    assert not [path for path in FOLDER.iterdir() if name in path.name]
