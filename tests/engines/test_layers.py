"""Layers are counted exactly: against arithmetic done by hand, and against what the networks' modules say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.layers import count_layers
from hsi_edge.bundle import Bundle
from hsi_edge.engine_choice import tile_shapes
from hsi_edge.errors import InputError

BUNDLES = Path(__file__).parents[2] / "engines" / "bundles"
# SSRNet's modules also multiply the zeros that its 3-D convolutions are padded with, which its graph leaves out; the
# graphs of PZRes-Net compute a few means twice to save larger work.
TOLERANCE = {"fieldfuse-x4": 0.01, "fieldfuse-x8": 0.01, "msssf-vis31-x8": 0.01, "pzres-vis31-x8": 0.05}


def model(nodes, weights, kind=TensorProto.FLOAT):
    ends = [helper.make_tensor_value_info(name, kind, ["n", "c", "h", "w"]) for name in ("image", "result")]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], tensors)
    imports = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()


def convolution(dtype=np.float32, **attributes):
    weights = np.zeros((8, 4 // attributes.get("group", 1), 3, 3), dtype)
    node = helper.make_node("Conv", ["image", "w"], ["result"], name="conv", pads=[1, 1, 1, 1], **attributes)
    kind = TensorProto.FLOAT16 if dtype == np.float16 else TensorProto.FLOAT
    return model([node], {"w": weights}, kind)


def test_a_convolution_reads_image_and_weights_and_writes_its_output():
    (layer,) = count_layers(convolution(), {"image": (1, 4, 10, 12)})
    assert layer.macs == 10 * 12 * 8 * 4 * 9
    assert layer.moved_bytes == 4 * (10 * 12 * 4 + 8 * 4 * 9 + 10 * 12 * 8)
    assert layer.arithmetic == "fp32"


def test_a_grouped_convolution_multiplies_within_its_groups():
    (layer,) = count_layers(convolution(group=2), {"image": (1, 4, 10, 12)})
    assert layer.macs == 10 * 12 * 8 * 2 * 9


def test_strides_shrink_the_output_that_is_counted():
    (layer,) = count_layers(convolution(strides=[2, 2]), {"image": (1, 4, 10, 12)})
    assert layer.macs == 5 * 6 * 8 * 4 * 9


def test_half_precision_moves_half_the_bytes():
    (wide,), (narrow,) = (
        count_layers(convolution(dtype), {"image": (1, 4, 10, 12)}) for dtype in (np.float32, np.float16)
    )
    assert (narrow.arithmetic, narrow.macs, 2 * narrow.moved_bytes) == ("fp16", wide.macs, wide.moved_bytes)


def test_an_assumed_arithmetic_replaces_the_graphs_own():
    (layer,) = count_layers(convolution(), {"image": (1, 4, 10, 12)}, "int8")
    assert (layer.arithmetic, layer.moved_bytes) == ("int8", 10 * 12 * 4 + 8 * 4 * 9 + 10 * 12 * 8)


def test_a_transposed_convolution_is_counted_from_its_input():
    node = helper.make_node("ConvTranspose", ["image", "w"], ["result"], strides=[2, 2])
    (layer,) = count_layers(model([node], {"w": np.zeros((4, 8, 2, 2), np.float32)}), {"image": (1, 4, 10, 12)})
    assert layer.macs == 10 * 12 * 4 * 8 * 2 * 2


def test_an_addition_only_reads_its_second_operand_and_an_activation_costs_nothing():
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["one"], name="conv"),
        helper.make_node("Relu", ["one"], ["two"]),
        helper.make_node("Add", ["two", "image"], ["result"], name="add"),
    ]
    layers = count_layers(model(nodes, {"w": np.zeros((4, 4, 1, 1), np.float32)}), {"image": (1, 4, 10, 12)})
    assert [layer.name for layer in layers] == ["conv", "add"]
    assert (layers[1].macs, layers[1].moved_bytes) == (0, 4 * 4 * 10 * 12)


def test_a_convolution_between_quantise_and_dequantise_is_int8_and_moves_bytes():
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["image_q"]),
        helper.make_node("DequantizeLinear", ["image_q", "s", "z"], ["image_dq"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["w_dq"]),
        helper.make_node("Conv", ["image_dq", "w_dq"], ["result"], name="conv"),
    ]
    weights = {"w": np.zeros((8, 4, 1, 1), np.int8), "s": np.float32(0.1), "z": np.int8(0)}
    graph = model(nodes, {name: np.asarray(array) for name, array in weights.items()})
    (layer,) = count_layers(graph, {"image": (1, 4, 10, 12)})
    assert layer.arithmetic == "int8"
    assert layer.moved_bytes == 10 * 12 * 4 + 8 * 4 + 4 * 10 * 12 * 8  # the output stays float


@pytest.mark.parametrize("name", TOLERANCE)
def test_shipped_networks_are_counted_as_their_modules_were(name):
    """The manifest's cost was counted on the torch modules; a frame in one piece has no halo."""
    bundle = Bundle.open(BUNDLES / name)
    manifest = bundle.manifest
    side = 64 // manifest.ratio
    graph = bundle.read_bytes(manifest.graphs["fp32"].whole)
    macs = sum(layer.macs for layer in count_layers(graph, tile_shapes(manifest, "whole", (side, side))))
    assert macs / 64**2 == pytest.approx(manifest.cost.macs_per_px, rel=TOLERANCE[name])


def test_a_shape_that_cannot_be_known_is_named():
    """`NonZero` has as many results as the image has other values."""
    nodes = [
        helper.make_node("NonZero", ["image"], ["found"]),
        helper.make_node("Cast", ["found"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["result"], name="turn"),
    ]
    with pytest.raises(InputError, match="the shape of the tensor numbers cannot be inferred"):
        count_layers(model(nodes, {}), {"image": (1, 4, 10, 12)})


def test_the_models_of_these_tests_are_valid():
    onnx.checker.check_model(onnx.load_model_from_string(convolution()))
