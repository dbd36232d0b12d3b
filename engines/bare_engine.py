"""An engine on a GPU with nothing around it, plain and as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hsi_edge.cuda.driver import CaptureRefusedError, Cuda
from hsi_edge.cuda.engine import DeviceEngine
from hsi_edge.cuda.plan import Layout


@dataclass(frozen=True, eq=False)
class BareEngine:
    """An engine's runs for a frame, on tensors that are made once and never looked at.

    Attributes:
        run: Every tile's run, one after the other.
        run_captured: The same as one CUDA graph; None where the engine cannot be captured.
        refused: Why it cannot.

    Both return when the last run is done.
    """

    run: Callable[[], None]
    run_captured: Callable[[], None] | None
    refused: str = ""


def bare_engine(engine: DeviceEngine, cuda: Cuda, n_tiles: int) -> BareEngine:
    """Lay out an engine's tensors, and capture its runs."""
    layout = Layout({name: (shape, "f4") for name, shape in engine.shapes.items()})
    with cuda.active():
        addresses, done = layout.addresses(cuda.allocate(layout.nbytes)), cuda.new_event()

    def enqueue() -> None:
        for _ in range(n_tiles):
            engine.enqueue(addresses, cuda.stream)

    def until_done(work: Callable[[], None]) -> None:
        with cuda.active():
            work()
            cuda.record(done, cuda.stream)
            cuda.synchronize(done)

    # The first run lets the engine settle, which cannot be captured.
    until_done(enqueue)

    def run() -> None:
        until_done(enqueue)

    with cuda.active():
        try:
            graph = cuda.capture(cuda.stream, enqueue)
        except CaptureRefusedError as err:
            return BareEngine(run, None, str(err))
    return BareEngine(run, lambda: until_done(lambda: cuda.launch_graph(graph, cuda.stream)))
