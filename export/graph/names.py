"""Readable names that do not change with the exporter's counters: a node is called after the layer it belongs to."""

from __future__ import annotations

from collections import Counter

import onnx_graphsurgeon as gs

LAYERS = ("Conv", "ConvTranspose")
"""Operations whose weights are called after a module in torch."""


def name_nodes(graph: gs.Graph) -> bool:
    """Name every node, its outputs and its constants.

    A convolution is called as its module in torch (`stages.0.dense.1.spectral`), and what follows it as it with the
    operation added (`stages.0.dense.1.spectral.relu`). A number is appended where there are several. The graph's inputs
    and outputs, and the weights, keep their names.
    """
    scopes = {id(tensor): tensor.name for tensor in graph.inputs}
    fixed = {id(tensor) for tensor in (*graph.inputs, *graph.outputs)}
    used: Counter[str] = Counter(tensor.name for tensor in (*graph.inputs, *graph.outputs))
    before = _names(graph)
    for node in graph.nodes:
        scope = _scope(node, scopes)
        node.name = _unique(scope if node.op in LAYERS else f"{scope}.{node.op.lower()}", used)
        scopes.update({id(tensor): scope for tensor in node.outputs})
        for index, tensor in enumerate(node.outputs):
            if id(tensor) not in fixed:
                tensor.name = node.name if len(node.outputs) == 1 else f"{node.name}.{index}"
        for index, tensor in enumerate(node.inputs):
            if isinstance(tensor, gs.Constant) and node.op not in LAYERS and id(tensor) not in fixed:
                tensor.name = f"{node.name}.input_{index}"
                fixed.add(id(tensor))
    return _names(graph) != before


def _scope(node: gs.Node, scopes: dict[int, str]) -> str:
    if node.op in LAYERS:
        return str(node.inputs[1].name.split(".weight")[0])
    return next((scopes[id(tensor)] for tensor in node.inputs if id(tensor) in scopes), "constant")


def _unique(name: str, used: Counter[str]) -> str:
    used[name] += 1
    return name if used[name] == 1 else f"{name}_{used[name]}"


def _names(graph: gs.Graph) -> list[str]:
    return [name for node in graph.nodes for name in (node.name, *(t.name for t in (*node.inputs, *node.outputs)))]
