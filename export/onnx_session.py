"""Running a graph with ONNX Runtime, the reference that an export is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from export.reach import image_side
from hsi_edge.backends import Session
from hsi_edge.backends.onnxruntime import ONNXRuntimeBackend

Float = NDArray[np.float32]


def open_graph(graph: bytes) -> Session:
    """A session for inputs of any shape."""
    return ONNXRuntimeBackend("fp32").compile(graph, {})


def run_graph(graph: bytes, inputs: Mapping[str, Float]) -> dict[str, Float]:
    """The outputs by name, of one run."""
    return dict(open_graph(graph).run(inputs))


def zero_inputs(graph: bytes, lr_shape: tuple[int, int], ratio: int) -> dict[str, Float]:
    """Zeros for every input by name; images of a frame of `lr_shape` LR pixels, each on its own grid."""
    inputs = {}
    for tensor in gs.import_onnx(onnx.load_from_string(graph)).inputs:
        batch, channels, *sides = tensor.shape
        if sides:
            sides = [image_side(tensor.name, side, ratio) for side in lr_shape]
        inputs[tensor.name] = np.zeros((batch, channels, *sides), np.float32)
    return inputs
