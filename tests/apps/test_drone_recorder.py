from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps import drone_recorder
from hsi_edge.live.recording import Recording
from tests.hsi_edge.live.flights import SMALL, flight_file, made_flight

pytestmark = pytest.mark.usefixtures("no_thread_left", "_own_log", "_quick")


def flight_yaml(ground: Path, tmp_path: Path, **options: object) -> Path:
    flight = made_flight(ground, **options)  # type: ignore[arg-type]
    return flight_file(tmp_path / "flight.yaml", flight, record={"folder": "recordings"} | SMALL)


def test_it_records_from_the_first_frame_on_without_any_receiver(ground: Path, tmp_path: Path) -> None:
    assert drone_recorder.main([str(flight_yaml(ground, tmp_path, seconds=2.0))]) == 0
    recording = Recording.open(tmp_path / "recordings")
    assert [one["number"] for one in recording.results()] == [0, 1, 2, 3]
    assert len(list(recording.arrivals())) == 24
    assert list(recording.tags("position")) == []


def test_positions_lie_in_the_recording(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def positions(port: str, stop: Any) -> Iterator[dict[str, object]]:
        assert port == "/dev/ttyACM0"
        yield {"latitude_deg": 48.1}
        stop.wait(10)

    monkeypatch.setattr(drone_recorder, "nmea_positions", positions)
    path = flight_yaml(ground, tmp_path, seconds=None)
    assert drone_recorder.main([str(path), "--nmea", "/dev/ttyACM0", "--seconds", "0.2"]) == 0
    (tag,) = Recording.open(tmp_path / "recordings").tags("position")
    assert tag[1] == {"latitude_deg": 48.1}


def test_a_receiver_that_is_not_there_does_not_stop_the_flight(ground: Path, tmp_path: Path) -> None:
    path = flight_yaml(ground, tmp_path, seconds=1.0)
    assert drone_recorder.main([str(path), "--nmea", "/dev/ttyNONE"]) == 0
    assert len(list(Recording.open(tmp_path / "recordings").results())) == 2


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["nowhere.yaml"], "cannot read the flight file nowhere.yaml"),
        ([], "required: flight"),
        (["x", "--seconds=-1"], "seconds"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert drone_recorder.main(arguments) == 2
    said = capsys.readouterr().err
    assert wanted in said
    assert len(said.splitlines()) == 1


def test_a_flight_without_a_recorder_is_refused(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_file(tmp_path / "flight.yaml", made_flight(ground))
    assert drone_recorder.main([str(path)]) == 2
    assert "no section record" in capsys.readouterr().err
