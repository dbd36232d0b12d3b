"""Typing a graph for strongly typed runtimes: every node computes in FP16 or FP32, with one cast where two meet.

Not by ONNX Runtime's converter: told to keep PZRes-Net's means in FP32, it rounds to FP16 between neighbours that are
both FP32 (76 pairs of casts) and writes ten tensors twice, which no checker accepts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from calib.graph import float_inputs, is_float

Kind: TypeAlias = "np.dtype[np.floating]"
HALF: Kind = np.dtype(np.float16)
SINGLE: Kind = np.dtype(np.float32)
ONNX_TYPES = {HALF: onnx.TensorProto.FLOAT16, SINGLE: onnx.TensorProto.FLOAT}
# The standard fixes the type of these inputs: regions and scales are read as numbers by the builder.
_FIXED_INPUTS = {"Resize": (1, 2)}


def set_types(graph: gs.Graph, wide: Collection[str]) -> None:
    """Let the nodes named in `wide` compute in FP32 and all others in FP16, in place.

    The graph's inputs and outputs stay FP32. A tensor that is wanted in both types is cast once, whoever wants it; a
    constant is stored in each type that is wanted. Between two FP32 nodes nothing is rounded.

    Args:
        graph: All its floating-point tensors are FP32.
        wide: Names of nodes.
    """
    keep = {id(tensor) for tensor in (*graph.inputs, *graph.outputs)}
    _add_output_casts(graph, wide)
    nodes = list(graph.nodes)
    for node in nodes:
        _set_own_type(node, SINGLE if node.name in wide else HALF, keep)
    halves: dict[str, gs.Constant] = {}
    for node in nodes:
        for index, tensor in float_inputs(node):
            wanted = _wanted_type(node, index, wide)
            if not isinstance(tensor, gs.Constant):
                node.inputs[index] = cast(graph, tensor, wanted)
            elif wanted == HALF:
                node.inputs[index] = halves.setdefault(tensor.name, _half(tensor))


def cast(graph: gs.Graph, tensor: gs.Tensor, kind: Kind) -> gs.Tensor:
    """The tensor in a type: itself if it has it, else through a cast that is made once."""
    if tensor.dtype == kind:
        return tensor
    name = f"{tensor.name}.{_suffix(kind)}"
    for node in tensor.outputs:
        if node.op == "Cast" and node.outputs[0].name == name:
            return node.outputs[0]
    result = gs.Variable(name, kind, tensor.shape)
    attributes = {"to": ONNX_TYPES[kind]}
    graph.nodes.append(gs.Node("Cast", f"{tensor.name}.to_{_suffix(kind)}", attributes, [tensor], [result]))
    return result


def _add_output_casts(graph: gs.Graph, wide: Collection[str]) -> None:
    """Give an FP16 node that writes an output a tensor of its own; the cast keeps the output's name."""
    for output in graph.outputs:
        if not is_float(output) or not output.inputs or output.inputs[0].name in wide:
            continue
        (producer,) = output.inputs
        own = gs.Variable(f"{output.name}.fp16", SINGLE, output.shape)
        producer.outputs[producer.outputs.index(output)] = own
        for consumer in list(output.outputs):
            consumer.inputs[:] = [own if tensor is output else tensor for tensor in consumer.inputs]
        graph.nodes.append(gs.Node("Cast", f"{output.name}.to_fp32", {"to": ONNX_TYPES[SINGLE]}, [own], [output]))


def _set_own_type(node: gs.Node, kind: Kind, keep: set[int]) -> None:
    for tensor in node.outputs:
        if is_float(tensor) and id(tensor) not in keep:
            tensor.dtype = kind
    if node.op == "Cast" and node.attrs["to"] in ONNX_TYPES.values():
        node.attrs["to"] = ONNX_TYPES[np.dtype(node.outputs[0].dtype)]


def _wanted_type(node: gs.Node, index: int, wide: Collection[str]) -> Kind:
    # A cast takes what there is: one before it would round twice.
    if node.op == "Cast":
        return SINGLE if node.inputs[index].dtype == SINGLE else HALF
    return SINGLE if node.name in wide or index in _FIXED_INPUTS.get(node.op, ()) else HALF


def _half(constant: gs.Constant) -> gs.Constant:
    return gs.Constant(f"{constant.name}.fp16", constant.values.astype(HALF))


def _suffix(kind: Kind) -> str:
    return "fp16" if kind == HALF else "fp32"
