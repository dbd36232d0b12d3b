"""How long a frame should take on a device that is not here, from what its network computes and moves.

Each layer takes the longer of its arithmetic at the device's peak and its traffic at the memory's bandwidth: that is
the roofline, faster than which no engine can be. What engines reach of it is `EFFICIENCY`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engines.layers import FUSED, Layer, Shape, count_layers
from engines.targets import ARITHMETIC, Arithmetic, Target
from hsi_edge.backends import graph_precision
from hsi_edge.bundle import Bundle
from hsi_edge.engine_build import plan_shapes
from hsi_edge.engine_choice import tile_shapes
from hsi_edge.engine_store import Form
from hsi_edge.errors import InputError
from hsi_edge.manifest import Manifest
from hsi_edge.tiling.geometry import plan_tiles
from hsi_edge.tiling.size import candidate_sides, fastest_tile


@dataclass(frozen=True)
class Efficiency:
    """The shares of the peak and of the bandwidth that engines reach, and the seconds that a layer's start takes."""

    compute: float
    memory: float
    start_s: float


EFFICIENCY = Efficiency(compute=0.5, memory=0.7, start_s=2.5e-6)
"""What good engines reach on networks such as these, and how fast kernels follow each other in a CUDA graph."""
ROOFLINE = Efficiency(compute=1.0, memory=1.0, start_s=0.0)
MAX_BUDGET_BYTES = 1 << 40
MEMORY_SHARE = 0.5
"""How much of a device's memory a tile may take: the rest is the system's, the sensors' and the frame's."""


@dataclass(frozen=True)
class Speeds:
    """What a device does in a second: operations (two per multiply-accumulate) by arithmetic, and bytes moved."""

    operations: Mapping[Arithmetic, float]
    bytes_moved: float

    @classmethod
    def of(cls, target: Target) -> Speeds:
        """A target's figures."""
        known = {name: figure.value * 1e12 for name in ARITHMETIC if (figure := target.peak(name)) is not None}
        return cls(known, target.memory_gb_s.value * 1e9)

    def slowed(self, compute: float, memory: float) -> Speeds:
        """These, with the given shares of the operations and of the bytes."""
        return Speeds({name: value * compute for name, value in self.operations.items()}, self.bytes_moved * memory)


@dataclass(frozen=True)
class Work:
    """What a frame asks for.

    Attributes:
        tile_lr: Rows and columns of a tile with its halo, in LR pixels.
        n_tiles: Tiles per frame.
        runs: The layers of each graph that is run, and how often it is run in a frame.
        assumed: Whether the bundle lacks the graph, so that the FP32 one was counted as if all of it ran so.
    """

    tile_lr: tuple[int, int]
    n_tiles: int
    runs: tuple[tuple[tuple[Layer, ...], int], ...]
    assumed: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame, halos and statistics counted."""
        return sum(times * sum(layer.macs for layer in layers) for layers, times in self.runs)

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written for a frame."""
        return sum(times * sum(layer.moved_bytes for layer in layers) for layers, times in self.runs)

    def seconds(self, speeds: Speeds, efficiency: Efficiency) -> float:
        """The time of a frame."""
        return sum(times * _seconds(layers, speeds, efficiency) for layers, times in self.runs)

    def memory_bound_share(self, speeds: Speeds) -> float:
        """The share of the roofline's time in layers that wait for the memory."""
        waiting = sum(
            times * _seconds([layer for layer in layers if _waits(layer, speeds)], speeds, ROOFLINE)
            for layers, times in self.runs
        )
        return waiting / self.seconds(speeds, ROOFLINE)


