"""Removing what no output needs."""

from __future__ import annotations

import onnx_graphsurgeon as gs


def remove_unused(graph: gs.Graph) -> bool:
    """Remove the nodes and constants that no output depends on."""
    before = len(graph.nodes)
    graph.cleanup()
    return len(graph.nodes) != before
