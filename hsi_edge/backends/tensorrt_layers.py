"""In which precision the convolutions of an engine compute: what the graph asks for, and what was compiled.

Strongly typed networks carry their precision in the graph, yet an "FP16" engine that was FP32 has caught people before.
So what a graph asks for is read from the parsed network, by the name of each convolution; what was compiled is read
from the engine's own list of layers; and one must be the other. The list comes from

- `EngineInspector` as JSON, on a device that can open the engine. TensorRT 10 writes `Format/Datatype` ("Row major
  linear FP16 format"), TensorRT 11 and TensorRT-RTX `Datatype` ("Half") beside `Format`; weights are a constant of
  their own, or `Weights: {Type, Count}`;
- the builder's log, where TensorRT-RTX builds ahead of time and nothing here can open what it built: with detailed
  profiling verbosity it lists the compiled layers, with the same fields as text.

Each compiled layer names the ONNX nodes that it was fused of in its `Metadata`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsi_edge.errors import EngineLoadError
from hsi_edge.manifest import GraphPrecision

LAYER_LIST = "Layers:"
"""How the message begins that lists the compiled layers in the builder's log."""

_TYPES = {"Float": "fp32", "FP32": "fp32", "Half": "fp16", "FP16": "fp16", "Int8": "int8", "INT8": "int8"}
_TYPE = re.compile(rf"\b({'|'.join(_TYPES)}|BFloat16|BF16|FP8|INT4|Int4)\b")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_TEXT_TENSOR = re.compile(r"Dimensions: \[([\d,]*)\].*?Datatype: (\w+)")


@dataclass(frozen=True)
class CompiledLayer:
    """A layer of an engine.

    Attributes:
        nodes: The names of the graph's nodes that it computes.
        types: In what it computes: the type of its weights, or of its inputs where it has none of its own.
    """

    nodes: frozenset[str]
    types: frozenset[str]


