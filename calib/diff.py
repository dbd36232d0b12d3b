"""Which layer diverges first between two graphs of a network, or between two backends that run one graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from calib.candidates import shapes_of, tile_form
from calib.graph import is_float, open_graph
from calib.runner import (
    Compile,
    Form,
    Graphs,
    Run,
    Runner,
    Shapes,
    form_names,
    half_arithmetic,
    openvino,
    openvino_bf16,
)
from calib.tiles import Inputs, frames_to_judge
from hsi_edge.backends.onnxruntime import ONNXRuntimeBackend
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError, require
from hsi_edge.manifest import GraphPrecision
from hsi_edge.report.measured import table
from hsi_edge.scenes import read_scenes

TENSORS_AT_ONCE = 64
"""What is looked at in one run: all maps of a deep network at once do not fit into memory."""
SCENES = 2
_BY_RULE: Mapping[str, float] = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 5e-2, "int8": 1e-1}
"""Relative difference that the rounding of a precision explains."""


def _onnxruntime(graph: bytes, shapes: Shapes) -> Run:
    return ONNXRuntimeBackend("fp32").compile(graph, shapes).run


COMPILERS: Mapping[str, Compile] = {
    "openvino": openvino,
    "openvino-bf16": openvino_bf16,
    "onnxruntime": _onnxruntime,
    "half": half_arithmetic,
}
"""How a graph can be run. `half` is true half arithmetic; the others compute an FP16 graph in FP32."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a bundle's graphs of one precision, and how they are run."""

    bundle: Bundle
    precision: GraphPrecision
    arithmetic: str

    @property
    def label(self) -> str:
        """In words."""
        return f"{self.bundle.manifest.name} {self.precision} on {self.arithmetic}"

    @property
    def graphs(self) -> Graphs:
        """By form."""
        names = form_names(self.bundle.manifest.graphs[self.precision])
        return {form: self.bundle.read_bytes(name) for form, name in names.items()}

    @property
    def rounding(self) -> float:
        """Relative difference that is to be expected."""
        return _BY_RULE["bf16" if self.arithmetic == "openvino-bf16" else self.precision]


@dataclass(frozen=True)
class Divergence:
    """How far a layer's output is apart in the two.

    Attributes:
        layer: Its name.
        operation: What it does.
        relative: Root mean square of the difference, in parts of that of the first one's output; infinite where only
            one of the two is finite.
        largest: The largest difference.
    """

    layer: str
    operation: str
    relative: float
    largest: float


def side(text: str, arithmetic: str | None) -> Side:
    """A side from `BUNDLE` or `BUNDLE:PRECISION`, with FP16 in half arithmetic by default.

    Raises:
        InputError: No such precision in the bundle, or no such backend.
    """
    path, colon, word = text.rpartition(":")
    bundle = Bundle.open(Path(path if colon else text))
    precision = word if colon else "fp32"
    if precision not in bundle.manifest.graphs:
        raise InputError(f"{text}: the bundle has no graph {precision!r}; it has {', '.join(bundle.manifest.graphs)}")
    arithmetic = arithmetic or ("half" if precision == "fp16" else "openvino")
    if arithmetic not in COMPILERS:
        raise InputError(f"there is no backend {arithmetic!r}; choose one of {', '.join(COMPILERS)}")
    return Side(bundle, cast(GraphPrecision, precision), arithmetic)


def compare(first: Side, second: Side, scenes: Path) -> tuple[Divergence, ...]:
    """Run both on tiles of the scenes and compare every layer that they share, in the first one's order.

    Raises:
        InputError: They share no layer, or the scenes do not fit the first bundle.
        MissingPackageError: polygraphy is not installed.
    """
    form = tile_form(first.graphs)
    tiles = _tiles(first, scenes)
    graphs = first.graphs[form], _graph(second, form)
    shared = _shared(*graphs)
    if not shared:
        raise InputError(f"{first.label} and {second.label} share no layer; compare graphs of one network")
    found: list[Divergence] = []
    for start in range(0, len(shared), TENSORS_AT_ONCE):
        part = shared[start : start + TENSORS_AT_ONCE]
        found += _compared(part, graphs, (COMPILERS[first.arithmetic], COMPILERS[second.arithmetic]), tiles)
    return tuple(found)


def first_above(found: Iterable[Divergence], tolerance: float) -> Divergence | None:
    """The first layer whose relative difference is above a tolerance."""
    return next((each for each in found if not each.relative <= tolerance), None)


