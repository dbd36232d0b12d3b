"""A 1x1 convolution over a concatenation is the sum of convolutions over its parts, and needs no concatenation.

In a dense block the concatenations copy every feature once per later layer, while a runtime adds one convolution's
output to another's for nothing, inside the convolution.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs


def split_convolutions(graph: gs.Graph) -> bool:
    """Split every 1x1 convolution whose input is a concatenation of channels of known number."""
    nodes: list[gs.Node] = []
    for node in graph.nodes:
        parts = _parts(node.inputs[0]) if _is_pointwise(node) else None
        # In the convolution's own place: what runs early without need must be kept in memory.
        nodes += [node] if parts is None else _split(node, parts)
    changed = len(nodes) != len(graph.nodes)
    graph.nodes[:] = nodes
    return changed


def _is_pointwise(node: gs.Node) -> bool:
    if node.op != "Conv" or not isinstance(node.inputs[1], gs.Constant):
        return False
    plain = node.attrs.get("group", 1) == 1 and all(stride == 1 for stride in node.attrs.get("strides", ()))
    return plain and not any(node.attrs.get("pads", ())) and set(node.inputs[1].shape[2:]) == {1}


def _parts(tensor: gs.Tensor) -> list[gs.Tensor] | None:
    producer = tensor.inputs[0] if tensor.inputs else None
    if producer is None or producer.op != "Concat" or producer.attrs["axis"] != 1:
        return None
    known = all(part.shape is not None and isinstance(part.shape[1], int) for part in producer.inputs)
    return list(producer.inputs) if known else None


def _split(node: gs.Node, parts: list[gs.Tensor]) -> list[gs.Node]:
    weight, (result,) = node.inputs[1], node.outputs
    ends = np.cumsum([part.shape[1] for part in parts])
    nodes: list[gs.Node] = []
    total: gs.Tensor | None = None
    for index, (part, values) in enumerate(zip(parts, np.split(weight.values, ends[:-1], axis=1), strict=True)):
        slot = gs.Constant(f"{weight.name}.{index}", np.ascontiguousarray(values))
        bias = node.inputs[2:] if total is None else []
        one = gs.Variable(f"{result.name}.{index}", result.dtype, result.shape)
        nodes.append(gs.Node("Conv", one.name, node.attrs.copy(), [part, slot, *bias], [one]))
        if total is None:
            total = one
            continue
        summed = gs.Variable(f"{one.name}.sum", result.dtype, result.shape)
        nodes.append(gs.Node("Add", summed.name, {}, [total, one], [summed]))
        total = summed
    node.outputs.clear()
    nodes[-1].outputs = [result]
    return nodes
