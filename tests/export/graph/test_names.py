from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from export.graph.names import name_nodes
from export.onnx_session import run_graph


def layer_graph(prefix: str) -> gs.Graph:
    """`y = split(relu(conv(x)) + 1)[0]`, with names as an exporter would count them."""
    x, y, rest = (gs.Variable(name, np.float32, [1, 2, "H", "W"]) for name in ("x", "y", f"{prefix}9"))
    a, b, c = (gs.Variable(f"{prefix}{i}", np.float32, [1, 4, "H", "W"]) for i in range(3))
    weight = gs.Constant("block.0.weight", np.arange(8, dtype=np.float32).reshape(4, 2, 1, 1))
    nodes = [
        gs.Node("Conv", f"{prefix}n0", {}, [x, weight], [a]),
        gs.Node("Relu", f"{prefix}n1", {}, [a], [b]),
        gs.Node("Add", f"{prefix}n2", {}, [b, gs.Constant(f"{prefix}one", np.ones(1, np.float32))], [c]),
        gs.Node("Split", f"{prefix}n3", {"axis": 1, "num_outputs": 2}, [c], [y, rest]),
    ]
    return gs.Graph(nodes, [x], [y], opset=20)


def test_a_node_is_called_after_its_layer() -> None:
    graph = layer_graph("val_")
    assert name_nodes(graph)
    assert [node.name for node in graph.nodes] == ["block.0", "block.0.relu", "block.0.add", "block.0.split"]
    assert [t.name for t in graph.nodes[2].inputs] == ["block.0.relu", "block.0.add.input_1"]
    assert [t.name for t in graph.nodes[3].outputs] == ["y", "block.0.split.1"]


def test_names_do_not_depend_on_the_exporters() -> None:
    first, second = layer_graph("val_"), layer_graph("other")
    name_nodes(first)
    name_nodes(second)
    assert set(first.tensors()) == set(second.tensors())


def test_a_second_run_changes_nothing() -> None:
    graph = layer_graph("val_")
    name_nodes(graph)
    assert not name_nodes(graph)


def test_the_output_is_the_same() -> None:
    graph = layer_graph("val_")
    x = np.random.default_rng(0).random((1, 2, 3, 4), np.float32)
    before = run_graph(gs.export_onnx(graph, ir_version=10).SerializeToString(), {"x": x})["y"]
    name_nodes(graph)
    after = run_graph(gs.export_onnx(graph, ir_version=10).SerializeToString(), {"x": x})["y"]
    np.testing.assert_array_equal(after, before)


def test_several_nodes_of_a_layer_are_numbered() -> None:
    x, a, y = (gs.Variable(name, np.float32, [1]) for name in ("x", "a", "y"))
    graph = gs.Graph([gs.Node("Relu", "", {}, [x], [a]), gs.Node("Relu", "", {}, [a], [y])], [x], [y], opset=20)
    name_nodes(graph)
    assert [node.name for node in graph.nodes] == ["x.relu", "x.relu_2"]
