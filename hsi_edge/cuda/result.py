"""The way of the result: from the canvas on the GPU to the caller's array, on the host or on the GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hsi_edge.cuda.arrays import DeviceArray, wait_for
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.memory import FrameMemory
from hsi_edge.cuda.passes import Passes
from hsi_edge.cuda.tile_loop import TileLoop
from hsi_edge.subspace_frame import SubspaceFrame
from hsi_edge.tile_loop import Progress


@dataclass(eq=False)
class Slot:
    """What a frame under way has for itself; made for frames of one shape and tiling.

    Attributes:
        memory: The frame's.
        loop: Over its tiles.
        ready: An event: the frame is on the GPU.
        arrived: An event for either strip of the result: the host can take it.
        began, ended: Timed events: the upload begins, the result is made.
        passes: Over the frame that is under way; None where none is.
    """

    memory: FrameMemory
    loop: TileLoop
    ready: int
    arrived: tuple[int, int]
    began: int
    ended: int
    passes: Passes | None = None


def hand_over(cuda: Cuda, stream: int, slot: Slot, result: DeviceArray) -> None:
    """Write the result to the caller's array on the GPU."""
    passes = _passes(slot)
    wait_for(cuda, stream, result, slot.arrived[0])
    for (top, bottom), _ in _finished_parts(cuda, stream, slot):
        passes.write_rows((top, bottom), result.address + top * result.strides[0], result.strides, stream)
    cuda.record(slot.ended, stream)
    cuda.synchronize(slot.ended)


def bring_down(cuda: Cuda, stream: int, slot: Slot, result: NDArray[Any], progress: Progress | None) -> None:
    """Write the result to the caller's array on the host, by two strips in turn."""
    under_way: deque[tuple[int, tuple[int, int], int]] = deque()

    def take() -> None:
        turn, (top, bottom), done = under_way.popleft()
        cuda.synchronize(slot.arrived[turn])
        result[top:bottom] = slot.memory.taken[f"strip.{turn}"][: bottom - top]
        if progress is not None and done:
            progress(done, len(slot.loop.tiles))

    turn = 0
    for (first, last), done in _finished_parts(cuda, stream, slot):
        for top in range(first, last, slot.memory.plan.strip_rows):
            bottom = min(last, top + slot.memory.plan.strip_rows)
            if len(under_way) == len(slot.arrived):
                take()
            _write_strip(slot, turn, (top, bottom), stream)
            cuda.record(slot.arrived[turn], stream)
            under_way.append((turn, (top, bottom), done if bottom == last else 0))
            turn = 1 - turn
    cuda.record(slot.ended, stream)
    while under_way:
        take()
    cuda.synchronize(slot.ended)


def _finished_parts(cuda: Cuda, stream: int, slot: Slot) -> Iterator[tuple[tuple[int, int], int]]:
    """HR rows of one part after the other, and tiles done by then; in the stream, they are ready."""
    passes, done = _passes(slot), 0
    ratio, rows = passes.frame.ratio, passes.frame.lr_shape[0]
    for event, part in zip(slot.loop.done, slot.loop.parts, strict=True):
        cuda.wait(stream, event)
        if isinstance(passes.frame, SubspaceFrame):
            passes.correct(stream)
        done += len(part)
        yield (part[0].core.top * ratio, min(part[-1].core.bottom, rows) * ratio), done


def _write_strip(slot: Slot, turn: int, rows: tuple[int, int], stream: int) -> None:
    memory = slot.memory
    # An integrated GPU writes to where the host takes it from.
    source = f"strip.{turn if memory.plan.integrated else 0}"
    strides = memory.taken["strip.0"].strides
    _passes(slot).write_rows(rows, memory.at[source], strides, stream)
    memory.download(f"strip.{turn}", source, (rows[1] - rows[0]) * strides[0], stream)


def _passes(slot: Slot) -> Passes:
    assert slot.passes is not None
    return slot.passes
