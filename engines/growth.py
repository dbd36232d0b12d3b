"""How time and memory of a frame grow with its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from engines.processes import Processes
from hsi_edge.bundle import Bundle
from hsi_edge.errors import EngineLoadError, InputError

SIDES = (256, 512, 1024, 2048, 4096, 8192)
"""Of the frames, in HR pixels."""
PIXELS_PER_SIZE = 8 << 20
FEWEST, MOST = 2, 30
"""Runs of one frame after its first; within these bounds, as many as make `PIXELS_PER_SIZE`."""


@dataclass(frozen=True, kw_only=True)
class FrameCost:
    """What frames of one size took.

    Attributes:
        side: Rows and columns, in HR pixels.
        first_s: The first run's time, with the compiling for this size.
        seconds: Times of the later runs.
        prepare_s: Of the last run's time, what the preparation on the CPU took.
        array_bytes: Inputs and output.
        growth_bytes: The most memory beyond them and the imports, from the opening of the bundle on.
        planned_bytes, planned_gpu_bytes: What the engine's report says that a run needs beyond the arrays.
        n_tiles, tile: Number, and rows and columns in HR pixels.
    """

    side: int
    first_s: float
    seconds: tuple[float, ...]
    prepare_s: float
    array_bytes: int
    growth_bytes: int
    planned_bytes: int
    planned_gpu_bytes: int
    n_tiles: int
    tile: tuple[int, int]

    @property
    def ns_per_px(self) -> float:
        """Of the median run, per HR pixel."""
        return median(self.seconds) * 1e9 / self.side**2


@dataclass(frozen=True)
class Growth:
    """The frames of one bundle.

    Attributes:
        bundle: Its name.
        ran: Backend, precision and device.
        costs: By ascending side.
        failures: Sides and why they have no cost.
    """

    bundle: str
    ran: tuple[str, str, str]
    costs: tuple[FrameCost, ...]
    failures: tuple[tuple[int, str], ...]


def measure_growth(
    bundle: Path, sides: Sequence[int], backend: str | None, precision: str | None, say: Callable[[str], None]
) -> Growth:
    """Run a bundle on frames of several sizes, each in a process of its own.

    Args:
        bundle: Folder or `.zip` file.
        sides: In HR pixels, multiples of the model's ratio.
        backend: As for `HSIEngine`; an engine for a GPU is built where there is none.
        precision: As for `HSIEngine`.
        say: Called with a line about each step.

    Raises:
        InputError: A side is no positive multiple of the ratio.
        EngineLoadError: Nothing ran.
        ManifestError: If the bundle is damaged.
    """
    manifest = Bundle.open(bundle).manifest
    if odd := [side for side in sides if side < 1 or side % manifest.ratio]:
        raise InputError(f"a side is {odd[0]} pixels; {manifest.name} takes multiples of its ratio, {manifest.ratio}")
    asked = {"bundle": str(bundle.resolve()), "backend": backend, "precision": precision}
    results = {}
    with TemporaryDirectory() as cache:
        processes = Processes(Path(cache), say)
        # What the first opening on a device finds out and remembers is no part of a flight.
        processes.job(f"{manifest.name}: first opening", "run_frame", {**asked, "side": sides[0], "repeats": 0})
        for side in sorted(sides):
            arguments = {**asked, "side": side, "repeats": repeats_of(side)}
            results[side] = processes.job(f"{manifest.name}: {side} x {side}", "run_frame", arguments)
    done = {side: result for side, result in results.items() if "error" not in result}
    if not done:
        raise EngineLoadError(f"{manifest.name} ran on a frame of no size: {next(iter(results.values()))['error']}")
    return Growth(
        bundle=manifest.name,
        ran=_ran(next(iter(done.values()))),
        costs=tuple(_cost(side, result) for side, result in done.items()),
        failures=tuple((side, result["error"]) for side, result in results.items() if side not in done),
    )


def repeats_of(side: int) -> int:
    """Runs of a frame after its first one."""
    return min(MOST, max(FEWEST, PIXELS_PER_SIZE // side**2))


def _ran(result: dict[str, Any]) -> tuple[str, str, str]:
    return result["backend"], result["precision"], result["device"]


def _cost(side: int, result: dict[str, Any]) -> FrameCost:
    rows, cols = result["tile"]
    return FrameCost(
        side=side,
        first_s=result["first_s"],
        seconds=tuple(result["seconds"]),
        prepare_s=result["prepare_s"],
        array_bytes=result["array_bytes"],
        growth_bytes=result["growth_bytes"],
        planned_bytes=result["planned_bytes"],
        planned_gpu_bytes=result["planned_gpu_bytes"],
        n_tiles=result["n_tiles"],
        tile=(rows, cols),
    )
