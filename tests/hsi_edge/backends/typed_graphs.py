"""A graph of three convolutions in each precision, to see in which one a library compiles them.

`wide` stays in FP32 whatever the precision; `first` and `second` have it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 8
SHAPES = {"image": (1, CHANNELS, 12, 16)}


def typed_graph(precision: str) -> bytes:
    """The graph as an ONNX file; rows and columns are free."""
    rng = np.random.default_rng(5)
    constants: dict[str, np.ndarray] = {}
    nodes: list[onnx.NodeProto] = []
    source = "image"
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", ["image"], ["narrow_image"], name="narrow", to=TensorProto.FLOAT16))
        source = "narrow_image"
    for name in ("first", "second"):
        weights = (rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) / 9).astype(np.float32)
        data, weight = source, f"{name}_weights"
        if precision == "int8":
            data, weight = _quantized(name, source, weights, nodes, constants)
        else:
            constants[weight] = weights.astype(np.float16) if precision == "fp16" else weights
        nodes.append(_conv(name, data, weight))
        source = f"{name}_out"
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", [source], ["widened"], name="widen", to=TensorProto.FLOAT))
        source = "widened"
    constants["wide_weights"] = (rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) / 9).astype(np.float32)
    nodes.append(_conv("wide", source, "wide_weights", "hr_hsi"))
    made = helper.make_graph(
        nodes,
        precision,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, CHANNELS, "rows", "cols"])],
        [helper.make_tensor_value_info("hr_hsi", TensorProto.FLOAT, [1, CHANNELS, "rows", "cols"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _quantized(
    name: str, source: str, weights: np.ndarray, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]
) -> tuple[str, str]:
    """Q/DQ on the data, DQ on the weights: per tensor and per output channel, symmetric."""
    scales = (np.abs(weights).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    constants[f"{name}_step"] = np.array(0.02, np.float32)
    constants[f"{name}_zero"] = np.array(0, np.int8)
    constants[f"{name}_scales"] = scales
    constants[f"{name}_zeros"] = np.zeros(CHANNELS, np.int8)
    constants[f"{name}_int8"] = np.round(weights / scales[:, None, None, None]).astype(np.int8)
    step = [f"{name}_step", f"{name}_zero"]
    nodes += [
        helper.make_node("QuantizeLinear", [source, *step], [f"{name}_q"], name=f"{name}_quantize"),
        helper.make_node("DequantizeLinear", [f"{name}_q", *step], [f"{name}_data"], name=f"{name}_dequantize"),
        helper.make_node(
            "DequantizeLinear",
            [f"{name}_int8", f"{name}_scales", f"{name}_zeros"],
            [f"{name}_weights"],
            name=f"{name}_dequantize_weights",
            axis=0,
        ),
    ]
    return f"{name}_data", f"{name}_weights"


def _conv(name: str, source: str, weights: str, target: str | None = None) -> onnx.NodeProto:
    sides = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return helper.make_node("Conv", [source, weights], [target or f"{name}_out"], name=name, **sides)
