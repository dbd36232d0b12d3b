"""Tiled against whole: what each source of global statistics costs in accuracy, and saves in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engines.salton_sea import FramePair
from hsi_edge import HSIEngine
from hsi_edge.bundle import Bundle
from hsi_edge.errors import HSIEdgeError, InputError
from hsi_edge.frame import prepare_frame
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Manifest, StatisticsMode
from hsi_edge.run_report import RunReport
from hsi_edge.tiling.geometry import Region

Float = NDArray[np.float32]
LIMIT = 1e-5
"""Largest difference that the exact mode may show, where the frame's peak is 1."""
TURNS = 3


@dataclass(frozen=True, kw_only=True)
class ModeResult:
    """How one mode compares with the whole frame.

    Attributes:
        mode: Where the statistics came from.
        n_tiles, tile: The plan, sides in HR pixels with the halo.
        max_abs, rms: Of the difference, where the frame's peak is 1.
        percent_of_residual: The difference's RMS against that of what the network adds.
        seconds: Of a run.
        times_whole: The same, relative to the whole frame.
    """

    mode: StatisticsMode
    n_tiles: int
    tile: tuple[int, int]
    max_abs: float
    rms: float
    percent_of_residual: float
    seconds: float
    times_whole: float


@dataclass(frozen=True, eq=False)
class TilingCheck:
    """All modes of a bundle on one frame.

    Attributes:
        bundle: The model's name.
        modes: In the manifest's order.
        pictures: Per mode, `(rows, cols)`: the largest difference over the bands.
    """

    bundle: str
    modes: tuple[ModeResult, ...]
    pictures: dict[str, Float]

    def require_exact(self) -> None:
        """Fail where the exact mode is not.

        Raises:
            HSIEdgeError: It differs from the whole frame by more than `LIMIT`.
        """
        for result in self.modes:
            if result.mode == "exact" and not result.max_abs <= LIMIT:
                raise HSIEdgeError(
                    f"{self.bundle}: tiles with exact statistics differ from the whole frame by {result.max_abs:.2g} "
                    f"of its peak; at most {LIMIT:g} is allowed: the halo is too small, or the given-statistics graph "
                    "is another function"
                )


def check_tiling(
    path: Path,
    frame_pairs: Callable[[Manifest], tuple[FramePair, FramePair]],
    *,
    memory_mb: int | None = None,
    say: Callable[[str], None],
) -> TilingCheck:
    """Run a frame whole and in tiles, in every mode of a bundle.

    Args:
        path: The bundle.
        frame_pairs: Gives the frame before, whose statistics `previous` takes, and the frame.
        memory_mb: The engine's budget, which must not hold the frame in one tile; None for the engine's own.
        say: Called with a line about each step.

    Raises:
        InputError: The model has no global statistics, or the budget allows a tile as large as the frame.
    """
    manifest = Bundle.open(path).manifest
    if manifest.statistics is None:
        raise InputError(f"the model {manifest.name} has no global statistics; its tiles need no check by mode")
    modes: list[StatisticsMode] = ["whole", *(mode for mode in manifest.statistics.modes if mode != "whole")]
    before, pair = frame_pairs(manifest)
    runs = _run_modes(path, modes, (before, pair), memory_mb, say)
    base, peak = _base_image(manifest, pair)
    whole = runs["whole"]
    scale = _Scale(peak, _rms(whole.output - base), whole.seconds)
    differences = {mode: np.abs(run.output - whole.output) for mode, run in runs.items()}
    results = tuple(_compared(mode, differences[mode], run, scale) for mode, run in runs.items())
    pictures: dict[str, Float] = {mode: differences[mode].max(axis=2) / np.float32(peak) for mode in modes[1:]}
    return TilingCheck(manifest.name, results, pictures)


@dataclass(frozen=True, eq=False)
class _Run:
    """A mode's output, the report about it, and the median seconds."""

    output: Float
    report: RunReport
    seconds: float


def _run_modes(
    path: Path,
    modes: Sequence[StatisticsMode],
    pairs: tuple[FramePair, FramePair],
    memory_mb: int | None,
    say: Callable[[str], None],
) -> dict[StatisticsMode, _Run]:
    """Run the modes turn by turn; the first turn, which compiles, does not count."""
    runs: dict[StatisticsMode, list[_Run]] = {mode: [] for mode in modes}
    with ExitStack() as stack:
        engines = {
            mode: stack.enter_context(HSIEngine(path, precision="fp32", statistics=mode, memory_mb=memory_mb))
            for mode in modes
        }
        for turn in range(TURNS + 1):
            for mode, engine in engines.items():
                say(f"turn {turn} of {TURNS}: {mode}")
                # Only a stream has a previous frame.
                *_, output = engine.stream(pairs) if mode == "previous" else [engine.run(*pairs[1])]
                if mode != "whole" and engine.report.n_tiles == 1:
                    raise InputError(
                        "the memory budget holds the whole frame as one tile, so nothing is tiled; give a smaller one"
                    )
                runs[mode].append(_Run(output, engine.report, engine.report.timings_ms["total"] / 1000))
    return {mode: replace(done[-1], seconds=median(run.seconds for run in done[1:])) for mode, done in runs.items()}


@dataclass(frozen=True)
class _Scale:
    """What differences and times are relative to: the frame's peak, the residual's RMS, the whole frame's seconds."""

    peak: float
    residual: float
    whole_s: float


def _compared(mode: StatisticsMode, difference: Float, run: _Run, scale: _Scale) -> ModeResult:
    rms = _rms(difference)
    return ModeResult(
        mode=mode,
        n_tiles=run.report.n_tiles,
        tile=run.report.tile,
        max_abs=float(difference.max()) / scale.peak,
        rms=rms / scale.peak,
        percent_of_residual=100 * rms / scale.residual,
        seconds=run.seconds,
        times_whole=run.seconds / scale.whole_s,
    )


def _base_image(manifest: Manifest, pair: FramePair) -> tuple[Float, float]:
    """What the network adds to, `(rows, cols, bands)`, and the frame's peak."""
    frame = prepare_frame(manifest, check_inputs(manifest, *pair, resample=False))
    rows, cols = frame.lr_shape
    base, _, _ = frame.window(Region(0, rows, 0, cols))
    return np.moveaxis(base, 0, 2) * np.float32(frame.scale), frame.scale


def _rms(values: Float) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
