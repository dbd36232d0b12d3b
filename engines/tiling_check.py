"""Tiled against whole: what each source of global statistics costs in accuracy, and saves in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engines.salton_sea import FramePair
from hsi_edge import HSIEngine
from hsi_edge.bundle import Bundle
from hsi_edge.engine import RunReport
from hsi_edge.errors import HSIEdgeError, InputError
from hsi_edge.frame import prepare_frame
from hsi_edge.inputs import check_inputs
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import Manifest, StatisticsMode
from hsi_edge.png import encode_png
from hsi_edge.report.measured import facts, table, write_measured
from hsi_edge.tiling.geometry import Region

Float = NDArray[np.float32]
LIMIT = 1e-5
"""Largest difference that the exact mode may show, where the frame's peak is 1."""
REPEATS = 3
_DARK, _BRIGHT = 1e-7, 1e-1
NOTES = """\
Each mode against the same frame run in one piece, in FP32, where the frame's peak (99.9th percentile) is 1. The
residual is what the network adds to the base image. Mode `previous` has the statistics of a frame pair three LR rows
before, as in a flight. Times are medians; reading files is not in them."""


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
    path: Path, frame_pairs: Callable[[Manifest], tuple[FramePair, FramePair]], *, memory_mb: int
) -> TilingCheck:
    """Run a frame whole and in tiles, in every mode of a bundle.

    Args:
        path: The bundle.
        frame_pairs: Gives the frame before, whose statistics `previous` takes, and the frame.
        memory_mb: Budget that keeps the tiles smaller than the frame.

    Raises:
        InputError: The model has no global statistics, or the budget allows a tile as large as the frame.
    """
    manifest = Bundle.open(path).manifest
    if manifest.statistics is None:
        raise InputError(f"the model {manifest.name} has no global statistics; its tiles need no check by mode")
    before, pair = frame_pairs(manifest)
    base, peak = _base_image(manifest, pair)
    whole, report, whole_s = _run(path, "whole", before, pair, None)
    scale = _Scale(peak, _rms(whole - base), whole_s)
    results = [_compared("whole", np.zeros_like(whole), report, whole_s, scale)]
    pictures: dict[str, Float] = {}
    for mode in manifest.statistics.modes:
        if mode == "whole":
            continue
        output, report, seconds = _run(path, mode, before, pair, memory_mb)
        if report.n_tiles == 1:
            raise InputError(f"{memory_mb} MB hold the whole frame as one tile; give less, so that there are tiles")
        difference = np.abs(output - whole)
        results.append(_compared(mode, difference, report, seconds, scale))
        pictures[mode] = difference.max(axis=2) / np.float32(peak)
    return TilingCheck(manifest.name, tuple(results), pictures)


@dataclass(frozen=True)
class _Scale:
    """What differences and times are relative to: the frame's peak, the residual's RMS, the whole frame's seconds."""

    peak: float
    residual: float
    whole_s: float


def _compared(mode: StatisticsMode, difference: Float, report: RunReport, seconds: float, scale: _Scale) -> ModeResult:
    rms = _rms(difference)
    return ModeResult(
        mode=mode,
        n_tiles=report.n_tiles,
        tile=report.tile,
        max_abs=float(difference.max()) / scale.peak,
        rms=rms / scale.peak,
        percent_of_residual=100 * rms / scale.residual,
        seconds=seconds,
        times_whole=seconds / scale.whole_s,
    )


def _run(
    path: Path, mode: StatisticsMode, before: FramePair, pair: FramePair, memory_mb: int | None
) -> tuple[Float, RunReport, float]:
    """The frame's output, its report and the median seconds; the first run, which compiles, does not count."""
    milliseconds = []
    with HSIEngine(path, precision="fp32", statistics=mode, memory_mb=memory_mb) as engine:
        for _ in range(REPEATS + 1):
            # Only a stream has a previous frame; to the other modes it makes no difference.
            *_, output = engine.stream([before, pair]) if mode == "previous" else [engine.run(*pair)]
            milliseconds.append(engine.report.timings_ms["total"])
        return output, engine.report, median(milliseconds[1:]) / 1000


def _base_image(manifest: Manifest, pair: FramePair) -> tuple[Float, float]:
    """What the network adds to, `(rows, cols, bands)`, and the frame's peak."""
    frame = prepare_frame(manifest, check_inputs(manifest, *pair, resample=False))
    rows, cols = frame.lr_shape
    base, _, _ = frame.window(Region(0, rows, 0, cols))
    return np.moveaxis(base, 0, 2) * np.float32(frame.scale), frame.scale


def _rms(values: Float) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def tiling_markdown(check: TilingCheck, machine: dict[str, str]) -> str:
    """The modes side by side, and what the picture shows."""
    header = ["statistics", "tiles", "max", "RMS", "% of residual", "seconds", "times whole"]
    rows = [
        [
            result.mode,
            f"{result.n_tiles} of {result.tile[0]} x {result.tile[1]}",
            f"{result.max_abs:.1e}",
            f"{result.rms:.1e}",
            f"{result.percent_of_residual:.3g}",
            f"{result.seconds:.2f}",
            f"{result.times_whole:.2f}",
        ]
        for result in check.modes
    ]
    picture = (
        f"tiling.png shows the largest difference over the bands, from left to right: {', '.join(check.pictures)}; "
        f"black is {_DARK:g} or less, white {_BRIGHT:g} or more, on a logarithmic scale."
    )
    return "\n\n".join([f"# Tiled against whole: {check.bundle}", NOTES, facts(machine), table(header, rows), picture])


def write_tiling(folder: Path, check: TilingCheck, machine: dict[str, str]) -> None:
    """Write `tiling.md`, `tiling.json` and `tiling.png`.

    Raises:
        OutputError: If the system refuses to write.
    """
    plain = {"machine": machine, "bundle": check.bundle, "modes": [asdict(result) for result in check.modes]}
    write_measured(folder, "tiling", tiling_markdown(check, machine), plain)
    with atomic_path(folder / "tiling.png") as partial:
        partial.write_bytes(encode_png(difference_picture(list(check.pictures.values()))))


def difference_picture(differences: list[Float]) -> NDArray[np.uint8]:
    """Differences side by side, `(rows, cols, 3)`, logarithmic, with white lines between."""
    panels = []
    for difference in differences:
        share = np.log(np.clip(difference, _DARK, _BRIGHT) / _DARK) / np.log(_BRIGHT / _DARK)
        panels += [np.round(255 * share).astype(np.uint8), np.full((len(difference), 4), 255, np.uint8)]
    return np.repeat(np.concatenate(panels[:-1], axis=1)[:, :, None], 3, axis=2)
