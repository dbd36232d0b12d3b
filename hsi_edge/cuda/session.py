"""An engine on the GPU for images on the host: the plain way, for golden replay and the statistics of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from hsi_edge.backends import Float
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.engine import DeviceEngine
from hsi_edge.cuda.plan import Layout
from hsi_edge.errors import DeviceLostError


class DeviceSession:
    """A `hsi_edge.backends.Session` over an engine on the GPU.

    Args:
        engine: The engine.
        cuda: The GPU that it was loaded on.
    """

    def __init__(self, engine: DeviceEngine, cuda: Cuda) -> None:
        self._engine = engine
        self._cuda = cuda
        layout = Layout({name: (shape, "f4") for name, shape in engine.shapes.items()})
        self._layout = layout
        with cuda.active():
            self._pinned = cuda.allocate_pinned(layout.nbytes)
            self._base = cuda.allocate(layout.nbytes)
            self._done = cuda.new_event()
        self._views = layout.views(self._pinned.host)
        self._addresses = layout.addresses(self._base)

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """Run once.

        Args:
            inputs: By name, of exactly the engine's shapes.

        Returns:
            The outputs by name; overwritten by the next run.

        Raises:
            EngineLoadError: The driver or the engine failed.
        """
        cuda = self._cuda
        for name, array in inputs.items():
            np.copyto(self._views[name], array)
        outputs = [name for name in self._views if name not in inputs]
        with cuda.active():
            self._copy(inputs, to_device=True)
            self._engine.enqueue(self._addresses, cuda.stream)
            self._copy(outputs, to_device=False)
            cuda.record(self._done, cuda.stream)
            cuda.synchronize(self._done)
        return {name: self._views[name] for name in outputs}

    def close(self) -> None:
        """Give back its memory; what a run returned must not be used after it."""
        with suppress(DeviceLostError), self._cuda.active():
            self._cuda.release(self._pinned.pointer, self._done, self._base)

    def _copy(self, names: Mapping[str, Float] | list[str], *, to_device: bool) -> None:
        for name in names:
            host, device = self._pinned.address + self._layout.offsets[name], self._addresses[name]
            target, source = (device, host) if to_device else (host, device)
            self._cuda.copy(target, source, self._views[name].nbytes, self._cuda.stream)
