"""A bundle's graph on a backend: compiled per shape, with statistics measured or given, its fastest tile known."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from hsi_edge.backends import Backend, Session, graph_precision
from hsi_edge.bundle import Bundle
from hsi_edge.errors import DeviceLostError, EngineLoadError
from hsi_edge.manifest import Graph, ImageName
from hsi_edge.resampling import Float
from hsi_edge.subspace import CONDITIONS, FEATURES, GUIDES, MARGIN_LR
from hsi_edge.tiling.size import candidate_sides

MAX_SESSIONS = 3
"""Compiled shapes kept at once: tile, statistics pass, and one more for frames of changing size."""

MEASURE_S = 0.3
"""Time to spend on measuring one tile size."""


class Network:
    """Runs the graph on `(channels, rows, cols)` images, by the names of its inputs.

    Not for several threads at once, except that `measure` may run beside `refine` where their sessions differ in shape.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.backend = backend
        self._manifest = bundle.manifest
        self._bundle = bundle
        self._graph: Graph = bundle.manifest.graphs[graph_precision(backend.precision)]
        self._bytes: dict[str, bytes] = {}
        self._sessions: OrderedDict[tuple[str, tuple[tuple[int, ...], ...]], Session] = OrderedDict()

    def refine(self, images: Mapping[str, Float], statistics: Float | None) -> Float:
        """The output `(channels, rows, cols)`, with own statistics or given ones; overwritten by the next run."""
        inputs = {name: image[None] for name, image in images.items()}
        if statistics is None:
            outputs = self._run("whole", inputs)
        else:
            outputs = self._run("given", {**inputs, "statistics": statistics})
        image: Float = outputs["hr_hsi"][0]
        return image

    def measure(self, images: Mapping[str, Float]) -> Float:
        """The statistics `(1, size)` of images; the caller's own."""
        inputs = {name: image[None] for name, image in images.items()}
        return np.array(self._run("whole", inputs)["measured_statistics"])

    def fastest_sides(self, budget_bytes: int) -> dict[int, float]:
        """Seconds per tile by side in LR pixels, measured now."""
        # The pass that measures the statistics keeps its own memory, for a smaller image.
        share = budget_bytes if self._manifest.statistics is None else budget_bytes * 2 // 3
        if self.backend.fixed is not None:
            tile_lr = self.backend.fixed.tile_lr
            return {max(tile_lr): self._seconds(tile_lr)}
        sides = candidate_sides(self._manifest.tiling, self._manifest.ratio, share)
        # Twice round: a slow spell of the device rarely meets the same size again.
        rounds = [[self._seconds((side, side)) for side in sides] for _ in range(2)]
        measured = {side: min(seconds) for side, *seconds in zip(sides, *rounds, strict=True)}
        self._sessions.clear()
        return measured

    def _seconds(self, tile_lr: tuple[int, int]) -> float:
        manifest = self._manifest
        shapes = image_shapes(manifest.input.images, tile_lr, manifest.ratio, (manifest.n_bands, manifest.msi.bands))
        images = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
        size = None if self._manifest.statistics is None else self._manifest.statistics.size
        statistics = None if size is None or self._graph.given is None else np.zeros((1, size), np.float32)
        self.refine(images, statistics)
        times: list[float] = []
        # The least of several: what else the device does must not decide for all its later runs.
        while len(times) < 2 or (sum(times) < MEASURE_S and len(times) < 20):
            start = time.perf_counter()
            self.refine(images, statistics)
            times.append(time.perf_counter() - start)
        return min(times)

    def _run(self, form: str, inputs: dict[str, Float]) -> dict[str, Float]:
        session = self._session(form, inputs)
        try:
            outputs = dict(session.run(inputs))
        except DeviceLostError:
            raise
        # Backends raise what their libraries do; a graph that is not this model's shows here at the latest.
        except Exception as err:
            raise EngineLoadError(f"{self.backend.name} failed to run {self._manifest.name}: {err}") from err
        wanted = {"hr_hsi"} | ({"measured_statistics"} if form == "whole" and self._manifest.statistics else set())
        if not wanted <= outputs.keys():
            raise EngineLoadError(
                f"the graph of {self._manifest.name} gives {', '.join(outputs)}; wanted {', '.join(sorted(wanted))}: "
                "it is another network's. Export the bundle anew"
            )
        return outputs

    def _session(self, form: str, inputs: dict[str, Float]) -> Session:
        key = (form, tuple(array.shape for array in inputs.values()))
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return self._sessions[key]
        # The oldest goes first, so that the new one's memory does not come on top.
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)
        shapes = {name: array.shape for name, array in inputs.items()}
        session = self.backend.compile(self._graph_bytes(form), shapes)
        self._sessions[key] = session
        return session

    def _graph_bytes(self, form: str) -> bytes:
        if form not in self._bytes:
            name = self._graph.whole if form == "whole" else self._graph.given
            assert name is not None
            self._bytes[form] = self._bundle.read_bytes(name)
        return self._bytes[form]

    def close(self) -> None:
        """Drop the sessions and close the backend."""
        self._sessions.clear()
        self.backend.close()


def image_shapes(
    names: Sequence[ImageName], lr_shape: tuple[int, int], ratio: int, bands: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """The shapes of a graph's images, without the batch axis.

    Args:
        names: Of the images.
        lr_shape: LR rows and columns of the tile.
        ratio: HR pixels per LR pixel.
        bands: Of the LR-HSI and of the HR-MSI; only images in bands have them.
    """
    rows, cols = (length * ratio for length in lr_shape)
    shapes: dict[ImageName, tuple[int, ...]] = {
        "lr_hsi": (bands[0], *lr_shape),
        "base": (bands[0], rows, cols),
        "hr_msi": (bands[1], rows, cols),
        "guide": (GUIDES, rows, cols),
        "features": (FEATURES, *(length + 2 * MARGIN_LR for length in lr_shape)),
        "condition": (CONDITIONS,),
    }
    return {name: shapes[name] for name in names}
