"""What a graph computes and moves, layer by layer, counted from the shapes of its tensors."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from engines.targets import Arithmetic
from hsi_edge.errors import InputError, require

Shape = tuple[int, ...]

WIDTHS: dict[Arithmetic, int] = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of a number."""
MULTIPLYING = ("Conv", "ConvTranspose", "MatMul", "Gemm")
MOVING = (
    *MULTIPLYING,
    *("Resize", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"),
    *("DepthToSpace", "SpaceToDepth", "Transpose", "Pad"),
)
"""Layers that read what was computed before from memory, and write to it."""
FUSED = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Where")
"""Of two operands: run in one go with what computes the first, so that only the second is read from memory."""


@dataclass(frozen=True)
class Layer:
    """One layer: its multiply-accumulates, and the bytes that it reads and writes."""

    name: str
    kind: str
    arithmetic: Arithmetic
    macs: int
    moved_bytes: int


def count_layers(graph: bytes, shapes: Mapping[str, Shape], assumed: Arithmetic | None = None) -> tuple[Layer, ...]:
    """Count every layer that computes or moves much; the others cost nothing once they are fused.

    Args:
        graph: ONNX.
        shapes: Of every input.
        assumed: Counts the layers as if they ran in this arithmetic; None takes each as the graph has it.

    Raises:
        InputError: The shape of a tensor cannot be inferred.
        MissingPackageError: OpenVINO is not installed.
    """
    tensors = _Tensors(graph, shapes, assumed)
    return tuple(layer for node in tensors.nodes if (layer := _layer(node, tensors)) is not None)


def _layer(node: Any, tensors: _Tensors) -> Layer | None:
    if node.op_type not in MOVING + FUSED:
        return None
    computed = [name for name in node.input if name and name not in tensors.constants]
    if node.op_type in FUSED:
        read, written = computed[1:], []
    else:
        read, written = [name for name in node.input if tensors.is_data(name)], list(node.output)
    if not read:
        return None
    moved = sum(tensors.bytes_of(name) for name in (*read, *written))
    macs = _macs(node, tensors) if node.op_type in MULTIPLYING else 0
    return Layer(node.name or node.output[0], node.op_type, tensors.arithmetic_of(node), macs, moved)


def _macs(node: Any, tensors: _Tensors) -> int:
    first, weights = (tensors.shape(name) for name in node.input[:2])
    if node.op_type == "Conv":  # weights: (out, in / groups, ...)
        return math.prod(tensors.shape(node.output[0])) * math.prod(weights[1:])
    if node.op_type == "ConvTranspose":  # weights: (in, out / groups, ...)
        return math.prod(first) * math.prod(weights[1:])
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    inner = first[-2] if node.op_type == "Gemm" and attributes.get("transA") else first[-1]
    return math.prod(tensors.shape(node.output[0])) * inner


class _Tensors:
    """Shapes and number formats of a graph's tensors.

    OpenVINO infers the shapes: it follows those that the graph itself computes, which ONNX's own inference gives up.
    """

    def __init__(self, graph: bytes, shapes: Mapping[str, Shape], assumed: Arithmetic | None) -> None:
        inferred = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph)).graph
        self.nodes = list(inferred.node)
        self.constants = {tensor.name for tensor in inferred.initializer}
        self.constants |= {node.output[0] for node in self.nodes if node.op_type == "Constant"}
        self._assumed = assumed
        self._format = onnx.TensorProto
        values = (*inferred.value_info, *inferred.output, *inferred.input)
        self._formats = {value.name: value.type.tensor_type.elem_type for value in values}
        self._formats |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
        self._shapes: dict[str, Shape] = _shapes_in(graph, shapes) | {
            one.name: tuple(one.dims) for one in inferred.initializer
        }
        self._quantised = {node.output[0] for node in self.nodes if node.op_type == "DequantizeLinear"}
        self._to_quantise = {node.input[0] for node in self.nodes if node.op_type == "QuantizeLinear"}

    def shape(self, name: str) -> Shape:
        if name not in self._shapes:
            raise InputError(f"the shape of the tensor {name} cannot be inferred; export the graph anew")
        return self._shapes[name]

    def is_data(self, name: str) -> bool:
        """Not a list of axes or lengths, nor an input left out."""
        return name != "" and self._formats.get(name) != self._format.INT64

    def bytes_of(self, name: str) -> int:
        return math.prod(self.shape(name)) * self._width(name)

    def _width(self, name: str) -> int:
        if self._assumed is not None:
            return WIDTHS[self._assumed]
        if name in self._quantised or name in self._to_quantise:
            return 1
        widths = {self._format.FLOAT16: 2, self._format.INT8: 1, self._format.UINT8: 1}
        return widths.get(self._formats.get(name), 4)

    def arithmetic_of(self, node: Any) -> Arithmetic:
        if self._assumed is not None:
            return self._assumed
        if node.op_type in MULTIPLYING and all(name in self._quantised for name in node.input[:2]):
            return "int8"
        return "fp16" if self._formats.get(node.output[0]) == self._format.FLOAT16 else "fp32"


def _shapes_in(graph: bytes, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    openvino = require("openvino", feature="counting a graph's layers", extra="all")
    model = openvino.Core().read_model(io.BytesIO(graph))
    model.reshape({name: list(shape) for name, shape in shapes.items()})
    outputs = [output for op in model.get_ops() for output in op.outputs()]
    return {
        name: tuple(output.get_shape())
        for output in outputs
        if output.get_partial_shape().is_static
        for name in output.get_names()
    }
