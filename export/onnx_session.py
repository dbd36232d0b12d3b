"""Running a graph once with ONNX Runtime, the reference that an export is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from hsi_edge.backends.onnxruntime import ONNXRuntimeBackend

Float = NDArray[np.float32]


def run_graph(graph: bytes, inputs: Mapping[str, Float]) -> dict[str, Float]:
    """The outputs by name."""
    backend = ONNXRuntimeBackend("fp32")
    session = backend.compile(graph, {name: array.shape for name, array in inputs.items()})
    return dict(session.run(inputs))


def zero_inputs(graph: bytes, side: int) -> dict[str, Float]:
    """Zeros for every input by name, images with `side` rows and columns."""
    shapes = {tensor.name: tensor.shape for tensor in gs.import_onnx(onnx.load_from_string(graph)).inputs}
    return {
        name: np.zeros([size if isinstance(size, int) else side for size in shape], np.float32)
        for name, shape in shapes.items()
    }
