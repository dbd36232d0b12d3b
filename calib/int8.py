"""The INT8 graph: explicit Q/DQ around convolutions, the rest as it was typed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from calib.casts import Kind, cast
from calib.graph import graph_bytes, last_layers, open_graph, tensor_before_casts
from hsi_edge.errors import InputError

INT8_MAX = 127
_CONVOLUTIONS = ("Conv", "ConvTranspose")
# FP16 holds it to 3 percent; below it, steps would soon be 0.
_LEAST_STEP = 2.0**-20


def quantizable_layers(model: bytes) -> tuple[str, ...]:
    """Names of the convolutions that may run in INT8, in the graph's order: all but those of `float_by_rule`.

    Matrix products stay float too: in these networks they work on a handful of numbers per tile, so that quantising
    them could lose accuracy and win no time.

    Raises:
        InputError: Not a valid ONNX file.
    """
    return tuple(node.name for node in _quantizable(open_graph(model)))


def float_by_rule(model: bytes) -> dict[str, str]:
    """The convolutions that stay float in every INT8 graph, in the graph's order, each with the reason.

    Raises:
        InputError: Not a valid ONNX file.
    """
    return _float_by_rule(open_graph(model))


def quantized_tensors(model: bytes, layers: Sequence[str]) -> tuple[str, ...]:
    """Names of the activations that these layers take, each once: those to calibrate.

    Raises:
        InputError: Not a valid ONNX file.
    """
    graph = open_graph(model)
    nodes = [node for node in _quantizable(graph) if node.name in layers]
    return tuple(dict.fromkeys(tensor_before_casts(part).name for node in nodes for part in _parts(node)))


def int8_graph(model: bytes, ranges: Mapping[str, float], float_layers: Sequence[str]) -> bytes:
    """The graph with Q/DQ on the data and the weights of its convolutions.

    Weights are symmetric per output channel, activations symmetric per tensor, biases are not quantised, and nothing
    else is. A tensor that several layers take is quantised once.

    Args:
        model: The FP16 graph or the FP32 one, an ONNX file; what is not quantised stays as typed there.
        ranges: The largest magnitude by the name of the activation, at least of `quantized_tensors`.
        float_layers: Names of layers to leave as they are, besides those of `float_by_rule`.

    Raises:
        InputError: Not a valid ONNX file, a name that is no convolution, or a range that is missing or no
            number from 0.
    """
    graph = open_graph(model)
    made: dict[str, gs.Tensor] = {}
    for node in _layers(graph, float_layers):
        for part in _split(graph, node):
            data = part.inputs[0]
            if data.name not in made:
                made[data.name] = _through_int8(graph, data, _amax(ranges, tensor_before_casts(data).name))
            part.inputs[0] = made[data.name]
            part.inputs[1] = _int8_weight(graph, part)
    return graph_bytes(graph)


def _layers(graph: gs.Graph, float_layers: Sequence[str]) -> list[gs.Node]:
    convolutions = [node.name for node in graph.nodes if node.op in _CONVOLUTIONS]
    unknown = [name for name in float_layers if name not in convolutions]
    if unknown:
        raise InputError(
            f"there is no convolution {unknown[0]!r} in the graph; wanted some of {', '.join(convolutions)}"
        )
    return [node for node in _quantizable(graph) if node.name not in float_layers]


def _quantizable(graph: gs.Graph) -> list[gs.Node]:
    by_rule = _float_by_rule(graph)
    return [node for node in graph.nodes if node.op in _CONVOLUTIONS and node.name not in by_rule]


def _float_by_rule(graph: gs.Graph) -> dict[str, str]:
    last = {node.name for node in last_layers(graph)}
    reasons = {node.name: _reason(node, last) for node in graph.nodes if node.op in _CONVOLUTIONS}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(node: gs.Node, last: Collection[str]) -> str:
    """Why a convolution stays float; empty if it need not."""
    if node.name in last:
        return "it writes the output, and no layer behind it evens out its rounding"
    if node.op == "ConvTranspose":
        return "TensorRT computes transposed convolutions in FP16 whatever the graph asks for"
    if not isinstance(tensor_before_casts(node.inputs[1]), gs.Constant):
        return "its weights are computed"
    if _is_of_concatenation(node.inputs[0]) and len(_parts(node)) == 1:
        return "it takes a concatenation that cannot be taken apart, and OpenVINO rounds those wrong in INT8"
    return ""


def _parts(node: gs.Node) -> list[gs.Tensor]:
    """What is concatenated along the channels of the data of a node that can be split; else the data."""
    data = tensor_before_casts(node.inputs[0])
    producer = data.inputs[0] if data.inputs else None
    if producer is None or producer.op != "Concat" or producer.attrs["axis"] != 1 or node.attrs.get("group", 1) != 1:
        return [node.inputs[0]]
    return [node.inputs[0]] if None in map(_channels, producer.inputs) else list(producer.inputs)


def _is_of_concatenation(tensor: gs.Tensor) -> bool:
    """Whether there is nothing between the tensor and a concatenation but what OpenVINO sees through."""
    tensor = tensor_before_casts(tensor)
    if not tensor.inputs:
        return False
    (node,) = tensor.inputs
    scaled = node.op in ("Add", "Sub", "Mul", "Div") and any(isinstance(each, gs.Constant) for each in node.inputs)
    return node.op == "Concat" or ((scaled or node.op == "Relu") and any(map(_is_of_concatenation, node.inputs)))


def _channels(tensor: gs.Tensor) -> int | None:
    channels = (tensor.shape or (None, None))[1]
    return channels if isinstance(channels, int) else None


def _split(graph: gs.Graph, node: gs.Node) -> list[gs.Node]:
    """Turn a convolution over a concatenation into a sum of convolutions over its parts, which is the same.

    Each part then has a range of its own, and nothing is copied together. It is also needed: where a concatenation is
    quantised, OpenVINO 2026.4 rounds to whole numbers instead of steps, without a word (seen on a CPU with VNNI).
    """
    parts = _parts(node)
    if len(parts) == 1:
        return [node]
    ends = np.cumsum([_channels(part) for part in parts])[:-1]
    weights = np.split(tensor_before_casts(node.inputs[1]).values, ends, axis=1)
    (result,) = node.outputs
    nodes = []
    for index, (part, values) in enumerate(zip(parts, weights, strict=True)):
        name = f"{node.name}.part_{index}" if index else node.name
        inputs = [cast(graph, part, result.dtype), gs.Constant(f"{name}.weight", values), *node.inputs[2:]]
        share = gs.Variable(f"{result.name}.part_{index}", result.dtype, result.shape)
        nodes.append(gs.Node(node.op, name, dict(node.attrs), inputs[:2] if index else inputs, [share]))
    node.inputs.clear()
    node.outputs.clear()
    graph.nodes += [*nodes, *_sum(nodes, result)]
    return nodes


def _sum(nodes: Sequence[gs.Node], result: gs.Tensor) -> list[gs.Node]:
    """Additions that write the sum of the nodes' outputs to `result`."""
    sums = []
    total = nodes[0].outputs[0]
    for index, node in enumerate(nodes[1:], start=1):
        name = f"{nodes[0].name}.sum_{index}"
        target = result if node is nodes[-1] else gs.Variable(name, result.dtype, result.shape)
        sums.append(gs.Node("Add", name, {}, [total, node.outputs[0]], [target]))
        total = target
    return sums


