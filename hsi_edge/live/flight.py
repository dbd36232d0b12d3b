"""The flight file: all that a flight is made with, in one strict YAML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.live.feed import Policy
from hsi_edge.live.frame_files import FrameFormat
from hsi_edge.live.ground import Ground
from hsi_edge.live.modes import ModeSettings
from hsi_edge.live.pairing import PairingSettings
from hsi_edge.live.recorder import RecorderSettings
from hsi_edge.live.rgb_health import RgbHealthSettings
from hsi_edge.live.self_check import SelfCheckSettings
from hsi_edge.live.viewer.settings import ViewerSettings
from hsi_edge.records import read_settings
from hsi_edge.sensors.catalogue import RgbSettings, SpectralSettings
from hsi_edge.sensors.simulated_settings import SimulationSettings

SCHEMA = 1
PATHS = frozenset(
    {
        "bundle",
        "single_bundle",
        "rig",
        "mosaic",
        "rgb_radiometry",
        "spectral_radiometry",
        "folder",
        "path",
        "cube",
        "lr",
        "msi",
        "file",
        "files",
    }
)
"""The keys, at any depth, whose texts are paths: of flight files and of the calibration files that they name."""


@dataclass(frozen=True, kw_only=True)
class SimulatedSettings:
    """One of the two simulated sensors (see `Simulation`)."""

    source: Literal["simulated"]


@dataclass(frozen=True, kw_only=True)
class FrameFilesSettings:
    """One file per result.

    Attributes:
        folder: Where to; it must exist.
        format: ENVI or GeoTIFF.
    """

    folder: str
    format: FrameFormat = "envi"


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What both simulated sensors look at, and how.

    Attributes:
        ground: What they fly over.
        sensors: What they are and do.
        paced: Whether in real time; otherwise as fast as results are made.
    """

    ground: Ground
    sensors: SimulationSettings = field(default_factory=SimulationSettings)
    paced: bool = True


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A flight file. Paths in it are relative to its folder.

    Attributes:
        flight: The file's schema number.
        bundle: The fusion model.
        single_bundle: What takes over while the RGB camera fails, a single-image model; None gives no results then.
        backend, precision: As for `HSIEngine`; None chooses for the device.
        rgb, spectral: The sensors; both are simulated, or neither.
        rig: The rig's calibration (`hsi-edge register`); None for simulated sensors, whose rig is known, and for a
            recording of raw frames that the rig is to be found from.
        simulation: What simulated sensors are and look at.
        mosaic: Calibration of a mosaic sensor; None for a spectral sensor that sends bands.
        rgb_radiometry, spectral_radiometry: Files of the two sensors' radiometry; None hands numbers on as they are.
        pairing: How frames of the two find each other.
        queue: Whether a pair that the engine has no time for is overtaken by newer ones, or the sensors have to wait.
        deadline_ms: For a result, from its spectral frame's arrival.
        rgb_health: What an RGB frame that is not to be fused looks like.
        modes: When the fusion is left and taken up again.
        check: The bounds of the self-check.
        withhold: Whether results beyond them are kept back from all but the recording.
        record: The recorder; None for none.
        frame_files: One file per result; None for none.
        shared_memory: Name under which another program reads results; None for none.
        view: The page in the browser.
    """

    flight: int
    bundle: str
    rgb: RgbSettings | SimulatedSettings
    spectral: SpectralSettings | SimulatedSettings
    rig: str | None = None
    single_bundle: str | None = None
    backend: str | None = None
    precision: str | None = None
    simulation: Simulation | None = None
    mosaic: str | None = None
    rgb_radiometry: str | None = None
    spectral_radiometry: str | None = None
    pairing: PairingSettings = field(default_factory=PairingSettings)
    queue: Policy = "newest"
    deadline_ms: float = 1000.0
    rgb_health: RgbHealthSettings = field(default_factory=RgbHealthSettings)
    modes: ModeSettings = field(default_factory=ModeSettings)
    check: SelfCheckSettings = field(default_factory=SelfCheckSettings)
    withhold: bool = False
    record: RecorderSettings | None = None
    frame_files: FrameFilesSettings | None = None
    shared_memory: str | None = None
    view: ViewerSettings = field(default_factory=ViewerSettings)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ManifestError: Names the key and what was wanted.
        """
        if self.flight != SCHEMA:
            raise ManifestError(f"flight is {self.flight}; this version reads flight files of schema {SCHEMA}")
        if self.deadline_ms <= 0:
            raise ManifestError(f"deadline_ms is {self.deadline_ms:g}; wanted milliseconds above 0")
        simulated = isinstance(self.rgb, SimulatedSettings)
        if simulated != isinstance(self.spectral, SimulatedSettings):
            raise ManifestError("one of rgb and spectral is simulated; wanted both or neither, as they see one world")
        if simulated != (self.simulation is not None):
            raise ManifestError("the section simulation belongs to simulated sensors, and these to that section")


def read_flight(path: Path) -> Flight:
    """Read a flight file; its paths become those from here.

    Raises:
        InputError: There is no such file, it is no YAML, or a key is unknown, missing or wrong.
    """
    flight = read_settings(Flight, path, "flight file")
    return with_paths(flight, lambda name: str(path.parent / name))


def recorder_settings(flight: Flight, path: Path) -> RecorderSettings:
    """Where to record, for what cannot do without.

    Raises:
        InputError: The flight file at `path` does not say.
    """
    if flight.record is None:
        raise InputError(f"{path} has no section record; add one with the folder to record to")
    return flight.record


Record = TypeVar("Record")


def with_paths(record: Record, change: Callable[[str], str]) -> Record:
    """The record with every path in it changed, at any depth."""
    changed: dict[str, Any] = {}
    for one in fields(cast(Any, record)):
        value = getattr(record, one.name)
        if is_dataclass(value):
            changed[one.name] = with_paths(value, change)
        elif one.name in PATHS and isinstance(value, str):
            changed[one.name] = change(value)
        elif one.name in PATHS and isinstance(value, tuple):
            changed[one.name] = tuple(change(path) for path in value)
    return cast(Record, replace(cast(Any, record), **changed))
