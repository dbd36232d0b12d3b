"""What an engine says of its layers, against what its graph asks for."""

from __future__ import annotations

import json

import pytest

from hsi_edge.backends.tensorrt_layers import (
    CompiledLayer,
    check_graph,
    check_layers,
    layers_from_json,
    layers_from_log,
)
from hsi_edge.errors import EngineLoadError

# As TensorRT-RTX 1.7.1 wrote them while it built an INT8 graph for 8.6, shortened by strides and formats.
LOG = """Layers:
Name: __myl_Move_myl0_0, LayerType: kgen, Inputs: [ { Name: x, Dimensions: [1,8,16,16], Datatype: Float, Format: \
(Linear) Row major linear format }], Constants: [], Outputs: [ { Name: h.1_2_myl0, Dimensions: [1,8,16,16], Datatype: \
Float, Format: (NHWC) Channel major format }], TacticName: __myl_Move_0x3ea9, StreamId: 0, Metadata:
Name: first_myl0_1, LayerType: correlation, Inputs: [ { Name: h.1_2_myl0, Dimensions: [1,8,16,16], Datatype: Float, \
Format: (NHWC) Channel major format }], Constants: [ { Name: __mye257dconst_myl0, Dimensions: [16,8,3,3], Datatype: \
Float, Format: (NHWC) Channel major format }, { Name: __mye306_const_myl0, Dimensions: [1], Datatype: Float, Format: \
(Linear) Row major linear format }], Outputs: [ { Name: y, Dimensions: [1,16,16,16], Datatype: Float, Format: (NHWC) \
Channel major format }], TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: [ONNX Layer: first][ONNX Layer: relu]
Name: quant_myl0_3, LayerType: correlation, Inputs: [ { Name: __mye176y0.1_4_myl0, Dimensions: [1,16,16,16], Datatype: \
Int8, Format: (NHWC) Channel major format }], Constants: [ { Name: __mye262dconst_myl0, Dimensions: [16,16,3,3], \
Datatype: Int8, Format: (NHWC) Channel major format }, { Name: __mye267dconst_myl0, Dimensions: [1,16,1,1], Datatype: \
Float, Format: (NHWC) Channel major format }], Outputs: [ { Name: __myln_k_arg__bb1_5_myl0, Dimensions: [1,16,16,16], \
Datatype: Float, Format: (NHWC) Channel major format }], TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: \
[ONNX Layer: quant]\x1f[ONNX Layer: dq]\x1e[ONNX Layer: wdq]

I/O Tensors:
 Name: x, IOMode: Input, DataType: Float, Dimensions: [1,8,16,16], Location: Device
"""


def layer(types, *nodes):
    return CompiledLayer(frozenset(nodes), frozenset(types))


def test_the_log_of_a_build_tells_each_layers_nodes_and_the_type_of_its_weights():
    assert layers_from_log(LOG) == [
        layer({"fp32"}),
        layer({"fp32"}, "first", "relu"),
        layer({"int8"}, "quant", "dq", "wdq"),
    ]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"Inputs": [{"Format/Datatype": "Row major linear FP16 format"}]}, "fp16"),
        ({"Inputs": [{"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}]}, "int8"),
        ({"Inputs": [{"Datatype": "Half"}], "Weights": {"Type": "Int8", "Count": 8}}, "int8"),
        ({"Inputs": [{"Datatype": "BFloat16"}]}, "bfloat16"),
        ({"Inputs": [{"Datatype": "Float"}], "Constants": [{"Dimensions": [4, 4], "Datatype": "Half"}]}, "fp16"),
    ],
)
def test_the_inspector_of_each_version_is_understood(fields, kind):
    text = json.dumps({"Layers": [{"Name": "a", "Metadata": "[ONNX Layer: conv]", **fields}]})
    assert layers_from_json(text) == [layer({kind}, "conv")]


@pytest.mark.parametrize("text", ["", "{}", '{"Layers": 3}', '{"Layers": [{"Inputs": [{"Name": "x"}]}]}'])
def test_an_unreadable_list_is_an_error(text):
    with pytest.raises(EngineLoadError, match="list of layers cannot be read"):
        layers_from_json(text)


def test_an_engine_without_details_cannot_be_checked_and_is_refused():
    layers = layers_from_json('{"Layers": ["conv_a", "conv_b"]}')
    with pytest.raises(EngineLoadError, match=r"does not tell .* 1 of 1 convolutions \(conv_a\)"):
        check_layers({"conv_a": "fp16"}, layers)


def test_an_engine_that_computes_wider_than_asked_is_refused_with_the_names():
    wanted = {"a": "fp16", "b": "fp16", "c": "fp32"}
    layers = [layer({"fp16"}, "a", "relu"), layer({"fp32"}, "b"), layer({"fp32"}, "c")]
    with pytest.raises(EngineLoadError, match=r"1 of 3 convolutions .* b \(fp16 asked for, fp32 compiled\)"):
        check_layers(wanted, layers)


def test_an_engine_that_computes_as_asked_passes():
    check_layers({"a": "int8", "b": "fp32"}, [layer({"int8"}, "a"), layer({"fp32"}, "b", "c"), layer(set(), "d")])


@pytest.mark.parametrize(
    ("types", "precision", "float_layers"),
    [
        ({"a": "fp32"}, "fp32", ()),
        ({"a": "fp16", "b": "fp32"}, "fp16", ("b", "mean")),
        ({"a": "int8", "b": "fp16"}, "int8", ("b",)),
        ({}, "int8", ()),
    ],
)
def test_a_graph_may_be_wider_only_where_calibration_says_so(types, precision, float_layers):
    check_graph(types, precision, float_layers)


@pytest.mark.parametrize(
    ("types", "precision", "float_layers", "message"),
    [
        ({"a": "fp16", "b": "fp32"}, "fp16", (), r"1 of 2 convolutions .*: b \(fp32\); calibrate"),
        ({"a": "fp16"}, "fp32", (), r"the fp32 graph asks for another precision in 1 of 1 .*: a \(fp16\)"),
        ({"a": "fp16", "b": "fp16"}, "int8", ("a", "b"), "the int8 graph has no int8 convolution: all 2"),
    ],
)
def test_a_graph_of_another_precision_is_refused(types, precision, float_layers, message):
    with pytest.raises(EngineLoadError, match=message):
        check_graph(types, precision, float_layers)
