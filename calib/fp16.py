"""The FP16 graph: explicitly typed, with FP32 inputs and outputs, and FP32 where half precision would cost accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from calib.casts import set_types
from calib.graph import LAYERS, float_inputs, graph_bytes, is_float, is_spatial_reduction, open_graph
from hsi_edge.errors import InputError

HALF_MAX = float(np.finfo(np.float16).max)
_VANISHING = float(np.finfo(np.float16).smallest_subnormal) / 2
_CARRYING = ("Add", "Sub", "Gather", "Slice", "Identity")
"""What comes of an image and one of these is an image on the same scale, such as the base image with a residual."""
_JOINING = ("Add", "Sub", "Concat")
_COLLECTING = ("Concat", "Reshape", "Squeeze", "Flatten")


def fp16_graph(model: bytes, fp32_layers: Sequence[str] = ()) -> bytes:
    """The graph for a strongly typed runtime that computes in FP16.

    FP32 by rule, whatever `fp32_layers` says (see `fp32_by_rule`): means over rows and columns, additions to an image
    that comes from an input, and operations with constants that FP16 cannot hold.

    Args:
        model: The FP32 graph, an ONNX file.
        fp32_layers: Names of further nodes that compute in FP32, as the gate found them.

    Returns:
        An ONNX file with the same inputs, outputs, node names and activations; all of its casts are explicit.

    Raises:
        InputError: Not a valid ONNX file, or it has no node of such a name.
    """
    graph = open_graph(model)
    names = [node.name for node in graph.nodes]
    unknown = [name for name in fp32_layers if name not in names]
    if unknown:
        raise InputError(
            f"there is no layer {unknown[0]!r} in the graph; wanted names of its nodes, such as {', '.join(names[:3])}"
        )
    set_types(graph, {*fp32_layers, *_by_rule(graph)})
    return graph_bytes(graph)


def fp32_by_rule(model: bytes) -> tuple[str, ...]:
    """Names of the nodes that stay FP32 in every FP16 graph, in the graph's order.

    Raises:
        InputError: Not a valid ONNX file.
    """
    return tuple(_by_rule(open_graph(model)))


def _by_rule(graph: gs.Graph) -> list[str]:
    carried = {id(tensor) for tensor in graph.inputs if len(tensor.shape or ()) >= 4}
    outputs = {id(tensor) for tensor in graph.outputs}
    means: set[int] = set()
    names = []
    for node in graph.nodes:
        written = {id(tensor) for tensor in node.outputs}
        floats = [tensor for _, tensor in float_inputs(node)]
        if _is_mean(node, floats, means):
            means |= written
        elif node.op in _CARRYING and any(id(tensor) in carried for tensor in floats):
            carried |= written
        elif not (_has_unfit_constant(node, floats) or (node.op in _JOINING and written & outputs)):
            continue
        if any(is_float(tensor) for tensor in node.outputs):
            names.append(node.name)
    return names


def _is_mean(node: gs.Node, floats: list[gs.Tensor], means: set[int]) -> bool:
    """Whether the node takes means, or only puts them together as `measured_statistics` does."""
    if is_spatial_reduction(node):
        return True
    return node.op in _COLLECTING and bool(floats) and all(id(tensor) in means for tensor in floats)


def _has_unfit_constant(node: gs.Node, floats: list[gs.Tensor]) -> bool:
    """Whether a constant overflows in FP16 or, where it is not one weight among many, vanishes."""
    for tensor in floats:
        if isinstance(tensor, gs.Constant):
            values = np.abs(np.asarray(tensor.values, np.float32))
            vanishes = node.op not in LAYERS and bool(np.any((values > 0) & (values <= _VANISHING)))
            if vanishes or bool(np.any(values > HALF_MAX)):
                return True
    return False
