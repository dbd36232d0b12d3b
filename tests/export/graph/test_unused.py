from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from export.graph.unused import remove_unused
from export.onnx_session import run_graph


def test_what_no_output_needs_goes_and_the_output_stays() -> None:
    x, y, dead, deader = (gs.Variable(name, np.float32, [1, 2]) for name in ("x", "y", "dead", "deader"))
    nodes = [
        gs.Node("Relu", "wanted", {}, [x], [y]),
        gs.Node("Exp", "dead", {}, [x], [dead]),
        gs.Node("Exp", "deader", {}, [dead], [deader]),
    ]
    graph = gs.Graph(nodes, [x], [y], opset=20)
    assert remove_unused(graph)
    assert [node.name for node in graph.nodes] == ["wanted"]
    assert not remove_unused(graph)
    given = np.float32([[-1, 2]])
    output = run_graph(gs.export_onnx(graph, ir_version=10).SerializeToString(), {"x": given})["y"]
    np.testing.assert_array_equal(output, np.maximum(given, 0))