def convolution_types(trt: Any, network: Any) -> dict[str, str]:
    """What each convolution of a parsed network asks for, by its name: `fp32`, `fp16` or `int8`.

    One whose image and weights both come out of a dequantize layer is an INT8 one, whatever type it shows itself.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    made_by = {layer.get_output(port).name: layer.type for layer in layers for port in range(layer.num_outputs)}
    convolutions = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION)
    names = {trt.DataType.FLOAT: "fp32", trt.DataType.HALF: "fp16"}
    types = {}
    for layer in layers:
        if layer.type not in convolutions:
            continue
        # Constant weights are no input; those out of a dequantize layer are the second.
        operands = [layer.get_input(port) for port in range(min(2, layer.num_inputs))]
        quantized = [made_by.get(operand.name) == trt.LayerType.DEQUANTIZE for operand in operands]
        asked = operands[0].dtype
        types[layer.name] = "int8" if quantized == [True, True] else names.get(asked, asked.name.lower())
    return types


def check_graph(types: Mapping[str, str], precision: GraphPrecision, float_layers: Sequence[str]) -> None:
    """Refuse a graph whose convolutions do not ask for its precision.

    Args:
        types: From `convolution_types`.
        precision: What the graph is said to be.
        float_layers: The nodes that were left wider on purpose.

    Raises:
        EngineLoadError: Names the convolutions, or says that none is in INT8.
    """
    wider = {name: kind for name, kind in types.items() if kind != precision and name not in float_layers}
    if wider:
        raise EngineLoadError(
            f"the {precision} graph asks for another precision in {len(wider)} of {len(types)} convolutions that its "
            f"calibration does not name: {_shortened(wider)}; calibrate the bundle anew"
        )
    if precision != "fp32" and types and precision not in types.values():
        raise EngineLoadError(
            f"the {precision} graph has no {precision} convolution: all {len(types)} were left wider; use a wider graph"
        )


def check_layers(wanted: Mapping[str, str], layers: Sequence[CompiledLayer]) -> None:
    """Refuse an engine in which a convolution does not compute in the precision that its graph asks for.

    Args:
        wanted: From `convolution_types`.
        layers: Of the engine.

    Raises:
        EngineLoadError: Names the convolutions, and what they compute in.
    """
    compiled: dict[str, set[str]] = {}
    for layer in layers:
        for node in layer.nodes & wanted.keys():
            compiled.setdefault(node, set()).update(layer.types)
    unseen = [name for name in wanted if name not in compiled]
    if unseen:
        raise EngineLoadError(
            f"the engine does not tell in which precision it computes {len(unseen)} of {len(wanted)} convolutions "
            f"({', '.join(unseen[:3])}); it cannot be checked, so it is not used: build it anew with hsi-edge build"
        )
    wrong = {name: "/".join(sorted(compiled[name])) for name, kind in wanted.items() if kind not in compiled[name]}
    if wrong:
        asked = {name: f"{wanted[name]} asked for, {kind} compiled" for name, kind in wrong.items()}
        raise EngineLoadError(
            f"{len(wrong)} of {len(wanted)} convolutions do not compute in the precision that the graph asks for: "
            f"{_shortened(asked)}; use another precision, and report this device and library version"
        )


def layers_from_json(text: str) -> list[CompiledLayer]:
    """The layers of `EngineInspector.get_engine_information(LayerInformationFormat.JSON)`.

    Raises:
        EngineLoadError: It is not such a list with details.
    """
    try:
        layers = json.loads(text)["Layers"]
        # Without detailed profiling verbosity, a layer is its name alone.
        return [_layer(layer) for layer in layers if isinstance(layer, dict)]
    except (ValueError, TypeError, KeyError) as err:
        raise EngineLoadError(
            f"the engine's list of layers cannot be read ({type(err).__name__}: {err}); build it anew"
        ) from err


def layers_from_log(text: str) -> list[CompiledLayer]:
    """The layers of the builder's message that begins with `LAYER_LIST`."""
    # Not `splitlines`: the names of nodes are kept apart by separators that it takes for ends of lines.
    return [_layer(_fields(line)) for line in text.split("\n") if line.startswith("Name: ")]


def _fields(line: str) -> dict[str, Any]:
    """One line of the log's list, with the fields that its JSON would have."""
    inputs, _, rest = line.partition(", Constants: [")
    constants, _, rest = rest.partition("], Outputs: [")
    tensors = {"Inputs": inputs.partition(", Inputs: [")[2], "Constants": constants}
    return {key: [_tensor(*found) for found in _TEXT_TENSOR.findall(part)] for key, part in tensors.items()} | {
        "Metadata": rest.partition(", Metadata: ")[2]
    }


def _tensor(dimensions: str, datatype: str) -> dict[str, Any]:
    return {"Dimensions": [int(side) for side in dimensions.split(",") if side], "Datatype": datatype}


def _layer(fields: Mapping[str, Any]) -> CompiledLayer:
    return CompiledLayer(frozenset(_NODE.findall(fields.get("Metadata", ""))), frozenset(_types(fields)))


def _types(fields: Mapping[str, Any]) -> set[str]:
    if "Weights" in fields:
        return {_word(fields["Weights"]["Type"])}
    constants = fields.get("Constants", [])
    # Scales and biases are float in every precision; the weights are the largest.
    weights = sorted(constants, key=lambda tensor: math.prod(tensor["Dimensions"]))[-1:]
    return {_datatype(tensor) for tensor in weights or fields.get("Inputs", [])}


def _datatype(tensor: Mapping[str, Any]) -> str:
    return _word(tensor.get("Datatype") or tensor["Format/Datatype"])


def _word(text: str) -> str:
    found = _TYPE.search(text)
    return text if found is None else _TYPES.get(found[1], found[1].lower())


def _shortened(by_name: Mapping[str, str]) -> str:
    first = [f"{name} ({kind})" for name, kind in list(by_name.items())[:3]]
    return ", ".join(first) + (", ..." if len(by_name) > 3 else "")
