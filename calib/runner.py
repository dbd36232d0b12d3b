"""Running candidate graphs on frames as the runtime does: tile by tile, statistics first, consistency last."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from calib.tiles import HeldOutFrame, Inputs, statistics_images
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.frame import Frame, Window
from hsi_edge.manifest import Graph, Manifest
from hsi_edge.resampling import Float
from hsi_edge.tiling.geometry import Tile

Form = Literal["whole", "given"]
Graphs = Mapping[Form, bytes]
"""The graphs of one precision; `given` only for a network that takes statistics."""
Shapes = Mapping[str, tuple[int, ...]]
Run = Callable[[Mapping[str, Float]], Mapping[str, Float]]
"""From inputs to outputs by name (NCHW); the arrays may be overwritten by the next run."""
Compile = Callable[[bytes, Shapes], Run]


def openvino(graph: bytes, shapes: Shapes) -> Run:
    """OpenVINO in FP32, quantised layers in INT8."""
    return _backend("fp32").compile(graph, shapes).run


def openvino_bf16(graph: bytes, shapes: Shapes) -> Run:
    """OpenVINO in BF16, quantised layers in INT8, as the runtime has it on a CPU with BF16."""
    return _backend("bf16").compile(graph, shapes).run


def has_bf16() -> bool:
    """Whether this CPU computes in BF16 without emulating it."""
    return "bf16" in OpenVINOBackend.precisions()


@functools.cache
def _backend(precision: str) -> OpenVINOBackend:
    return OpenVINOBackend(precision)


def half_arithmetic(graph: bytes, _shapes: Shapes) -> Run:
    """Half arithmetic as a GPU rounds it."""
    from calib.half_arithmetic import half_session

    return half_session(graph)


class Runner:
    """The graphs of one precision, compiled as shapes come.

    Args:
        manifest: The model's.
        graphs: Of one precision.
        compile_graph: How they are run.
    """

    def __init__(self, manifest: Manifest, graphs: Graphs, compile_graph: Compile) -> None:
        self.manifest = manifest
        self.graphs = graphs
        self._compile = compile_graph
        self._runs: dict[tuple[Form, tuple[tuple[int, ...], ...]], Run] = {}

    def refine(self, images: Inputs, statistics: Float | None) -> Float:
        """The output `(channels, rows, cols)` of one tile; the caller's own."""
        inputs = {name: image[None] for name, image in images.items()}
        if statistics is None:
            return np.array(self._run("whole", inputs)["hr_hsi"][0])
        return np.array(self._run("given", inputs | {"statistics": statistics})["hr_hsi"][0])

    def measure(self, images: Inputs) -> Float:
        """The statistics `(1, size)` of images; the caller's own."""
        outputs = self._run("whole", {name: image[None] for name, image in images.items()})
        return np.array(outputs["measured_statistics"])

    def fuse(self, held: HeldOutFrame) -> Float | None:
        """The HR-HSI of a frame, in parts of its peak: `(rows, cols, bands)`, NaN where there is no valid pixel.

        Returns:
            None where the network gives NaN or infinity.
        """
        frame = held.frame
        rows, cols = (length * frame.ratio for length in frame.lr_shape)
        result = np.full((rows, cols, len(frame.dead_bands)), np.nan, np.float32)
        statistics = self.statistics(frame) if len(held.tiles) > 1 else None
        consistency = frame.consistency()
        for tile, window in zip(held.tiles, held.windows, strict=True):
            output = self.refine(window.images, statistics)
            if not np.isfinite(output).all():
                return None
            _write_core(frame, tile, window, output, result)
            if consistency is not None:
                consistency.add(tile, output)
        if consistency is not None:
            consistency.correct(result, frame.scale)
        result /= np.float32(frame.scale)
        return result

    def statistics(self, frame: Frame) -> Float | None:
        """What the tiles of a frame are told of it, `(1, size)`; None for a network without statistics."""
        return self.measure(statistics_images(self.manifest, frame)) if "given" in self.graphs else None

    def _run(self, form: Form, inputs: Inputs) -> Mapping[str, Float]:
        shapes = {name: array.shape for name, array in inputs.items()}
        key = (form, tuple(shapes.values()))
        if key not in self._runs:
            self._runs[key] = self._compile(self.graphs[form], shapes)
        return self._runs[key](inputs)


def form_names(graph: Graph) -> dict[Form, str]:
    """The file of each form that a precision has."""
    return {"whole": graph.whole} if graph.given is None else {"whole": graph.whole, "given": graph.given}


def _write_core(frame: Frame, tile: Tile, window: Window, output: Float, result: Float) -> None:
    lr_core = tile.core.clipped(frame.lr_shape)
    inner = lr_core.within(tile.read).scaled(frame.ratio).slices
    bands = np.moveaxis(frame.bands_from(output[:, inner[0], inner[1]]), 0, 2)
    target = result[lr_core.scaled(frame.ratio).slices]
    target[:] = np.where(window.valid[inner][:, :, None], bands, np.float32(np.nan))
