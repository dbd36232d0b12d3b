"""Tiles through the engine: cut, computed and stitched, each beside its neighbours', and captured as CUDA graphs.

The engine has the compute stream for itself. A side stream cuts the next tile into a second set of tensors, and
stitches the one before out of its own.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from hsi_edge.cuda.driver import CaptureRefusedError, Cuda
from hsi_edge.cuda.engine import DeviceEngine
from hsi_edge.cuda.memory import FrameMemory
from hsi_edge.cuda.passes import NO_ARRAY, Image, Kernels
from hsi_edge.cuda.plan import WHOLE_FRAME
from hsi_edge.manifest import Manifest
from hsi_edge.subspace import MARGIN_LR
from hsi_edge.tiling.geometry import Tile

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Machine:
    """What tiles run on.

    Attributes:
        cuda: The GPU.
        kernels: Loaded there.
        engine: Compiled for the tiles.
        manifest: The model's.
        side: The side stream.
    """

    cuda: Cuda
    kernels: Kernels
    engine: DeviceEngine
    manifest: Manifest
    side: int


class TileLoop:
    """The tile loop of frames of one shape.

    The first frame is run as it is, which also lets the engine settle; the loop is then captured and replayed.

    Attributes:
        tiles: All of them.
        parts: The tiles in groups that can be handed out one after the other: rows of tiles, or all at once where the
            whole frame is needed first.
        done: An event for each part, recorded when it is on the canvas.
        refused: Why the loop could not be captured, in words; None where it was, or was not tried yet.

    Args:
        machine: What runs them.
        memory: The frame's.
        tiles: Of the frame.
    """

    def __init__(self, machine: Machine, memory: FrameMemory, tiles: tuple[Tile, ...]) -> None:
        cuda = machine.cuda
        self.tiles = tiles
        self.parts = _parts(machine.manifest, tiles)
        self.done = [cuda.new_event() for _ in self.parts]
        self.refused: str | None = None
        self._machine = machine
        self._memory = memory
        sets = range(memory.plan.tile_sets)
        self._fork, self._join = cuda.new_event(), cuda.new_event()
        self._cut = [cuda.new_event() for _ in sets]
        self._computed = [cuda.new_event() for _ in sets]
        self._addresses = [self._tensors(index) for index in sets]
        self._graphs: list[int] = []
        self._settled = False

    def start(self) -> None:
        """Put all parts into the compute stream; the frame's image must be ready there."""
        cuda = self._machine.cuda
        if self._settled and not self._graphs and self.refused is None:
            self._capture()
        for index, part in enumerate(self.parts):
            if self._graphs:
                cuda.launch_graph(self._graphs[index], cuda.stream)
            else:
                self._run(part)
            cuda.record(self.done[index], cuda.stream)
        self._settled = True

    def release(self) -> None:
        """Give back graphs and events; nothing may still be running."""
        events = (self._fork, self._join, *self.done, *self._cut, *self._computed)
        self._machine.cuda.release(*events, *self._graphs)

    def _capture(self) -> None:
        cuda = self._machine.cuda
        try:
            for part in self.parts:
                self._graphs.append(cuda.capture(cuda.stream, functools.partial(self._run, part)))
        except CaptureRefusedError as err:
            cuda.release(*self._graphs)
            self._graphs = []
            self.refused = f"the tile loop runs without a CUDA graph, as capturing it was refused: {err}"
            _log.warning(self.refused)

    def _run(self, tiles: Sequence[Tile]) -> None:
        cuda, side = self._machine.cuda, self._machine.side
        compute = cuda.stream
        cuda.record(self._fork, compute)
        cuda.wait(side, self._fork)
        self._cut_tile(tiles[0], 0)
        for count, tile in enumerate(tiles):
            index = count % len(self._addresses)
            cuda.wait(compute, self._cut[index])
            self._machine.engine.enqueue(self._addresses[index], compute)
            cuda.record(self._computed[index], compute)
            # On the side stream, a tile is cut before the one ahead of it is stitched: it is needed sooner.
            if count + 1 < len(tiles):
                self._cut_tile(tiles[count + 1], (count + 1) % len(self._addresses))
            cuda.wait(side, self._computed[index])
            self._stitch(tile, index)
        cuda.record(self._join, side)
        cuda.wait(compute, self._join)

    def _cut_tile(self, tile: Tile, index: int) -> None:
        for name, address in self._addresses[index].items():
            if name in ("hr_msi", "guide"):
                self._cut_image(tile, address)
            elif name == "base":
                self._cut_base(tile, address)
            elif name in ("lr_hsi", "features"):
                self._cut_lr(tile, name, address)
        self._machine.cuda.record(self._cut[index], self._machine.side)

    def _cut_image(self, tile: Tile, target: int) -> None:
        region = tile.read.scaled(self._machine.manifest.ratio)
        channels, rows, cols = self._memory.plan.work.fields["image"][0]
        source = self._memory.at["image"], rows, cols
        self._copy(source, (region.top, region.left), (target, *region.shape, 0, 0), region.shape, channels)

    def _cut_lr(self, tile: Tile, name: str, target: int) -> None:
        source, margin = ("features", MARGIN_LR) if name == "features" else ("lr", 0)
        channels, rows, cols = self._memory.plan.given.fields[source][0]
        height, width = (length + 2 * margin for length in tile.read.shape)
        corner = tile.read.top, tile.read.left
        self._copy(
            (self._memory.at[source], rows, cols), corner, (target, height, width, 0, 0), (height, width), channels
        )

    def _copy(
        self,
        source: Image,
        corner: tuple[int, int],
        target: tuple[int, ...],
        shape: tuple[int, int],
        channels: int,
    ) -> None:
        """Copy a window of `shape` at `corner`; `target`: address, rows, columns, and corner there."""
        rows, cols = shape
        self._launch("copy_window", (cols, rows, channels), *source, *corner, *target, cols)

    def _launch(self, name: str, items: tuple[int, int, int], *arguments: float) -> None:
        self._machine.kernels.launch(name, items, self._machine.side, *arguments)

    def _cut_base(self, tile: Tile, target: int) -> None:
        at, frame, manifest = self._memory.at, self._memory.plan.frame, self._machine.manifest
        region = tile.read.scaled(manifest.ratio)
        rows, cols = region.shape
        explained: tuple[int, ...] = NO_ARRAY, NO_ARRAY, 0, 0, 0
        if manifest.base == "regression":
            explained = at["weights"], at["image"], *self._memory.plan.work.fields["image"][0]
        remainder = (at["remainder"], *frame.lr, manifest.ratio, int(manifest.base != "bilinear"))
        window = (region.top, region.left, target, rows, cols)
        self._launch("cut_base", (cols, rows, frame.bands), *remainder, *explained, *window)

    def _stitch(self, tile: Tile, index: int) -> None:
        """Write the core of a tile, as far as it lies in the frame."""
        ratio, (channels, rows, cols) = self._machine.manifest.ratio, self._memory.plan.work.fields["canvas"][0]
        core = tile.core.clipped(self._memory.plan.frame.lr)
        inner, outer = core.within(tile.read).scaled(ratio), core.scaled(ratio)
        height, width = tile.read.scaled(ratio).shape
        source = (self._addresses[index]["hr_hsi"], height, width)
        target = (self._memory.at["canvas"], rows, cols, outer.top, outer.left)
        self._copy(source, (inner.top, inner.left), target, outer.shape, channels)

    def _tensors(self, index: int) -> dict[str, int]:
        at = self._memory.at
        return {name: at[name if name in WHOLE_FRAME else f"{name}.{index}"] for name in self._machine.engine.shapes}


def _parts(manifest: Manifest, tiles: Sequence[Tile]) -> list[list[Tile]]:
    """Rows of tiles, or all at once for a model whose output is made to agree with the whole LR-HSI."""
    if manifest.base == "subspace":
        return [list(tiles)]
    return [list(row) for _, row in itertools.groupby(tiles, key=lambda tile: tile.core.rows)]
