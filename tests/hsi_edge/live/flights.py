"""Short simulated flights over the Salton Sea, small enough for a test."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsi_edge.live.assembly import open_live
from hsi_edge.live.flight import Flight, SimulatedSettings, Simulation
from hsi_edge.live.ground import CubeGround
from hsi_edge.live.recorder import RecorderSettings
from hsi_edge.live.result import LiveResult
from hsi_edge.live.sink import Sink
from hsi_edge.live.status import Status
from hsi_edge.records import plain_from_record
from hsi_edge.registration.refiner import Refiner
from hsi_edge.sensors.simulated_faults import Fault, FaultKind
from hsi_edge.sensors.simulated_settings import RGB_TIMING, SPECTRAL_TIMING, SimulationSettings

ROOT = Path(__file__).parents[3]
BUNDLES = ROOT / "engines" / "bundles"
SAMPLE = ROOT / "apps" / "samples" / "salton_sea"
SIDE = 16
SMALL = {"file_mib": 64, "queue_mib": 16, "reserve_mib": 32}


class Kept:
    """A sink that keeps results."""

    def __init__(self, name: str = "kept") -> None:
        self.name = name
        self.results: list[LiveResult] = []
        self.closed = 0

    def take(self, result: LiveResult) -> None:
        self.results.append(result)

    def close(self) -> None:
        self.closed += 1


def made_flight(
    ground: Path,
    *,
    faults: Sequence[Fault] = (),
    seconds: float | None = 5.0,
    paced: bool = False,
    fps: float = 2.0,
    record_to: Path | None = None,
    **changes: Any,
) -> Flight:
    """A flight of the regression model over a cube; unpaced, it takes a fraction of a second."""
    sensors = SimulationSettings(
        lr_rows=SIDE,
        lr_cols=SIDE,
        rgb=replace(RGB_TIMING, fps=5 * fps),
        spectral=replace(SPECTRAL_TIMING, fps=fps),
        seconds=seconds,
        faults=tuple(faults),
    )
    fields: dict[str, Any] = {
        "bundle": str(BUNDLES / "regression-x8"),
        "single_bundle": str(BUNDLES / "interpolation-x8"),
        "rgb": SimulatedSettings(source="simulated"),
        "spectral": SimulatedSettings(source="simulated"),
        "simulation": Simulation(ground=CubeGround(kind="cube", cube=str(ground)), sensors=sensors, paced=paced),
        "record": None if record_to is None else RecorderSettings(folder=str(record_to), **SMALL),
    }
    return Flight(flight=1, **(fields | changes))


def fault(kind: FaultKind, at_s: float = 2.0, for_s: float = 1.0) -> Fault:
    return Fault(kind=kind, at_s=at_s, for_s=for_s)


def flown(flight: Flight, *sinks: Sink, record: bool = False) -> tuple[list[LiveResult], Status]:
    """Fly to the end; the results and the last status."""
    kept = Kept()
    with open_live(flight, sinks=[kept, *sinks], record=record) as live:
        live.wait()
        status = live.status()
    return kept.results, status


def slow_down(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make the registration take at least so long."""
    refine, never = Refiner.refine, threading.Event()

    def slowly(*arguments: Any) -> Any:
        never.wait(seconds)
        return refine(*arguments)

    patch.setattr(Refiner, "refine", slowly)


def flight_file(path: Path, flight: Flight, **changes: object) -> Path:
    """The flight as a file; a change of None takes a key away."""
    plain = {key: value for key, value in plain_from_record(flight).items() if value is not None} | changes  # type: ignore[attr-defined]
    path.write_text(yaml.safe_dump({key: value for key, value in plain.items() if value is not None}))
    return path
