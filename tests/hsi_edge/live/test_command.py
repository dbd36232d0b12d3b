"""`hsi-edge live` as a stranger meets it."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsi_edge import cli
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import EngineLoadError
from hsi_edge.live import command
from hsi_edge.live.command import interruptible, positive_seconds, signals_restored
from hsi_edge.live.recording import Recording
from tests.hsi_edge.live.flights import SMALL, fault, flight_file, made_flight

HSI_EDGE = (sys.executable, "-c", "import sys; from hsi_edge.cli import main; sys.exit(main(sys.argv[1:]))")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "POLL_S", 0.05)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """The commands change this package's log."""
    logger = logging.getLogger("hsi_edge")
    before = logger.level, logger.handlers, logger.propagate
    yield
    logger.level, logger.handlers, logger.propagate = before


def flight_yaml(ground: Path, tmp_path: Path, **options: object) -> Path:
    flight = made_flight(ground, **options)  # type: ignore[arg-type]
    return flight_file(tmp_path / "flight.yaml", flight, record={"folder": "recordings"} | SMALL)


@pytest.mark.usefixtures("no_thread_left")
def test_a_flight_runs_to_its_end_and_says_how_it_went(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_yaml(ground, tmp_path, seconds=4.0, faults=[fault("rgb_black", 1.0)])
    assert cli.main(["live", str(path), "--record"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["mode"] for line in said if "mode" in line] == ["fusion", "single", "fusion"]
    assert "8 results, " in said[-1]["message"]
    assert len(list(Recording.open(tmp_path / "recordings").results())) == 8


@pytest.mark.usefixtures("no_thread_left")
def test_an_endless_flight_stops_after_the_time_that_it_was_given(ground: Path, tmp_path: Path) -> None:
    assert cli.main(["live", str(flight_yaml(ground, tmp_path, seconds=None)), "--seconds", "0.1"]) == 0


@pytest.mark.usefixtures("no_thread_left")
def test_a_flight_without_any_result_is_a_failure_that_says_why(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise EngineLoadError("the device is gone")

    monkeypatch.setattr(HSIEngine, "_begin", failing)
    assert cli.main(["live", str(flight_yaml(ground, tmp_path, seconds=1.0))]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "hsi-edge: no result could be made of 2 pairs: the device is gone"
    )


@pytest.mark.parametrize("name", ["live", "record"])
@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_wrong_use(name: str, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "flight.yaml", f"--seconds={seconds}"]) == 2
    said = capsys.readouterr().err
    assert f"--seconds: '{seconds}' is no time; wanted seconds above 0" in said
    assert len(said.splitlines()) == 1


def test_a_time_is_read() -> None:
    assert positive_seconds("2.5") == 2.5


def test_what_is_to_record_nowhere_is_wrong_use(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flight_file(tmp_path / "flight.yaml", made_flight(ground))
    assert cli.main(["live", str(path), "--record"]) == 2
    assert "has no section record; add one" in capsys.readouterr().err


def test_a_missing_flight_file_is_wrong_use_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["live", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == (
        "hsi-edge: cannot read the flight file nowhere.yaml (No such file or directory); check the path\n"
    )


@pytest.mark.usefixtures("no_thread_left")
def test_a_viewer_whose_port_is_taken_ends_the_flight(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        path = flight_yaml(ground, tmp_path, seconds=None)
        path.write_text(re.sub(r"address: \S+:\d+", f"address: 127.0.0.1:{port}", path.read_text()))
        assert cli.main(["live", str(path), "--view"]) == 2
    assert f"port {port} is in use" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("numbers", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM)])
def test_who_interrupts_a_flight_once_or_twice_has_a_finished_recording(
    ground: Path, tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    path = flight_yaml(ground, tmp_path, seconds=None, paced=True, fps=10.0)
    process = subprocess.Popen([*HSI_EDGE, "live", str(path), "--record"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "mode fusion" in line:
            break
    for number in numbers:
        process.send_signal(number)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    recording = Recording.open(tmp_path / "recordings")
    assert recording.damage == ()
    assert len(list(recording.results())) > 0


def test_signals_mean_again_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals_restored(), interruptible() as stopped:
        signal.raise_signal(signal.SIGTERM)
        assert stopped.wait(10)
        assert stopped.wait(10)
    assert signal.getsignal(signal.SIGTERM) is before
