"""What a check found, complete; the three files are written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hsi_edge.acceptance.accuracy import SceneAccuracy
from hsi_edge.acceptance.drift import Drift
from hsi_edge.acceptance.energy import Energy
from hsi_edge.acceptance.latency import Latency, Run

UNTOLD = "not told by this system"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which engine, in the words of `HSIEngine`; None is the device's default.

    Attributes:
        bundle: The bundle's folder or `.zip` file.
        backend, precision, memory_mb: As for `HSIEngine`.
    """

    bundle: Path
    backend: str | None = None
    precision: str | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How long the start took.

    Attributes:
        open_ms: Opening the bundle, once this device knows it.
        first_open_ms: The very first opening on this device, with golden replay and the search for the fastest tile;
            None where that was before this check.
        first_frame_ms: The first frame after opening.
        remark: What the numbers contain.
    """

    open_ms: float
    first_open_ms: float | None
    first_frame_ms: float
    remark: str


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What was held; each None has its remark, which says why.

    Attributes:
        peak_bytes: The most that the process held: interpreter, packages, scenes and the engine.
        gpu_bytes: The most that was in use on the GPU, by all programs.
        growth_bytes: Of the process, from the first to the last fifth of the readings.
    """

    peak_bytes: int | None
    peak_remark: str
    gpu_bytes: float | None
    gpu_remark: str
    growth_bytes: float | None
    growth_remark: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One signal over a run.

    Attributes:
        name: What it is of.
        unit: Of its values.
        times_s: Since the run's start.
        values: One per time.
    """

    name: str
    unit: str
    times_s: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Soak:
    """The long run.

    Attributes:
        minutes: How long it was.
        latency: Of all its frames.
        curves: Latency (median and worst of each stretch), temperatures, clocks, power and memory over it.
    """

    minutes: float
    latency: Latency
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class EngineCheck:
    """One engine's numbers.

    Attributes:
        label: A short name, unlike the other engine's.
        settings: What was asked for.
        model, fingerprint: The bundle's name, and the SHA-256 of its manifest.
        backend, precision, device, tile, n_tiles: What ran, as the engine reports it.
        fallback: What the engine fell back from, in words; None where it did not.
        frames: The frames whose latency was measured, in words.
        energy_untold: Why there is no energy.
        run: The frames whose latency was measured.
        curves: Signals over that run.
    """

    label: str
    settings: Settings
    model: str
    fingerprint: str
    backend: str
    precision: str
    device: str
    tile: tuple[int, int]
    n_tiles: int
    fallback: str | None
    frames: str
    opening: Opening
    latency: Latency
    drift: Drift
    memory: Memory
    energy: Energy | None
    energy_untold: str
    accuracy: tuple[SceneAccuracy, ...]
    soak: Soak | None
    run: Run
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the numbers were taken under.

    Attributes:
        facts: By name, in words.
        doubts: What makes a number less certain than it looks, one sentence each.
        untold: What this system does not tell, and why.
    """

    facts: Mapping[str, str]
    doubts: tuple[str, ...]
    untold: Mapping[str, str]
