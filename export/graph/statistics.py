"""From the graph that measures its statistics to the one that takes them: both then hold the same weights and nodes."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from hsi_edge.errors import ExportError


def take_statistics(graph: gs.Graph, measured: str, given: str) -> None:
    """Replace the spatial means that an output collects by an input of the same shape.

    Args:
        graph: Its output `measured` `(1, size)` is the concatenation of the means that the graph subtracts.
        measured: Name of that output, which goes.
        given: Name of the input that comes.

    Raises:
        ExportError: The output is not made of spatial means.
    """
    output = next(tensor for tensor in graph.outputs if tensor.name == measured)
    means = _collected(output)
    sizes = [mean.shape[1] for mean in means]
    statistics = gs.Variable(given, np.float32, [1, sum(sizes)])
    maps = gs.Variable(f"{given}.maps", np.float32, [1, sum(sizes), 1, 1])
    shape = gs.Constant(f"{given}.shape", np.array(maps.shape, np.int64))
    for mean in means:
        mean.inputs.clear()
    graph.nodes[:0] = [
        gs.Node("Reshape", f"{given}.reshape", {}, [statistics, shape], [maps]),
        gs.Node("Split", f"{given}.split", {"axis": 1}, [maps, gs.Constant(f"{given}.sizes", np.array(sizes))], means),
    ]
    graph.outputs.remove(output)
    graph.inputs.append(statistics)
    graph.cleanup()


def _collected(output: gs.Tensor) -> list[gs.Tensor]:
    node = output.inputs[0]
    while node.op == "Reshape":
        node = node.inputs[0].inputs[0]
    if node.op != "Concat" or any(mean.inputs[0].op != "ReduceMean" for mean in node.inputs):
        raise ExportError(
            f"the output {output.name} comes from a {node.op}; wanted a concatenation of spatial means (ReduceMean), "
            "as in export/networks/means.py"
        )
    return list(node.inputs)
