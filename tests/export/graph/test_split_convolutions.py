from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from export.graph.split_convolutions import split_convolutions
from export.graph.unused import remove_unused
from export.onnx_session import run_graph

CHANNELS = (3, 1, 4)


def dense_graph(kernel: int = 1, **attributes: int | list[int]) -> gs.Graph:
    """`y = conv(concat(a, b, c))`, five channels out, with a bias."""
    rng = np.random.default_rng(0)
    parts = [gs.Variable(f"x{i}", np.float32, [1, count, "H", "W"]) for i, count in enumerate(CHANNELS)]
    joined = gs.Variable("joined", np.float32, [1, sum(CHANNELS), "H", "W"])
    result = gs.Variable("y", np.float32, [1, 5, "H", "W"])
    inputs = sum(CHANNELS) // int(attributes.get("group", 1))  # type: ignore[arg-type]
    outputs = 5 if "group" not in attributes else 8
    result.shape[1] = outputs
    weight = gs.Constant("w", rng.standard_normal((outputs, inputs, kernel, kernel)).astype(np.float32))
    bias = gs.Constant("b", rng.standard_normal(outputs).astype(np.float32))
    nodes = [
        gs.Node("Concat", "concat", {"axis": 1}, parts, [joined]),
        gs.Node("Conv", "conv", dict(attributes), [joined, weight, bias], [result]),
    ]
    return gs.Graph(nodes, parts, [result], opset=20)


def run(graph: gs.Graph) -> np.ndarray:
    rng = np.random.default_rng(1)
    inputs = {f"x{i}": rng.random((1, count, 5, 7), np.float32) for i, count in enumerate(CHANNELS)}
    return run_graph(gs.export_onnx(graph, ir_version=10).SerializeToString(), inputs)["y"]


def test_the_sum_of_the_parts_is_the_convolution_of_the_concatenation() -> None:
    graph = dense_graph()
    wanted = run(graph)
    assert split_convolutions(graph)
    remove_unused(graph)
    assert sorted(node.op for node in graph.nodes) == ["Add", "Add", "Conv", "Conv", "Conv"]
    np.testing.assert_allclose(run(graph), wanted, atol=1e-5)


def test_a_second_run_changes_nothing() -> None:
    graph = dense_graph()
    split_convolutions(graph)
    names = [node.name for node in graph.nodes]
    assert not split_convolutions(graph)
    assert [node.name for node in graph.nodes] == names


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [(3, {"pads": [1, 1, 1, 1]}), (1, {"group": 8}), (1, {"strides": [2, 2]}), (1, {"pads": [1, 1, 1, 1]})],
)
def test_other_convolutions_are_left_alone(kernel: int, attributes: dict[str, int | list[int]]) -> None:
    graph = dense_graph(kernel, **attributes)
    run(graph)
    assert not split_convolutions(graph)


def test_parts_of_unknown_width_are_left_alone() -> None:
    graph = dense_graph()
    graph.inputs[1].shape = [1, "C", "H", "W"]
    assert not split_convolutions(graph)