def _amax(ranges: Mapping[str, float], name: str) -> float:
    amax = ranges.get(name)
    if amax is None or not np.isfinite(amax) or amax < 0:
        raise InputError(f"the range of {name!r} is {amax}; wanted its largest magnitude, as `calib.ranges` finds it")
    return float(amax)


def _scales(amax: NDArray[np.float32], kind: Kind) -> NDArray[np.floating]:
    """Steps of the type of the layer, rounded up so that nothing is clipped by their rounding."""
    steps = np.maximum(amax.astype(np.float64) / INT8_MAX, _LEAST_STEP)
    scales = steps.astype(kind)
    return np.where(scales < steps, np.nextafter(scales, kind.type(np.inf)), scales)


def _through_int8(graph: gs.Graph, tensor: gs.Tensor, amax: float) -> gs.Tensor:
    name = tensor.name
    scale = gs.Constant(f"{name}.scale", _scales(np.array(amax, np.float32), np.dtype(tensor.dtype)))
    zero = gs.Constant(f"{name}.zero_point", np.zeros((), np.int8))
    quantized = gs.Variable(f"{name}.int8", np.int8, tensor.shape)
    result = gs.Variable(f"{name}.dequantized", tensor.dtype, tensor.shape)
    graph.nodes += [
        gs.Node("QuantizeLinear", f"{name}.quantize", {}, [tensor, scale, zero], [quantized]),
        gs.Node("DequantizeLinear", f"{name}.dequantize", {}, [quantized, scale, zero], [result]),
    ]
    return result


def _int8_weight(graph: gs.Graph, node: gs.Node) -> gs.Tensor:
    """The weight as INT8 constants and a DequantizeLinear along its output channels."""
    values = np.asarray(tensor_before_casts(node.inputs[1]).values, np.float32)
    others = tuple(range(1, values.ndim))
    kind = np.dtype(node.outputs[0].dtype)
    scales = _scales(np.abs(values).max(axis=others), kind)
    steps = np.expand_dims(scales.astype(np.float32), others)
    integers = np.clip(np.rint(values / steps), -INT8_MAX, INT8_MAX).astype(np.int8)
    name = f"{node.name}.weight"
    result = gs.Variable(f"{name}.dequantized", kind, values.shape)
    inputs = [
        gs.Constant(f"{name}.int8", integers),
        gs.Constant(f"{name}.scale", scales),
        gs.Constant(f"{name}.zero_point", np.zeros(scales.shape, np.int8)),
    ]
    graph.nodes.append(gs.Node("DequantizeLinear", f"{name}.dequantize", {"axis": 0}, inputs, [result]))
    return result
