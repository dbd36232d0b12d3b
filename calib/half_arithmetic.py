"""Running an FP16 graph as a GPU rounds it, on a CPU that computes in FP32.

ONNX Runtime's CPU kernels compute the "FP16" of a graph in FP32 between casts that it may take out: the numbers flatter
the graph and an overflow stays hidden. Here every FP16 tensor is rounded to half when it is written, where a number
beyond 65504 becomes infinite, and the sum inside an operation runs in FP32, as on tensor cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from calib.casts import HALF, ONNX_TYPES, SINGLE
from calib.fp16 import fp16_graph
from calib.graph import float_inputs, graph_bytes, is_float, open_graph, tensor_before_casts
from hsi_edge.errors import InputError, require

Float = NDArray[np.float32]
HalfSession = Callable[[Mapping[str, Float]], dict[str, Float]]

_CHECK = ".finite"
# A rounded copy of what is exact: INT8 values times their scale enter the sums of a convolution unrounded.
_EXACT = ("Cast", "DequantizeLinear")


def half_session(model: bytes) -> HalfSession:
    """A function that runs the FP16 graph in half arithmetic.

    Args:
        model: An FP16 graph, or an INT8 graph whose other tensors are FP16; what is FP32 in it stays so.

    Returns:
        A function from the inputs by name (NCHW) to the outputs by name, which are the caller's own.

    Raises:
        InputError: Not a valid ONNX file.
        MissingPackageError: ONNX Runtime is not installed.
    """
    graph = open_graph(model)
    _round_every_half(graph)
    return _runner(graph_bytes(graph))


def layers_beyond_half(model: bytes, tiles: Sequence[Mapping[str, Float]]) -> tuple[str, ...]:
    """Names of the layers that must compute in FP32 so that nothing overflows on these tiles, in the graph's order.

    Args:
        model: The FP32 graph.
        tiles: Inputs by name (NCHW), finite.

    Raises:
        InputError: Not a valid ONNX file, or the network overflows in FP32.
        MissingPackageError: ONNX Runtime is not installed.
    """
    wide: set[str] = set()
    # Behind a layer that overflowed, others overflow that only show when it no longer does.
    while found := {*overflowing_layers(fp16_graph(model, tuple(wide)), tiles)}:
        if found <= wide:
            raise InputError(f"the network overflows in FP32, first in {sorted(found)[0]}; leave such tiles out")
        wide |= found
    return tuple(node.name for node in open_graph(model).nodes if node.name in wide)


def overflowing_layers(model: bytes, tiles: Iterable[Mapping[str, Float]]) -> tuple[str, ...]:
    """Names of the layers whose output is the first to be infinite or not a number, in the graph's order.

    A layer counts if what it takes is finite; one that takes an FP32 tensor which FP16 cannot hold counts too.

    Args:
        model: An FP16 graph.
        tiles: Inputs by name (NCHW), finite.

    Raises:
        InputError: Not a valid ONNX file.
        MissingPackageError: ONNX Runtime is not installed.
    """
    graph = open_graph(model)
    sources = {node.name: _sources(node) for node in graph.nodes if node.op not in _EXACT}
    results = {node.name: [t.name for t in node.outputs if is_float(t)] for node in graph.nodes}
    _round_every_half(graph)
    _watch(graph, {name for names in (*sources.values(), *results.values()) for name in names})
    run = _runner(graph_bytes(graph))
    found: set[str] = set()
    for tile in tiles:
        sums = run(tile)
        broken = {name.removesuffix(_CHECK) for name, value in sums.items() if np.isnan(value).any()}
        found |= {name for name, taken in sources.items() if broken & {*results[name]} and not broken & {*taken}}
    return tuple(name for name in sources if name in found)


def _round_every_half(graph: gs.Graph) -> None:
    """Let every node compute in FP32, and round what was FP16 where it is written."""
    halves = {id(tensor) for tensor in graph.tensors().values() if tensor.dtype == HALF}
    for tensor in graph.tensors().values():
        if id(tensor) in halves:
            _widen(tensor)
    for node in list(graph.nodes):
        for index, tensor in enumerate(node.outputs):
            if id(tensor) not in halves:
                continue
            if node.op == "Cast":
                node.attrs["to"] = ONNX_TYPES[SINGLE]
            if node.op != "DequantizeLinear":
                node.outputs[index] = _rounded(graph, tensor)


def _widen(tensor: gs.Tensor) -> None:
    if isinstance(tensor, gs.Constant):
        tensor.values = tensor.values.astype(np.float32)
    else:
        tensor.dtype = SINGLE


def _rounded(graph: gs.Graph, tensor: gs.Tensor) -> gs.Tensor:
    """A tensor to write in place of `tensor`, which then holds its values rounded to half."""
    exact = gs.Variable(f"{tensor.name}.exact", SINGLE, tensor.shape)
    half = gs.Variable(f"{tensor.name}.half", HALF, tensor.shape)
    graph.nodes += [
        gs.Node("Cast", f"{tensor.name}.round", {"to": ONNX_TYPES[HALF]}, [exact], [half]),
        gs.Node("Cast", f"{tensor.name}.widen", {"to": ONNX_TYPES[SINGLE]}, [half], [tensor]),
    ]
    return exact


def _sources(node: gs.Node) -> list[str]:
    """The tensors that a node takes, seen through the casts in front of it."""
    tensors = [tensor for _, tensor in float_inputs(node) if not isinstance(tensor, gs.Constant)]
    return [tensor_before_casts(tensor).name for tensor in tensors]


def _watch(graph: gs.Graph, names: set[str]) -> None:
    """Let the graph give, for each of these tensors, one number that is NaN if any of its values is not finite."""
    zero = gs.Constant("zero.finite", np.zeros(1, np.float32))
    tensors = graph.tensors()
    graph.outputs.clear()
    for name in sorted(names):
        product = gs.Variable(f"{name}.by_zero", SINGLE)
        total = gs.Variable(f"{name}{_CHECK}", SINGLE, [])
        graph.nodes += [
            gs.Node("Mul", f"{name}.watch", {}, [tensors[name], zero], [product]),
            gs.Node("ReduceSum", f"{name}.sum", {"keepdims": 0}, [product], [total]),
        ]
        graph.outputs.append(total)


def _runner(model: bytes) -> HalfSession:
    runtime = require("onnxruntime", feature="half arithmetic on a CPU", extra="onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # Optimisations would take the rounding for a detour and remove it.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}

    def run(inputs: Mapping[str, Float]) -> dict[str, Float]:
        if inputs.keys() != wanted:
            raise InputError(f"the inputs are {', '.join(inputs)}; wanted {', '.join(sorted(wanted))}")
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
