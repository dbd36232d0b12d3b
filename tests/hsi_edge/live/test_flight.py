from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hsi_edge.errors import InputError
from hsi_edge.live.flight import Flight, read_flight, with_paths
from hsi_edge.sensors.camera import UsbSettings
from hsi_edge.sensors.watched_folder import FolderSettings
from tests.hsi_edge.live.flights import ROOT

FLIGHT = """
flight: 1
bundle: models/fusion
rig: rig.yaml
rgb: {source: usb, device: 0}
spectral: {source: folder, path: incoming}
record: {folder: recordings}
"""


def written(tmp_path: Path, text: str = FLIGHT, **changes: object) -> Path:
    plain = yaml.safe_load(text) | changes
    path = tmp_path / "flight.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in plain.items() if value != "left out"}))
    return path


def test_a_flight_file_is_read_with_its_paths_relative_to_itself(tmp_path: Path) -> None:
    flight = read_flight(written(tmp_path, single_bundle="/models/single"))
    assert flight.bundle == str(tmp_path / "models/fusion")
    assert flight.single_bundle == "/models/single"
    assert isinstance(flight.spectral, FolderSettings)
    assert flight.spectral.path == str(tmp_path / "incoming")
    assert flight.record is not None
    assert flight.record.folder == str(tmp_path / "recordings")
    assert flight.rgb == UsbSettings(source="usb", device=0)
    assert flight.queue == "newest"


def test_the_sample_is_a_flight_file() -> None:
    assert read_flight(ROOT / "apps" / "samples" / "live.yaml").simulation is not None


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"flight": 2}, "flight is 2; this version reads flight files of schema 1"),
        ({"flight": "left out"}, "flight is missing; wanted a whole number"),
        ({"bundle": "left out"}, "bundle is missing; wanted text"),
        ({"bundle": 3}, "bundle is 3; wanted text, in quotes"),
        ({"bundles": "x"}, r"unknown key bundles \(did you mean bundle\?\)"),
        ({"rgb": "left out"}, "rgb is missing"),
        ({"rgb": {"device": 0}}, "rgb.source is missing; wanted one of usb, rtsp"),
        ({"rgb": {"source": "ubs"}}, "rgb.source is 'ubs'; wanted one of usb"),
        ({"rgb": {"source": "usb", "device": 0, "with": 640}}, r"unknown key rgb.with \(did you mean width\?\)"),
        ({"rgb": {"source": "tcp"}}, "rgb.source is 'tcp'; wanted one of usb"),
        ({"spectral": {"source": "usb"}}, "spectral.source is 'usb'; wanted one of tcp, folder, recording"),
        ({"spectral": {"source": "tcp", "port": 7}}, "unknown key spectral.port; known: source, listen"),
        ({"queue": "oldest"}, "queue is 'oldest'; wanted one of newest, lossless"),
        ({"deadline_ms": 0}, "deadline_ms is 0; wanted milliseconds above 0"),
        ({"deadline_ms": "1e3"}, "deadline_ms is '1e3'; wanted a finite number"),
        ({"deadline_ms": float("nan")}, "deadline_ms is nan; wanted a finite number"),
        ({"withhold": "yes please"}, "withhold is 'yes please'; wanted true or false"),
        ({"pairing": {"tolerance_ms": -1}}, "pairing: tolerance_ms is -1.*0 or more"),
        ({"modes": {"good_frames_back": 0}}, "modes: good_frames_back is 0; wanted 1 or more"),
        ({"rgb_health": {"black": 2}}, "rgb_health: black is 2.*between 0 and 1"),
        ({"check": {"rbg": 1}}, r"unknown key check.rbg \(did you mean rgb\?\)"),
        ({"record": {"folder": "x", "outputs": "float64"}}, "record.outputs is 'float64'; wanted one of none"),
        ({"record": {"folder": "x", "queue_mib": 0}}, "record: .*queue_mib 0; wanted 1 or more"),
        ({"record": "recordings"}, "record is 'recordings'; wanted a mapping"),
        ({"view": {"addresses": "x"}}, r"unknown key view.addresses \(did you mean address\?\)"),
        ({"frame_files": {"folder": "x", "format": "png"}}, "frame_files.format is 'png'"),
        ({"rgb": {"source": "simulated"}}, "one of rgb and spectral is simulated; wanted both or neither"),
        (
            {"rgb": {"source": "simulated"}, "spectral": {"source": "simulated"}},
            "the section simulation belongs to simulated sensors",
        ),
        ({"simulation": {"ground": {"kind": "cube", "cube": "c.img"}}}, "the section simulation belongs to"),
        ({"simulation": {"ground": {"kind": "ball"}}}, "simulation.ground.kind is 'ball'; wanted one of cube, pair"),
        (
            {
                "simulation": {
                    "ground": {"kind": "cube", "cube": "c.img"},
                    "sensors": {"faults": [{"kind": "rgb_tired", "at_s": 1, "for_s": 1}]},
                }
            },
            r"simulation.sensors.faults\[0\].kind is 'rgb_tired'; wanted one of rgb_unplugged",
        ),
        (
            {"simulation": {"ground": {"kind": "cube", "cube": "c.img"}, "sensors": {"rgb": {"fps": -1}}}},
            "simulation.sensors.rgb: .*fps is -1",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_key(tmp_path: Path, changes: dict, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted) as raised:
        read_flight(written(tmp_path, **changes))
    assert str(raised.value).startswith(f"the flight file {tmp_path / 'flight.yaml'} is wrong: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "flight is missing"),
        (b"flight: [1", "not readable YAML"),
        (b"- 1\n- 2\n", "wanted a mapping"),
        (b"flight: 1\nflight: 1\n", "stands twice"),
        (b"\xff\xfe\x00", "not readable YAML"),
        (b"a: " + b"x" * (5 << 20), "wanted at most"),
    ],
)
def test_what_is_no_flight_file_is_refused(tmp_path: Path, content: bytes, wanted: str) -> None:
    (tmp_path / "flight.yaml").write_bytes(content)
    with pytest.raises(InputError, match=wanted):
        read_flight(tmp_path / "flight.yaml")


def test_a_missing_flight_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_flight(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        read_flight(tmp_path)


def test_every_path_of_a_record_is_changed_and_nothing_else(tmp_path: Path) -> None:
    flight: Flight = read_flight(written(tmp_path, shared_memory="bundle"))
    changed = with_paths(flight, str.upper)
    assert changed.bundle == flight.bundle.upper()
    assert changed.shared_memory == "bundle"
    assert changed.queue == "newest"
