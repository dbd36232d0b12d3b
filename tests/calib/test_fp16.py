from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from calib.fp16 import fp16_graph, fp32_by_rule
from calib.half_arithmetic import half_session
from hsi_edge.errors import InputError
from tests.calib.small_graphs import SHIPPED, conv, graph, node, psnr_db, run, shipped, tile, weights

HALF, SINGLE = TensorProto.FLOAT16, TensorProto.FLOAT


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """The type of every tensor, as ONNX infers it anew."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    types |= {value.name: value.type.tensor_type.elem_type for value in (*inferred.input, *inferred.output)}
    return types | {constant.name: constant.data_type for constant in inferred.initializer}


def typed(model: bytes, *fp32_layers: str) -> tuple[onnx.GraphProto, dict[str, int]]:
    made = onnx.load_from_string(fp16_graph(model, fp32_layers))
    onnx.checker.check_model(made, full_check=True)
    return made.graph, types_of(made)


def casts(made: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [one for one in made.node if one.op_type == "Cast"]


def two_layers(rng, size=8) -> bytes:
    nodes = [conv("first", "x"), conv("second", "first"), conv("third", "second")]
    constants = {f"{name}.weight": weights(rng, size, size, 1, 1) for name in ("first", "second", "third")}
    nodes[2].output[0] = "hr_hsi"
    return graph(nodes, constants, {"x": (1, size, 6, 6)})


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_graph_computes_in_fp16_between_fp32_inputs_and_outputs(name):
    made, types = typed(shipped(name))
    assert {types[value.name] for value in (*made.input, *made.output)} == {SINGLE}
    layers = [one for one in made.node if one.op_type in ("Conv", "ConvTranspose", "Gemm")]
    assert {types[tensor] for one in layers for tensor in (*one.input, *one.output)} == {HALF}


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_graph_casts_what_was_just_cast_or_casts_twice(name):
    made, _ = typed(shipped(name))
    written = {one.output[0] for one in casts(made)}
    taken = [one.input[0] for one in casts(made)]
    assert not written & set(taken)
    assert max(Counter(taken).values()) == 1


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("fieldfuse-x8/fp32.onnx", 7),
        ("msssf-vis31-x8/fp32.onnx", 3),
        ("ssrnet-vis31-x4/fp32.onnx", 3),
        ("pzres-vis31-x8/fp32-given.onnx", 13),
        # Up to every mean and down from it.
        ("pzres-vis31-x8/fp32.onnx", 105),
    ],
)
def test_shipped_graphs_cast_little(name, most):
    assert len(casts(typed(shipped(name))[0])) <= most


@pytest.mark.parametrize("name", SHIPPED)
def test_nodes_and_activations_keep_their_names(name):
    made, types = typed(shipped(name))
    wanted = onnx.load_from_string(shipped(name)).graph
    assert {one.name for one in wanted.node} <= {one.name for one in made.node}
    assert {output for one in wanted.node for output in one.output} <= types.keys()


@pytest.mark.parametrize("name", ["pzres-vis31-x4/fp32.onnx", "pzres-vis31-x8/fp32.onnx"])
def test_means_and_the_statistics_made_of_them_are_fp32(name):
    made, types = typed(shipped(name))
    means = [one for one in made.node if one.op_type == "ReduceMean"]
    assert len(means) == 54
    assert {types[tensor] for one in means for tensor in (one.input[0], one.output[0])} == {SINGLE}
    (statistics,) = (one for one in made.node if "measured_statistics" in one.output)
    (concat,) = (one for one in made.node if statistics.input[0] in one.output)
    assert {types[tensor] for tensor in concat.input} == {SINGLE}


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("pzres")])
def test_the_base_image_reaches_the_output_unrounded(name):
    model = shipped(name)
    rng = np.random.default_rng(0)
    inputs = tile(model, rng, lr_side=2)
    proto = onnx.load_from_string(model)
    for constant in proto.graph.initializer:
        if constant.data_type == SINGLE:
            constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * 0, constant.name))
    output = half_session(fp16_graph(bytes(proto.SerializeToString())))(inputs)["hr_hsi"]
    np.testing.assert_array_equal(output, inputs["base"])


@pytest.mark.parametrize("name", SHIPPED)
def test_half_arithmetic_keeps_more_than_70_db_of_every_shipped_graph(name):
    model = shipped(name)
    inputs = tile(model, np.random.default_rng(1), lr_side=4)
    (wanted,) = run(model, inputs, "hr_hsi")
    assert psnr_db(half_session(fp16_graph(model))(inputs)["hr_hsi"], wanted) > 70


def test_a_named_layer_computes_in_fp32_with_fp32_weights(rng):
    made, types = typed(two_layers(rng), "second")
    layers = {one.name: [types[tensor] for tensor in (*one.input, *one.output)] for one in made.node}
    assert layers["first"] == [HALF, HALF, HALF]
    assert layers["second"] == [SINGLE, SINGLE, SINGLE]


def test_between_fp32_layers_nothing_is_rounded(rng):
    model = two_layers(rng)
    inputs = {"x": rng.random((1, 8, 6, 6), np.float32)}
    (wanted,) = run(model, inputs)
    output = half_session(fp16_graph(model, ("first", "second", "third")))(inputs)["hr_hsi"]
    np.testing.assert_allclose(output, wanted, rtol=1e-6, atol=1e-6)


def test_a_tensor_that_several_fp32_layers_take_is_cast_once(rng):
    nodes = [conv("first", "x"), conv("a", "first"), conv("b", "first"), node("Mul", ["a", "b"], "hr_hsi")]
    constants = {f"{name}.weight": weights(rng, 8, 8, 1, 1) for name in ("first", "a", "b")}
    made, _ = typed(graph(nodes, constants, {"x": (1, 8, 6, 6)}), "a", "b")
    assert [one.input[0] for one in casts(made)].count("first") == 1


@pytest.mark.parametrize("constant", [70000.0, 1e-9])
def test_an_operation_with_a_constant_that_fp16_cannot_hold_stays_fp32(rng, constant):
    nodes = [conv("first", "x"), node("Mul", ["first", "k"], "scaled"), node("Relu", ["scaled"], "hr_hsi")]
    constants = {"first.weight": weights(rng, 4, 4, 1, 1), "k": np.array([constant], np.float32)}
    model = graph(nodes, constants, {"x": (1, 4, 6, 6)})
    _, types = typed(model)
    assert fp32_by_rule(model) == ("scaled.mul",)
    assert types["k"] == types["scaled"] == SINGLE


def test_the_scales_of_a_resize_stay_fp32():
    nodes = [node("Resize", ["x", "", "scales"], "large"), node("Relu", ["large"], "hr_hsi")]
    _, types = typed(graph(nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}, {"x": (1, 2, 4, 4)}))
    assert types["scales"] == SINGLE
    assert types["large"] == HALF


def test_a_global_pooling_computes_in_fp32(rng):
    nodes = [node("GlobalAveragePool", ["x"], "mean"), node("Mul", ["x", "mean"], "hr_hsi")]
    assert fp32_by_rule(graph(nodes, {}, {"x": (1, 2, 4, 4)})) == ("mean.globalaveragepool",)


def test_a_sum_over_channels_is_no_mean_over_an_image():
    nodes = [node("ReduceSum", ["x", "axis"], "total"), node("Relu", ["total"], "hr_hsi")]
    assert fp32_by_rule(graph(nodes, {"axis": np.array([1])}, {"x": (1, 2, 4, 4)})) == ()


def test_nodes_without_a_name_are_called_after_what_they_give(rng):
    nodes = [conv("first", "x"), node("Relu", ["first"], "hr_hsi")]
    for one in nodes:
        one.name = ""
    made, types = typed(graph(nodes, {"first.weight": weights(rng, 4, 4, 1, 1)}, {"x": (1, 4, 6, 6)}), "first")
    assert {"first", "hr_hsi"} <= {one.name for one in made.node}
    assert types["first"] == SINGLE


def test_a_layer_that_is_not_there_is_refused_by_its_name(rng):
    with pytest.raises(InputError, match=r"no layer 'fourth'.*first"):
        fp16_graph(two_layers(rng), ("fourth",))


def test_what_is_no_onnx_file_is_refused():
    with pytest.raises(InputError, match="wanted a valid ONNX file"):
        fp16_graph(b"not a graph")
