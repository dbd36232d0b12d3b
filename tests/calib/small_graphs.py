"""ONNX graphs of a few operations, for tests of what is done to graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BUNDLES = Path(__file__).parents[2] / "engines" / "bundles"
SHIPPED = sorted(str(path.relative_to(BUNDLES)) for path in BUNDLES.glob("*/fp32*.onnx"))
"""Every graph that is shipped; bundle and file."""
NETWORKS = (
    "fieldfuse-x8/fp32.onnx",
    "msssf-vis31-x8/fp32.onnx",
    "pzres-vis31-x8/fp32-given.onnx",
    "ssrnet-vis31-x4/fp32.onnx",
)
"""One graph of every network."""


def shipped(name: str) -> bytes:
    return (BUNDLES / name).read_bytes()


def conv(name: str, source: str, *, bias: bool = False, op: str = "Conv", **attributes: object) -> onnx.NodeProto:
    """A layer that gives the tensor of its name, with weights `<name>.weight`."""
    inputs = [source, f"{name}.weight"] + ([f"{name}.bias"] if bias else [])
    return helper.make_node(op, inputs, [name], name=name, **attributes)


def node(op: str, inputs: Sequence[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=f"{output}.{op.lower()}", **attributes)


def graph(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str] = ("hr_hsi",),
    opset: int = 20,
) -> bytes:
    made = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Such that a layer keeps the size of its numbers."""
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def run(model: bytes, inputs: Mapping[str, np.ndarray], *names: str) -> list[np.ndarray]:
    """The outputs, or any tensors, of one run with ONNX Runtime."""
    proto = onnx.load_from_string(model)
    have = {output.name for output in proto.graph.output}
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in have)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(names) or None, dict(inputs))


def tile(model: bytes, rng: np.random.Generator, lr_side: int = 4) -> dict[str, np.ndarray]:
    """Random inputs of a shipped graph."""
    inputs = {}
    for value in onnx.load_from_string(model).graph.input:
        sides = [_length(dim, lr_side) for dim in value.type.tensor_type.shape.dim]
        inputs[value.name] = rng.random(sides, np.float32)
    return inputs


def _length(dim: onnx.TensorShapeProto.Dimension, lr_side: int) -> int:
    """Of a fixed dimension, or of one such as `8*h`, `h + 4`, `W`."""
    if not dim.dim_param:
        return dim.dim_value
    side = {"h": lr_side, "w": lr_side, "H": 8 * lr_side, "W": 8 * lr_side}
    return int(eval(dim.dim_param, {}, side))


def psnr_db(output: np.ndarray, reference: np.ndarray) -> float:
    """Against the reference's largest value."""
    error = float(np.mean((output - reference).astype(np.float64) ** 2))
    return float(10 * np.log10(np.abs(reference).max() ** 2 / max(error, 1e-20)))
