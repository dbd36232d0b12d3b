from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from export.graph.statistics import take_statistics
from export.onnx_session import run_graph
from hsi_edge.errors import ExportError


def centring_graph(operation: str = "ReduceMean") -> gs.Graph:
    """`y = x - mean(x)`, `z = v - mean(v)`, and both means `(1, 5)` side by side."""
    axes = gs.Constant("axes", np.array([2, 3]))
    nodes, inputs, outputs, means = [], [], [], []
    for name, result, channels in (("x", "y", 2), ("v", "z", 3)):
        image, centred = (gs.Variable(n, np.float32, [1, channels, "H", "W"]) for n in (name, result))
        mean = gs.Variable(f"mean_{name}", np.float32, [1, channels, 1, 1])
        nodes.append(gs.Node(operation, f"n_{name}", {"keepdims": 1}, [image, axes], [mean]))
        nodes.append(gs.Node("Sub", f"s_{name}", {}, [image, mean], [centred]))
        inputs, outputs, means = [*inputs, image], [*outputs, centred], [*means, mean]
    joined = gs.Variable("joined", np.float32, [1, 5, 1, 1])
    measured = gs.Variable("measured", np.float32, [1, 5])
    nodes.append(gs.Node("Concat", "concat", {"axis": 1}, means, [joined]))
    nodes.append(gs.Node("Reshape", "flat", {}, [joined, gs.Constant("shape", np.array([1, 5]))], [measured]))
    return gs.Graph(nodes, inputs, [*outputs, measured], opset=20)


def run(graph: gs.Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run_graph(gs.export_onnx(graph, ir_version=10).SerializeToString(), inputs)


@pytest.fixture
def images(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.random((1, 2, 4, 5), np.float32), "v": rng.random((1, 3, 4, 5), np.float32)}


def test_the_means_that_were_measured_give_the_same_output(images: dict[str, np.ndarray]) -> None:
    measuring, taking = centring_graph(), centring_graph()
    take_statistics(taking, "measured", "statistics")
    wanted = run(measuring, images)
    outputs = run(taking, images | {"statistics": wanted["measured"]})
    assert outputs.keys() == {"y", "z"}
    for name, output in outputs.items():
        np.testing.assert_array_equal(output, wanted[name])


def test_other_means_are_subtracted_as_given(images: dict[str, np.ndarray]) -> None:
    graph = centring_graph()
    take_statistics(graph, "measured", "statistics")
    statistics = np.arange(5, dtype=np.float32)[None]
    outputs = run(graph, images | {"statistics": statistics})
    np.testing.assert_array_equal(outputs["y"], images["x"] - statistics[:, :2, None, None])
    np.testing.assert_array_equal(outputs["z"], images["v"] - statistics[:, 2:, None, None])


def test_nothing_is_measured_any_more() -> None:
    graph = centring_graph()
    take_statistics(graph, "measured", "statistics")
    assert sorted(node.op for node in graph.nodes) == ["Reshape", "Split", "Sub", "Sub"]


def test_statistics_that_are_no_means_are_refused() -> None:
    with pytest.raises(ExportError, match=r"measured comes from a Concat; wanted a concatenation of spatial means"):
        take_statistics(centring_graph("ReduceMax"), "measured", "statistics")
