"""`hsi-edge record`, and what `hsi-edge replay` makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsi_edge import cli
from hsi_edge.live import record
from hsi_edge.live.assembly import flight_rig
from hsi_edge.live.flight import Flight
from hsi_edge.live.recorder import Recorder
from hsi_edge.live.recording import Recording
from hsi_edge.live.status import RecordingStatus
from hsi_edge.registration.rig import Rig, write_rig
from hsi_edge.sensors.simulated import SimulatedPair
from tests.hsi_edge.live.flights import SMALL, fault, flight_file, made_flight
from tests.hsi_edge.live.test_command import _own_log as _own_log

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "POLL_S", 0.05)


def flight_yaml(ground: Path, tmp_path: Path, **options: object) -> Path:
    flight = made_flight(ground, **options)  # type: ignore[arg-type]
    return flight_file(tmp_path / "flight.yaml", flight, record={"folder": "recordings"} | SMALL)


def test_raw_frames_are_recorded_and_fused_afterwards(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Not paced, as there is no engine to wait for: it is flown in real time all the same.
    path = flight_yaml(ground, tmp_path, seconds=1.0, fps=5.0, faults=[fault("rgb_unplugged", 0.6, 9.0)])
    assert cli.main(["record", str(path)]) == 0
    said = capsys.readouterr().out
    recording = Recording.open(tmp_path / "recordings")
    frames = [stream for stream, _ in recording.arrivals()]
    assert said.startswith(f"recorded {len(frames)} frames, ")
    assert frames.count("spectral") == 5
    assert list(recording.results()) == []
    assert cli.main(["replay", str(tmp_path / "recordings")]) == 0
    assert "5 results; 0 were made in flight" in capsys.readouterr().out


def test_frames_can_be_recorded_before_there_is_a_rig_and_be_fused_with_one(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_yaml(ground, tmp_path, seconds=1.0, fps=5.0)
    rigs: list[Rig] = []

    def without_rig(flight: Flight, simulated: SimulatedPair) -> None:
        rigs.append(flight_rig(flight, simulated))

    monkeypatch.setattr(record, "_rig", without_rig)
    assert cli.main(["record", str(path)]) == 0
    write_rig(tmp_path / "rig.yaml", rigs[0])
    assert cli.main(["replay", str(tmp_path / "recordings")]) == 2
    assert "made without a rig; find it with hsi-edge register, and give it as --rig" in capsys.readouterr().err
    assert cli.main(["replay", str(tmp_path / "recordings"), "--rig", str(tmp_path / "rig.yaml")]) == 0
    assert "5 results" in capsys.readouterr().out


def test_a_sensor_that_sent_nothing_is_told(ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = flight_yaml(ground, tmp_path, seconds=0.5, fps=5.0, faults=[fault("rgb_unplugged", 0.0, 9.0)])
    assert cli.main(["record", str(path)]) == 0
    assert "MB, none of the rgb sensor, to " in capsys.readouterr().out


def test_a_recording_ends_when_its_time_is_up(ground: Path, tmp_path: Path) -> None:
    path = flight_yaml(ground, tmp_path, seconds=None, fps=5.0)
    assert cli.main(["record", str(path), "--seconds", "0.3"]) == 0
    assert Recording.open(tmp_path / "recordings").damage == ()


def test_without_a_section_record_it_says_what_to_add(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_file(tmp_path / "flight.yaml", made_flight(ground))
    assert cli.main(["record", str(path)]) == 2
    assert "has no section record; add one" in capsys.readouterr().err


def test_a_disk_that_fills_up_ends_it_with_the_reason(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "status", lambda self: RecordingStatus(stopped="the disk is full"))
    assert cli.main(["record", str(flight_yaml(ground, tmp_path, seconds=None))]) == 1
    assert "the recording stopped by itself: the disk is full" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = made_flight(ground, seconds=None)
    path = flight_file(tmp_path / "flight.yaml", flight, record={"folder": "card/recordings"} | SMALL)
    assert cli.main(["record", str(path)]) == 1
    assert "cannot record to" in capsys.readouterr().err
