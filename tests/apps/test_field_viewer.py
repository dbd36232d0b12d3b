from __future__ import annotations

import csv
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from apps import field_viewer
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.live import assembly
from hsi_edge.live.pipeline import Live
from hsi_edge.live.result import LiveResult
from tests.hsi_edge.live.flights import flight_file, made_flight
from tests.hsi_edge.live.live_results import made_result

pytestmark = pytest.mark.usefixtures("no_thread_left")


def flight_yaml(ground: Path, tmp_path: Path, **options: object) -> Path:
    flight = made_flight(ground, **options)  # type: ignore[arg-type]
    return flight_file(tmp_path / "flight.yaml", flight, view={"address": "127.0.0.1:0"})


def cube(red: float, infrared: float) -> Cube:
    data = np.zeros((2, 2, 3), np.float32)
    data[..., 1:] = red, infrared
    return Cube(data=data, wavelengths_nm=np.array([550.0, 668.0, 805.0]), quantity="reflectance")


def test_every_result_is_printed_and_logged_with_its_index(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, log = flight_yaml(ground, tmp_path, seconds=None), tmp_path / "logs" / "ndvi.csv"
    for _ in range(2):
        assert field_viewer.main([str(path), "--log", str(log), "--results", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("open http://127.0.0.1:")
    assert len(said) == 6
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {row["mode"] for row in rows} == {"fusion"}
    assert all(-1 <= float(row["ndvi_p10"]) < float(row["ndvi_p90"]) <= 1 for row in rows)
    assert all(abs(float(row["ndvi_mean"])) < 1 for row in rows)


def test_the_address_that_it_prints_lets_another_machine_in(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[int] = []

    class Opened(Live):
        def results(self) -> Iterator[LiveResult]:
            port, token = re.search(r":(\d+)/(\S*)", capsys.readouterr().out).groups()  # type: ignore[union-attr]
            for query in ("", token):
                found = httpx.get(f"http://127.0.0.1:{port}/{query}", follow_redirects=True)
                answers.append(found.status_code)
            yield from super().results()

    monkeypatch.setattr(assembly, "Live", Opened)
    path = flight_yaml(ground, tmp_path, seconds=None)
    assert field_viewer.main([str(path), "--open-to", "0.0.0.0:0", "--results", "1"]) == 0
    assert answers == [401, 200]


def test_the_page_is_served_while_it_runs(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[int] = []
    viewer = field_viewer.Viewer

    class Visited(viewer):  # type: ignore[misc, valid-type]
        def __enter__(self) -> object:
            opened = super().__enter__()
            pages.append(httpx.get(self.url).status_code)
            return opened

    monkeypatch.setattr(field_viewer, "Viewer", Visited)
    assert field_viewer.main([str(flight_yaml(ground, tmp_path, seconds=1.0))]) == 0
    assert pages == [200]


def test_ctrl_c_ends_it_without_an_error(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Live) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Live, "results", interrupted)
    assert field_viewer.main([str(flight_yaml(ground, tmp_path, seconds=None))]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_a_port_in_use_is_one_clear_line(ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        path = flight_file(
            tmp_path / "flight.yaml",
            made_flight(ground, seconds=None),
            view={"address": f"127.0.0.1:{busy.getsockname()[1]}"},
        )
        assert field_viewer.main([str(path)]) == 2
    assert "is in use" in capsys.readouterr().err


def test_the_index_is_that_of_red_and_infrared() -> None:
    np.testing.assert_allclose(field_viewer.ndvi(cube(0.1, 0.5)), np.full((2, 2), 0.4 / 0.6), rtol=1e-6)


@pytest.mark.parametrize(("red", "infrared"), [(0.0, 0.0), (np.nan, 0.5), (-0.01, 0.02)])
def test_a_frame_without_light_or_without_numbers_has_no_index(red: float, infrared: float) -> None:
    assert field_viewer.describe(replace(made_result(), hr_hsi=cube(red, infrared)))["ndvi_mean"] == ""


def test_a_sensor_without_the_bands_is_told() -> None:
    with pytest.raises(InputError, match="no band near 800 nm"):
        field_viewer.ndvi(replace(cube(0.1, 0.5), wavelengths_nm=np.array([550.0, 668.0, 700.0])))
    with pytest.raises(InputError, match="names no wavelengths"):
        field_viewer.ndvi(replace(cube(0.1, 0.5), wavelengths_nm=None))


def test_a_log_that_cannot_be_written_is_wrong_use(
    ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    path = flight_yaml(ground, tmp_path)
    assert field_viewer.main([str(path), "--log", str(tmp_path / "file" / "log.csv")]) == 2
    assert "cannot write the log" in capsys.readouterr().err