def plan_work(
    bundle: Bundle,
    frame_px: tuple[int, int],
    arithmetic: Arithmetic,
    speeds: Speeds,
    *,
    memory_bytes: float = math.inf,
    tile_px: tuple[int, int] | None = None,
) -> Work:
    """Plan a frame as the engine does, with the roofline's seconds in place of measured ones, and count its layers.

    Args:
        bundle: With a graph.
        frame_px: HR rows and columns.
        arithmetic: Of the layers; the bundle's graph of that precision is counted where it has one.
        speeds: Of the device; it must have the arithmetic.
        memory_bytes: Of the device.
        tile_px: HR rows and columns of a tile that is known; None to choose one.

    Raises:
        InputError: The model has no graph, the frame does not fit the model's ratio, or the device lacks the
            arithmetic.
        TilingError: The memory holds no tile.
    """
    manifest = bundle.manifest
    _check(manifest, frame_px, arithmetic, speeds)
    grid = _grid(manifest, frame_px)
    if tile_px is None:
        tile = _best_tile(bundle, grid, arithmetic, speeds, memory_bytes * MEMORY_SHARE)
    else:
        tile = (tile_px[0] // manifest.ratio, tile_px[1] // manifest.ratio)
    tiling = manifest.tiling
    n_tiles = len(plan_tiles(grid, tile, halo=tiling.halo_lr, alignment=tiling.alignment_lr))
    # Where the tiles are given their statistics, these are measured once.
    by_form = plan_shapes(manifest, (min(tile[0], grid[0]), min(tile[1], grid[1])), grid)
    times = {form: 1 if form == "whole" and "given" in by_form else n_tiles for form in by_form}
    runs = [(_count(bundle, form, shapes, arithmetic), times[form]) for form, shapes in by_form.items()]
    return Work(tile, n_tiles, tuple(runs), assumed=graph_precision(arithmetic) not in manifest.graphs)


def _check(manifest: Manifest, frame_px: tuple[int, int], arithmetic: Arithmetic, speeds: Speeds) -> None:
    if not manifest.graphs:
        raise InputError(f"the model {manifest.name} has no graph, so no engine and no roofline; choose another bundle")
    if any(length < 1 or length % manifest.ratio for length in frame_px):
        raise InputError(
            f"the frame is {frame_px[0]}x{frame_px[1]} HR pixels; wanted multiples of the ratio, {manifest.ratio}"
        )
    if arithmetic not in speeds.operations:
        raise InputError(
            f"nothing is known of {arithmetic} on this device; choose one of {', '.join(speeds.operations)}"
        )


def _grid(manifest: Manifest, frame_px: tuple[int, int]) -> tuple[int, int]:
    unit = manifest.tiling.alignment_lr
    rows, cols = (-(-length // manifest.ratio // unit) * unit for length in frame_px)
    return rows, cols


def _best_tile(
    bundle: Bundle, grid: tuple[int, int], arithmetic: Arithmetic, speeds: Speeds, budget: float
) -> tuple[int, int]:
    manifest = bundle.manifest
    share = budget if manifest.statistics is None else budget * 2 / 3
    sides = candidate_sides(manifest.tiling, manifest.ratio, int(min(share, MAX_BUDGET_BYTES)))
    layers = {side: _count(bundle, "whole", tile_shapes(manifest, "whole", (side, side)), arithmetic) for side in sides}
    return fastest_tile(grid, manifest.tiling, {side: _seconds(layers[side], speeds, ROOFLINE) for side in sides})


def _count(bundle: Bundle, form: Form, shapes: Mapping[str, Shape], arithmetic: Arithmetic) -> tuple[Layer, ...]:
    graphs = bundle.manifest.graphs
    own = graphs.get(graph_precision(arithmetic))
    graph = own or graphs["fp32"]
    name = graph.whole if form == "whole" else graph.given
    assert name is not None
    # BF16 is arithmetic of the FP32 graph.
    assumed = None if own is not None and arithmetic != "bf16" else arithmetic
    return count_layers(bundle.read_bytes(name), shapes, assumed)


def _seconds(layers: Sequence[Layer], speeds: Speeds, efficiency: Efficiency) -> float:
    starts = sum(layer.kind not in FUSED for layer in layers) * efficiency.start_s
    return starts + sum(max(*_bounds(layer, speeds, efficiency)) for layer in layers)


def _waits(layer: Layer, speeds: Speeds) -> bool:
    compute, memory = _bounds(layer, speeds, ROOFLINE)
    return memory > compute


def _bounds(layer: Layer, speeds: Speeds, efficiency: Efficiency) -> tuple[float, float]:
    """Seconds of its arithmetic and of its traffic."""
    # A graph may hold layers that are wider than its name; where the device lacks their arithmetic, FP32 runs them.
    peak = speeds.operations.get(layer.arithmetic, speeds.operations["fp32"])
    compute = 2 * layer.macs / (peak * efficiency.compute)
    return compute, layer.moved_bytes / (speeds.bytes_moved * efficiency.memory)
