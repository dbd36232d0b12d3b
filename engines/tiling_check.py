"""Tiled against whole: whether tiles are exact, and what each source of global statistics costs and saves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.salton_sea import FramePair
from hsi_edge import HSIEngine
from hsi_edge.bundle import Bundle
from hsi_edge.engine import DEFAULT_MEMORY_MB
from hsi_edge.errors import HSIEdgeError, InputError, TilingError
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Manifest, StatisticsMode, Tiling
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import upsample
from hsi_edge.run_report import RunReport
from hsi_edge.tiling.size import candidate_sides

Float = NDArray[np.float32]
Mode = StatisticsMode | Literal["tiles"]
"""How a frame is run; `tiles` where there are no statistics to choose."""
EXACT = ("exact", "tiles")
LIMIT = 1e-5
"""Largest difference that exact modes may show, where the frame's peak is 1."""
TURNS = 3


@dataclass(frozen=True, kw_only=True)
class ModeResult:
    """How one mode compares with the whole frame.

    Attributes:
        mode: Where the statistics came from; `tiles` for a network without.
        n_tiles, tile: The plan, sides in HR pixels with the halo.
        max_abs, rms: Of the difference, where the frame's peak is 1.
        percent_of_residual: The difference's RMS against that of what the network adds to the base image, or to the
            bicubic one where it has none.
        seconds: Of a run.
        times_whole: The same, relative to the whole frame.
    """

    mode: Mode
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
        ratio: HR pixels per LR pixel.
        tiling: What the manifest says of tiles.
        modes: In the manifest's order.
        pictures: Per mode, `(rows, cols)`: the largest difference over the bands.
    """

    bundle: str
    ratio: int
    tiling: Tiling
    modes: tuple[ModeResult, ...]
    pictures: dict[str, Float]

    def require_exact(self) -> None:
        """Fail where tiles that should equal the whole frame do not.

        Raises:
            HSIEdgeError: They differ from it by more than `LIMIT`.
        """
        for result in self.modes:
            if result.mode in EXACT and not result.max_abs <= LIMIT:
                what = "tiles" if result.mode == "tiles" else "tiles with exact statistics"
                raise HSIEdgeError(
                    f"{self.bundle}: {what} differ from the whole frame by {result.max_abs:.2g} "
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
        memory_mb: The engine's budget, which must not hold the frame in one tile; None for the engine's own, or the
            largest half, quarter, ... of it that does not.
        say: Called with a line about each step.

    Raises:
        InputError: The budget allows a tile as large as the frame.
        TilingError: No budget that does not allow that holds a tile.
    """
    manifest = Bundle.open(path).manifest
    tiled: Sequence[Mode] = ("tiles",) if manifest.statistics is None else manifest.statistics.modes
    modes: list[Mode] = ["whole", *(mode for mode in tiled if mode != "whole")]
    before, pair = frame_pairs(manifest)
    budget_mb = memory_mb or _budget_mb(manifest, pair[0].shape)
    runs = _run_modes(path, modes, (before, pair), budget_mb, say)
    base, peak = _base_image(manifest, pair)
    whole = runs["whole"]
    scale = _Scale(peak, _rms(whole.output - base), whole.seconds)
    differences = {mode: np.abs(run.output - whole.output) for mode, run in runs.items()}
    results = tuple(_compared(mode, differences[mode], run, scale) for mode, run in runs.items())
    pictures: dict[str, Float] = {mode: differences[mode].max(axis=2) / np.float32(peak) for mode in modes[1:]}
    return TilingCheck(manifest.name, manifest.ratio, manifest.tiling, results, pictures)


def _budget_mb(manifest: Manifest, lr_shape: tuple[int, ...]) -> int | None:
    """The engine's own budget, halved until no tile holds the frame."""
    if not manifest.graphs:
        return None
    budget_mb = DEFAULT_MEMORY_MB
    # As the engine does it: a third is for measuring the statistics.
    share = 1.0 if manifest.statistics is None else 2 / 3
    while max(candidate_sides(manifest.tiling, manifest.ratio, int(share * (budget_mb << 20)))) >= max(lr_shape[:2]):
        budget_mb //= 2
        if not budget_mb:
            size = f"{lr_shape[0]} x {lr_shape[1]}"
            raise TilingError(
                f"a frame of {size} LR pixels is too small for {manifest.name} to be cut; give a larger one"
            )
    return budget_mb


@dataclass(frozen=True, eq=False)
class _Run:
    """A mode's output, the report about it, and the median seconds."""

    output: Float
    report: RunReport
    seconds: float


def _run_modes(
    path: Path,
    modes: Sequence[Mode],
    pairs: tuple[FramePair, FramePair],
    memory_mb: int | None,
    say: Callable[[str], None],
) -> dict[Mode, _Run]:
    """Run the modes turn by turn; the first turn, which compiles, does not count."""
    runs: dict[Mode, list[_Run]] = {mode: [] for mode in modes}
    with ExitStack() as stack:
        engines = {
            mode: stack.enter_context(
                HSIEngine(path, precision="fp32", statistics=None if mode == "tiles" else mode, memory_mb=memory_mb)
            )
            for mode in modes
        }
        for turn in range(TURNS + 1):
            for mode, engine in engines.items():
                say(f"turn {turn} of {TURNS}: {mode}")
                # Only a stream has a previous frame.
                *_, output = engine.stream(pairs) if mode == "previous" else [engine.run(*pairs[1])]
                # Without a graph, no budget changes the plan.
                if mode != "whole" and engine.manifest.graphs and engine.report.n_tiles == 1:
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


def _compared(mode: Mode, difference: Float, run: _Run, scale: _Scale) -> ModeResult:
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
    given = check_inputs(manifest, *pair, resample=False)
    frame = prepare_frame(manifest, given)
    images = frame.window(frame.grid).images
    if manifest.graphs and "base" in images:
        return frame.hr_hsi_from(images["base"]), frame.scale
    bicubic = upsample(np.ascontiguousarray(np.moveaxis(given.lr_hsi, 2, 0)), manifest.ratio, "bicubic")
    return np.moveaxis(bicubic, 0, 2), frame.scale


def _rms(values: Float) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
