from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, RecordingError
from hsi_edge.io import read, write
from hsi_edge.live.flight import Flight
from hsi_edge.live.packing import FLIGHT, packed, unpacked
from hsi_edge.radiometry import Radiometry, read_radiometry
from hsi_edge.registration.rig import Rig, read_rig
from hsi_edge.sensors.camera import RtspSettings
from hsi_edge.sensors.tcp import TcpSettings
from tests.hsi_edge.live.flights import SAMPLE


@pytest.fixture
def rig() -> Rig:
    return read_rig(SAMPLE / "rig.yaml")


@pytest.fixture
def flight(tmp_path: Path) -> Flight:
    """Two dark frames of one name, in different folders and formats, and a white one."""
    for number, folder in enumerate(("long", "short")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "dark.img", Cube(data=np.full((4, 5, 3), number, np.float32)))
    radiometry = {
        "dark": {"dark": "frames", "files": ["long/dark.hdr", "short/dark.hdr"], "exposures_us": [2000.0, 1000.0]},
        "saturation_level": 60000.0,
    }
    (tmp_path / "radiometry.yaml").write_text(yaml.safe_dump(radiometry))
    return Flight(
        flight=1,
        bundle="somewhere/fusion",
        rig=str(SAMPLE / "rig.yaml"),
        rgb=RtspSettings(source="rtsp", url="rtsp://user:secret@camera/stream"),
        spectral=TcpSettings(source="tcp"),
        spectral_radiometry=str(tmp_path / "radiometry.yaml"),
        deadline_ms=700.0,
    )


def test_a_flight_comes_back_from_its_recording_with_all_that_it_names(
    flight: Flight, rig: Rig, tmp_path: Path
) -> None:
    files = packed(flight, rig)
    (tmp_path / "elsewhere").mkdir()
    found = unpacked(files, tmp_path / "elsewhere")
    assert found.bundle == str(Path("somewhere/fusion").resolve())
    assert found.deadline_ms == 700.0
    assert found.rig is not None
    np.testing.assert_array_equal(read_rig(Path(found.rig)).msi_from_lr, rig.msi_from_lr)
    assert found.spectral_radiometry is not None
    settings = read_radiometry(Path(found.spectral_radiometry))
    values = [np.asarray(read(path).data).max() for path in settings.dark.files]  # type: ignore[union-attr]
    assert values == [0, 1]
    Radiometry(settings)


def test_a_recording_holds_no_password(flight: Flight, rig: Rig) -> None:
    assert not any(b"secret" in content for content in packed(flight, rig).values())


def test_what_cannot_be_carried_is_named(flight: Flight, rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "short" / "dark.hdr").unlink()
    with pytest.raises(InputError, match=r"short/dark.hdr, which a recording has to carry"):
        packed(flight, rig)


def test_a_recording_of_another_tool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no flight file"):
        unpacked({"rig.yaml": b""}, tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_a_file_that_leads_out_of_the_folder_is_refused(flight: Flight, rig: Rig, tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(RecordingError, match="leads elsewhere"):
        unpacked({**packed(flight, rig), name: b"x"}, inside)
    assert not (tmp_path / "evil").exists()


def test_a_name_that_the_system_refuses_is_an_error_of_the_recording(flight: Flight, rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(RecordingError, match="cannot unpack"):
        unpacked({**packed(flight, rig), f"{FLIGHT}/below": b"x"}, tmp_path / "new")


def test_the_flight_file_of_a_recording_is_read_as_strictly_as_any(flight: Flight, rig: Rig, tmp_path: Path) -> None:
    files = packed(replace(flight, spectral_radiometry=None), rig)
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError, match=r"the flight file \S+ is wrong: unknown key colour"):
        unpacked({**files, FLIGHT: files[FLIGHT] + b"colour: red\n"}, tmp_path / "new")
