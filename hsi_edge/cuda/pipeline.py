"""Frames through an engine on the GPU, of which nothing but the frame goes up, and the result comes down.

Four streams work beside each other. `up` brings a frame and makes its image ready; the compute stream runs the engine,
with a side stream for cutting and stitching (`tile_loop`); `out` turns finished rows of tiles into the result and
brings it down strip by strip. So the first strips come down while later rows are computed, and the next frame goes up
and is computed while this one comes down.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from hsi_edge.cuda.arrays import DeviceArray, wait_for
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.engine import DeviceEngine
from hsi_edge.cuda.memory import FrameMemory
from hsi_edge.cuda.passes import Kernels, Passes
from hsi_edge.cuda.plan import STRIP_SIZES, FrameShape, Plan, fitting_plan, plan_memory
from hsi_edge.cuda.result import Slot, bring_down, hand_over
from hsi_edge.cuda.tile_loop import Machine, TileLoop
from hsi_edge.cuda.upload import frame_shape, write_given
from hsi_edge.errors import DeviceLostError, TilingError
from hsi_edge.frame import Frame
from hsi_edge.manifest import Manifest
from hsi_edge.resampling import Float
from hsi_edge.subspace_frame import SubspaceFrame
from hsi_edge.tile_loop import Progress
from hsi_edge.tiling.geometry import Tile

MOST_UNDER_WAY = 2
"""Frames: one that is computed, and one that comes down."""


class DevicePipeline:
    """Runs the tiles of frames through an engine. For one thread at a time.

    Memory is allocated for the first frame of a shape, and kept until a frame of another shape comes.

    Args:
        engine: Compiled for the tile.
        cuda: The GPU.
        manifest: The model's.
        budget_bytes: Most GPU memory that a frame may take beside the engine; None for all that is free.

    Attributes:
        engine: As given.
        device_ms: From the start of the upload until the result was made, of the frame that was finished last.
    """

    def __init__(self, engine: DeviceEngine, cuda: Cuda, manifest: Manifest, budget_bytes: int | None = None) -> None:
        self.engine = engine
        self.device_ms = 0.0
        self._cuda = cuda
        self._manifest = manifest
        self._budget = budget_bytes
        self._slots: list[Slot] = []
        with cuda.active():
            self._kernels = Kernels(cuda)
            self._up, self._side, self._out = (cuda.new_stream() for _ in range(3))
            self._settled = cuda.new_event()

    @property
    def planned_bytes(self) -> int:
        """GPU memory of the frames that were run, as planned, the engine's included; 0 before the first."""
        own = sum(slot.memory.plan.own_bytes for slot in self._slots)
        return own + self.engine.workspace_bytes if own else 0

    @property
    def has_room(self) -> bool:
        """Whether another frame of the latest one's shape can be started beside it."""
        if len(self._slots) != 1:
            return len(self._slots) == MOST_UNDER_WAY
        with self._cuda.active():
            free = self._cuda.free_bytes()
        return self._slots[0].memory.plan.own_bytes <= (free if self._budget is None else min(free, self._budget))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the caller should know of how frames were run, in words."""
        return tuple({slot.loop.refused: None for slot in self._slots if slot.loop.refused is not None})

    def start(
        self, frame: Frame, tiles: tuple[Tile, ...], statistics: Float | None, *, msi: DeviceArray | None = None
    ) -> Slot:
        """Start a frame, and return while the GPU is at it; another may be under way, if it `has_room` for both.

        Args:
            frame: The prepared frame.
            tiles: All of the engine's size.
            statistics: `(1, size)`, for an engine that takes them.
            msi: The HR-MSI, where it lies on the GPU already.

        Returns:
            What `finish` or `abandon` takes.

        Raises:
            TilingError: The GPU has too little memory, or the tiles are not the engine's.
            DeviceLostError: The GPU was lost.
            EngineLoadError: The driver or the engine failed.
        """
        with self._cuda.active():
            slot = self._slot(frame_shape(frame, len(tiles), msi), tiles)
            write_given(frame, statistics, slot.memory.given)
            slot.passes = Passes(self._kernels, slot.memory, frame, msi)
            try:
                self._bring_up(slot, slot.passes)
                slot.loop.start()
            except BaseException:
                self.abandon(slot)
                raise
        return slot

    def finish(
        self, slot: Slot, result: NDArray[Any] | DeviceArray, *, progress: Progress | None = None
    ) -> float | None:
        """Write the result of the frame that was started in `slot`; frames are finished in their order.

        Args:
            slot: As `start` returned it.
            result: `(rows, cols, bands)`, any strides; written to.
            progress: Called with the number of tiles done and of all tiles.

        Returns:
            How far the output had to be corrected to agree with the LR-HSI, if the model asks for that.

        Raises:
            DeviceLostError: The GPU was lost.
            EngineLoadError: The driver or the engine failed.
        """
        passes = slot.passes
        assert passes is not None
        with self._cuda.active():
            try:
                if isinstance(result, DeviceArray):
                    hand_over(self._cuda, self._out, slot, result)
                else:
                    bring_down(self._cuda, self._out, slot, result, progress)
            except BaseException:
                self.abandon(slot)
                raise
            self.device_ms = self._cuda.elapsed_ms(slot.began, slot.ended)
        slot.passes = None
        if progress is not None and isinstance(result, DeviceArray):
            progress(len(slot.loop.tiles), len(slot.loop.tiles))
        return passes.off_by() if isinstance(passes.frame, SubspaceFrame) else None

    def abandon(self, slot: Slot) -> None:
        """Give up the frame that was started in `slot`, so that nothing of it is still running."""
        slot.passes = None
        # With a lost device, nothing runs.
        with suppress(DeviceLostError), self._cuda.active():
            self._wait_for_all()

    def close(self) -> None:
        """Give back what frames needed; the engine and the GPU are their owners' to close."""
        # With a lost device, its memory is lost too.
        with suppress(DeviceLostError), self._cuda.active():
            self._wait_for_all()
            for slot in self._slots:
                self._release(slot)
            self._slots = []
            self._cuda.release(self._up, self._side, self._out, self._settled)

    def _slot(self, shape: FrameShape, tiles: tuple[Tile, ...]) -> Slot:
        idle = [slot for slot in self._slots if slot.passes is None]
        for slot in idle:
            if (slot.memory.plan.frame, slot.loop.tiles) == (shape, tiles):
                return slot
        for slot in idle:
            self._release(slot)
            self._slots.remove(slot)
        if len(self._slots) == MOST_UNDER_WAY:
            raise TilingError(f"{MOST_UNDER_WAY} frames are under way on the GPU already; finish one first")
        self._slots.append(self._made_for(shape, tiles))
        return self._slots[-1]

    def _made_for(self, shape: FrameShape, tiles: tuple[Tile, ...]) -> Slot:
        _check_tiles(self.engine, self._manifest, tiles)
        cuda = self._cuda
        memory = FrameMemory(cuda, self._plan(shape))
        loop = TileLoop(Machine(cuda, self._kernels, self.engine, self._manifest, self._side), memory, tiles)
        began, ended = (cuda.new_event(timed=True) for _ in range(2))
        return Slot(memory, loop, cuda.new_event(), (cuda.new_event(), cuda.new_event()), began, ended)

    def _plan(self, shape: FrameShape) -> Plan:
        plans = [
            plan_memory(
                self._manifest,
                shape,
                self.engine.shapes,
                engine_bytes=self.engine.workspace_bytes,
                integrated=self._cuda.integrated,
                strip_bytes=strip_bytes,
            )
            for strip_bytes in STRIP_SIZES
        ]
        free = self._cuda.free_bytes()
        return fitting_plan(plans, free if self._budget is None else min(free, self._budget))

    def _release(self, slot: Slot) -> None:
        slot.loop.release()
        slot.memory.release()
        self._cuda.release(slot.ready, *slot.arrived, slot.began, slot.ended)

    def _wait_for_all(self) -> None:
        for stream in (self._up, self._side, self._out, self._cuda.stream):
            self._cuda.record(self._settled, stream)
            self._cuda.synchronize(self._settled)

    def _bring_up(self, slot: Slot, passes: Passes) -> None:
        cuda = self._cuda
        cuda.record(slot.began, self._up)
        slot.memory.upload(self._up)
        if passes.msi is not None:
            wait_for(cuda, self._up, passes.msi, slot.ready)
        passes.prepare_msi(self._up)
        cuda.record(slot.ready, self._up)
        cuda.wait(cuda.stream, slot.ready)


def _check_tiles(engine: DeviceEngine, manifest: Manifest, tiles: tuple[Tile, ...]) -> None:
    wanted = engine.shapes["hr_hsi"][2:]
    for tile in tiles:
        got = tile.read.scaled(manifest.ratio).shape
        if got != wanted:
            raise TilingError(
                f"the frame was cut into tiles of {got[0]} x {got[1]} HR pixels, and the engine is for "
                f"{wanted[0]} x {wanted[1]}; cut it for this engine, or build one for that tile"
            )
