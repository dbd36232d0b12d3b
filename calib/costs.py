"""What each layer of a graph costs."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

from calib.graph import LAYERS, open_graph
from hsi_edge.errors import require


def layer_macs(model: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Multiply-accumulates of every layer with weights, by its name in the graph's order.

    Args:
        model: An ONNX file.
        shapes: Of its inputs (NCHW).
    """
    sizes = _tensor_shapes(model, shapes)
    macs = {}
    for node in open_graph(model).nodes:
        if node.op in LAYERS and math.prod(node.inputs[1].shape or ()):
            # A transposed convolution multiplies once per pixel that it takes, the others per pixel that they give.
            pixels = node.inputs[0] if node.op == "ConvTranspose" else node.outputs[0]
            macs[node.name] = math.prod(node.inputs[1].shape) * math.prod(sizes.get(pixels.name, ())[2:])
    return macs


def _tensor_shapes(model: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    # Not ONNX's own inference: it gives up at a Reshape whose target is computed.
    core = require("openvino", feature="counting a graph's operations", extra="all").Core()
    opened = core.read_model(io.BytesIO(model))
    opened.reshape({name: list(shape) for name, shape in shapes.items()})
    return {
        name: tuple(output.get_shape())
        for operation in opened.get_ordered_ops()
        for output in operation.outputs()
        if output.get_partial_shape().is_static
        for name in output.get_names()
    }
