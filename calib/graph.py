"""An ONNX file as a graph and back, and what the precisions ask of it: its layers and its means over an image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx.version_converter
import onnx_graphsurgeon as gs

from hsi_edge.errors import InputError

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations that multiply by trained weights."""
OPSET = 20
"""The least version of ONNX's operations that a graph is written in; 19 brought Q/DQ with FP16 steps."""
# Runtimes lag behind the onnx package; this one they all read.
_IR_VERSION = 10
_SPATIAL_AXES = {2, 3, 4, -1, -2, -3}


def open_graph(model: bytes) -> gs.Graph:
    """The graph with the type of every tensor known and a unique name for every node.

    A node that the export left without a name is called after its first output, which is the same in every precision.

    Raises:
        InputError: Not an ONNX file, or not a valid one.
    """
    try:
        proto = onnx.load_from_string(model)
        proto = _with_opset(proto)
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
        graph = gs.import_onnx(inferred)
    # protobuf, the checker and shape inference share no public base below Exception.
    except Exception as err:
        raise InputError(f"the graph cannot be read: {' '.join(str(err).split())}; wanted a valid ONNX file") from err
    graph.toposort()
    _name_nodes(graph)
    return graph


def graph_bytes(graph: gs.Graph) -> bytes:
    """The graph as an ONNX file, checked: types, shapes, and one producer for every tensor.

    Raises:
        InputError: An operation does not exist in the type that was asked of it.
    """
    graph.cleanup().toposort()
    model = gs.export_onnx(graph)
    model.ir_version = min(model.ir_version, _IR_VERSION)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise InputError(f"the graph has an operation that cannot be typed so: {' '.join(str(err).split())}") from err
    return bytes(model.SerializeToString())


def is_float(tensor: gs.Tensor) -> bool:
    """Whether the tensor holds floating-point numbers; an omitted optional input does not."""
    return tensor.dtype is not None and np.issubdtype(np.dtype(tensor.dtype), np.floating)


def is_spatial_reduction(node: gs.Node) -> bool:
    """Whether the node reduces images over rows and columns, as a global mean does."""
    if node.op in ("GlobalAveragePool", "GlobalMaxPool"):
        return True
    if not node.op.startswith("Reduce"):
        return False
    axes = node.attrs.get("axes", ())
    if len(node.inputs) > 1:
        axes = node.inputs[1].values.tolist() if isinstance(node.inputs[1], gs.Constant) else ()
    return not axes or len(_SPATIAL_AXES.intersection(axes)) > 1


def last_layers(graph: gs.Graph) -> list[gs.Node]:
    """The layers from which an output is reached through no other layer, in the graph's order.

    What a spatial reduction collects does not count: it is a number for each map, not an image.
    """
    found: dict[int, gs.Node] = {}
    seen: set[int] = set()
    waiting = [node for output in graph.outputs for node in output.inputs]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or is_spatial_reduction(node):
            continue
        seen.add(id(node))
        if node.op in LAYERS:
            found[id(node)] = node
        else:
            waiting += [source for tensor in node.inputs for source in tensor.inputs]
    return [node for node in graph.nodes if id(node) in found]


def float_inputs(node: gs.Node) -> Iterator[tuple[int, gs.Tensor]]:
    """The node's inputs of floating-point numbers with their places."""
    return ((index, tensor) for index, tensor in enumerate(node.inputs) if is_float(tensor))


def tensor_before_casts(tensor: gs.Tensor) -> gs.Tensor:
    """What a tensor was before it was cast; itself if it was not."""
    while tensor.inputs and tensor.inputs[0].op == "Cast":
        tensor = tensor.inputs[0].inputs[0]
    return tensor


def _with_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return model if opset >= OPSET else onnx.version_converter.convert_version(model, OPSET)


def _name_nodes(graph: gs.Graph) -> None:
    used: set[str] = set()
    for node in graph.nodes:
        name = wanted = node.name or node.outputs[0].name
        count = 1
        while name in used:
            count += 1
            name = f"{wanted}_{count}"
        node.name = name
        used.add(name)
