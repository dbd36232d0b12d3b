from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsi_edge.errors import HSIEdgeError
from hsi_edge.live.assembly import open_live
from hsi_edge.live.flight import FrameFilesSettings
from hsi_edge.live.recorder import RecorderSettings
from hsi_edge.sensors.camera import UsbSettings
from hsi_edge.sensors.images import ImagesSettings
from hsi_edge.sensors.tcp import TcpSettings
from hsi_edge.sensors.watched_folder import FolderSettings
from tests.hsi_edge.live.flights import BUNDLES, SAMPLE, fault, flown, made_flight
from tests.hsi_edge.live.live_results import wait_until

pytestmark = pytest.mark.usefixtures("no_thread_left")


def real(ground: Path, **changes: Any) -> Any:
    """A flight with sensors that are no simulation."""
    fields: dict[str, Any] = {
        "simulation": None,
        "rig": str(SAMPLE / "rig.yaml"),
        "rgb": ImagesSettings(source="images", folder=str(SAMPLE)),
        "spectral": FolderSettings(source="folder", path=str(ground.parent)),
    }
    return made_flight(ground, **(fields | changes))


def refused(flight: Any, *, record: bool = False) -> str:
    """What is said where a flight cannot begin: one line."""
    with pytest.raises(HSIEdgeError) as raised, open_live(flight, record=record):
        pytest.fail("the flight began")
    assert "\n" not in str(raised.value)
    return f"{type(raised.value).__name__}: {raised.value}"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"bundle": "nowhere"}, "no model bundle at nowhere"),
        ({"bundle": str(BUNDLES / "interpolation-x8")}, "is a single model; wanted a fusion model as bundle"),
        (
            {"single_bundle": str(BUNDLES / "regression-x8")},
            "is a fusion model; wanted a single model as single_bundle",
        ),
        ({"single_bundle": str(BUNDLES / "interpolation-x4")}, "give two of the same ratio"),
        (
            {"bundle": str(BUNDLES / "regression-x4"), "single_bundle": None},
            "simulation.sensors.ratio is 8, and the model regression-x4 has ratio 4",
        ),
        ({"rig": "nowhere.yaml"}, "cannot read the rig nowhere.yaml"),
        ({"rgb_radiometry": "nowhere.yaml"}, "cannot read the radiometry file nowhere.yaml"),
        ({"spectral_radiometry": "nowhere.yaml"}, "cannot read the radiometry file nowhere.yaml"),
        ({"mosaic": "nowhere.yaml"}, "cannot read the mosaic calibration nowhere.yaml"),
        ({"shared_memory": "a/b"}, "shared memory cannot be called 'a/b'"),
    ],
)
def test_what_a_flight_names_and_is_not_there_or_does_not_fit_is_told(
    ground: Path, changes: dict[str, Any], wanted: str
) -> None:
    assert wanted in refused(made_flight(ground, **changes))


def test_real_sensors_without_a_rig_are_not_fused(ground: Path) -> None:
    assert "names no rig; find it from frames of both sensors" in refused(replace(real(ground), rig=None))


def test_a_ground_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "there is no such file" in refused(made_flight(tmp_path / "none.img"))


def test_a_spectral_sensor_that_is_not_there_is_an_error_and_leaves_nothing_open(
    ground: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spectral = FolderSettings(source="folder", path="nowhere")
    assert refused(real(ground, spectral=spectral)).startswith("SensorError: cannot list the folder nowhere")
    assert caplog.text == ""


def test_a_port_in_use_is_told(ground: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        spectral = TcpSettings(source="tcp", listen=f"127.0.0.1:{busy.getsockname()[1]}")
        assert "another program listens there" in refused(real(ground, spectral=spectral))


def test_settings_that_make_no_sense_name_their_sensor(ground: Path) -> None:
    spectral = TcpSettings(source="tcp", listen="everywhere")
    assert refused(real(ground, spectral=spectral)).startswith("InputError: spectral: listen is 'everywhere'")


def test_without_a_single_image_model_the_rgb_camera_must_be_there(
    ground: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flight = real(ground, rgb=UsbSettings(source="usb", device=63), single_bundle=None)
    assert refused(flight).startswith("SensorError: the USB camera 63")
    assert caplog.text == ""


def test_with_a_single_image_model_the_rgb_camera_may_come_later(ground: Path) -> None:
    flight = real(ground, rgb=UsbSettings(source="usb", device=63))
    with open_live(flight) as live:
        wait_until(lambda: live.status().rgb.error)
        assert live.status().rgb.state == "waiting"


def test_a_simulated_rgb_camera_that_is_unplugged_at_the_start_is_done_without(ground: Path) -> None:
    flight = made_flight(ground, seconds=1.0, paced=True, fps=5.0, faults=[fault("rgb_unplugged", 0.0, 60.0)])
    results, _ = flown(flight)
    assert results
    assert {(result.mode, result.reason) for result in results} == {("single", "no RGB frame has come")}


def test_a_folder_for_files_must_exist_before_the_flight(ground: Path) -> None:
    flight = made_flight(ground, frame_files=FrameFilesSettings(folder="nowhere"))
    assert refused(flight) == "InputError: frame_files.folder: there is no folder nowhere; create it first"


def test_a_recording_that_cannot_begin_is_told_before_the_flight(ground: Path, tmp_path: Path) -> None:
    flight = made_flight(ground, record=RecorderSettings(folder=str(tmp_path / "card" / "recordings")))
    assert refused(flight, record=True).startswith("RecordingError: cannot record to")


def test_a_flight_writes_its_own_files(ground: Path, tmp_path: Path) -> None:
    flown(made_flight(ground, seconds=1.0, frame_files=FrameFilesSettings(folder=str(tmp_path))))
    assert len(list(tmp_path.glob("*.hdr"))) == 2