def tolerance_of(first: Side, second: Side) -> float:
    """What the coarser of the two precisions explains."""
    return max(first.rounding, second.rounding)


def diff_markdown(found: Sequence[Divergence], first: Side, second: Side, tolerance: float) -> str:
    """The table of all shared layers, and the first that diverges."""
    rows = [[each.layer, each.operation, f"{each.relative:.2e}", f"{each.largest:.2e}"] for each in found]
    culprit = first_above(found, tolerance)
    verdict = (
        f"No layer differs by more than {tolerance:g} of its output."
        if culprit is None
        else f"The first layer that differs by more than {tolerance:g} of its output: {culprit.layer} "
        f"({culprit.operation}), {culprit.relative:.2e}."
    )
    head = f"{first.label} against {second.label}"
    return "\n\n".join([head, table(["layer", "operation", "relative", "largest"], rows, words=2), verdict])


@dataclass(frozen=True)
class _Layer:
    name: str
    operation: str
    tensors: tuple[str, str]


def _graph(second: Side, form: Form) -> bytes:
    graphs = second.graphs
    if form not in graphs:
        raise InputError(
            f"{second.label} has no graph that takes statistics, as the first one has; compare one network"
        )
    return graphs[form]


def _shared(first: bytes, second: bytes) -> list[_Layer]:
    theirs = {node.name: node for node in open_graph(second).nodes}
    return [
        _Layer(node.name, node.op, (node.outputs[0].name, theirs[node.name].outputs[0].name))
        for node in open_graph(first).nodes
        if node.name in theirs and node.op == theirs[node.name].op and is_float(node.outputs[0])
    ]


def _compared(
    layers: Sequence[_Layer], graphs: tuple[bytes, bytes], compiles: tuple[Compile, Compile], tiles: Sequence[Inputs]
) -> list[Divergence]:
    marked = [_marked(graph, [layer.tensors[index] for layer in layers]) for index, graph in enumerate(graphs)]
    runs = [compile_graph(graph, shapes_of(tiles[0])) for graph, compile_graph in zip(marked, compiles, strict=True)]
    sums = np.zeros((len(layers), 2))
    largest = np.zeros(len(layers))
    for tile in tiles:
        one, other = (run(tile) for run in runs)
        for index, layer in enumerate(layers):
            squares, most = _difference(one[layer.tensors[0]], other[layer.tensors[1]])
            sums[index] += squares
            largest[index] = max(largest[index], most)
    return [
        Divergence(layer.name, layer.operation, _relative(*sums[index]), float(largest[index]))
        for index, layer in enumerate(layers)
    ]


def _marked(graph: bytes, tensors: Sequence[str]) -> bytes:
    """The graph with these tensors for outputs."""
    polygraphy = require("polygraphy.backend.onnx", feature="comparing graphs layer by layer", extra="polygraphy")
    model = polygraphy.modify_outputs(onnx.load_from_string(graph), outputs=list(dict.fromkeys(tensors)))
    return bytes(model.SerializeToString())


def _difference(one: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Sums of squares of the difference and of the first one, and the largest difference."""
    one, other = (np.asarray(array, np.float64) for array in (one, other))
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        same = np.array_equal(np.isfinite(one), np.isfinite(other))
        return np.array([0.0 if same else np.inf, 1.0]), 0.0 if same else float("inf")
    difference = one - other
    return np.array([np.square(difference).sum(), np.square(one).sum()]), float(np.abs(difference).max())


def _relative(difference: float, reference: float) -> float:
    return float(np.sqrt(difference / max(reference, np.finfo(np.float64).tiny)))


def _tiles(first: Side, scenes: Path) -> list[Inputs]:
    """The middle tile of a few scenes, all of one shape, with statistics measured in FP32."""
    manifest = first.bundle.manifest
    frames = frames_to_judge(manifest, read_scenes(scenes, manifest))
    fp32 = Runner(manifest, Side(first.bundle, "fp32", "openvino").graphs, openvino)
    tiles: list[Inputs] = []
    for held in frames:
        images = held.windows[len(held.tiles) // 2].images
        statistics = fp32.statistics(held.frame)
        inputs = {name: image[None] for name, image in images.items()}
        inputs |= {} if statistics is None else {"statistics": statistics}
        if len(tiles) < SCENES and (not tiles or shapes_of(inputs) == shapes_of(tiles[0])):
            tiles.append(inputs)
    return tiles
