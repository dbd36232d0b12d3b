import io
from collections import Counter

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, numpy_helper

from calib.fp16 import fp16_graph
from calib.half_arithmetic import half_session
from calib.int8 import float_by_rule, int8_graph, quantizable_layers, quantized_tensors
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.errors import InputError
from tests.calib.small_graphs import NETWORKS, conv, graph, node, psnr_db, run, shipped, tile, weights


def two_images(rng: np.random.Generator) -> bytes:
    """Convolutions over an input, over a concatenation with it, transposed, and one that writes the output."""
    nodes = [
        conv("first", "x", bias=True, pads=[1, 1, 1, 1]),
        node("Relu", ["first"], "first.relu"),
        node("Concat", ["x", "first.relu"], "both", axis=1),
        conv("second", "both", bias=True, pads=[1, 1, 1, 1]),
        conv("up", "second", op="ConvTranspose", strides=[2, 2]),
        conv("last", "up", pads=[1, 1, 1, 1]),
        node("Tanh", ["last"], "hr_hsi"),
    ]
    constants = {
        "first.weight": weights(rng, 8, 4, 3, 3),
        "first.bias": weights(rng, 8),
        "second.weight": weights(rng, 16, 12, 3, 3),
        "second.bias": weights(rng, 16),
        "up.weight": weights(rng, 16, 8, 2, 2),
        "last.weight": weights(rng, 4, 8, 3, 3),
    }
    return graph(nodes, constants, {"x": (1, 4, 10, 10)})


def ranges_of(model: bytes, inputs: dict[str, np.ndarray]) -> dict[str, float]:
    names = quantized_tensors(model, quantizable_layers(model))
    computed = [name for name in names if name not in inputs]
    arrays = inputs | (dict(zip(computed, run(model, inputs, *computed), strict=True)) if computed else {})
    return {name: float(np.abs(arrays[name]).max()) for name in names}


def quantized(model: bytes, inputs: dict[str, np.ndarray], *float_layers: str, half: bool = True) -> bytes:
    return int8_graph(fp16_graph(model) if half else model, ranges_of(model, inputs), float_layers)


def constants_of(model: bytes) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(model).graph.initializer}


def image(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((1, 4, 10, 10)).astype(np.float32)}


@pytest.mark.parametrize(
    ("name", "last", "count"),
    [
        ("fieldfuse-x8/fp32.onnx", ("up", "tail"), 10),
        ("msssf-vis31-x8/fp32.onnx", ("upsample.0", "upsample.1", "upsample.2", "heads.3"), 14),
        ("pzres-vis31-x8/fp32.onnx", ("stages.2.lift", "stages.2.last.spatial", "refine.0.spatial"), 158),
        ("pzres-vis31-x8/fp32-given.onnx", ("stages.2.lift", "stages.2.last.spatial", "refine.0.spatial"), 158),
    ],
)
def test_all_convolutions_but_transposed_ones_and_those_that_write_the_output_may_run_in_int8(name, last, count):
    assert tuple(float_by_rule(shipped(name))) == last
    layers = quantizable_layers(shipped(name))
    assert len(layers) == count
    assert not {*last} & {*layers}


def test_3d_convolutions_may_run_in_int8_and_all_parts_of_the_upsampling_stay_float():
    model = shipped("ssrnet-vis31-x4/fp32.onnx")
    assert len(quantizable_layers(model)) == 52
    assert {*float_by_rule(model)} == {f"upsample.parts.{index}" for index in range(9)}


def test_a_concatenation_in_fp32_is_taken_apart_too(rng):
    model, inputs = two_images(rng), image(rng)
    wide = fp16_graph(model, ("both.concat",))
    made = int8_graph(wide, ranges_of(model, inputs), ())
    (wanted,) = run(model, inputs)
    assert "second.part_1" in {one.name for one in onnx.load_from_string(made).graph.node}
    assert psnr_db(half_session(made)(inputs)["hr_hsi"], wanted) > 35


@pytest.mark.parametrize(
    ("operation", "constants"),
    [
        (node("Relu", ["both"], "between"), {}),
        (node("Mul", ["k", "both"], "between"), {"k": np.array([0.7], np.float32)}),
        (node("Add", ["both", "k"], "between"), {"k": np.array([0.7], np.float32)}),
    ],
    ids=["relu", "times", "plus"],
)
def test_a_convolution_behind_a_concatenation_that_cannot_be_taken_apart_stays_float(rng, operation, constants):
    nodes = [
        conv("first", "x"),
        node("Concat", ["x", "first"], "both", axis=1),
        operation,
        conv("second", "between"),
        conv("last", "second"),
        node("Tanh", ["last"], "hr_hsi"),
    ]
    shapes = {"first": (4, 4), "second": (4, 8), "last": (4, 4)}
    constants = constants | {f"{name}.weight": weights(rng, *shape, 1, 1) for name, shape in shapes.items()}
    model, inputs = graph(nodes, constants, {"x": (1, 4, 10, 10)}), image(rng)
    assert quantizable_layers(model) == ("first",)
    assert "concatenation" in float_by_rule(model)["second"]
    (wanted,) = run(made := quantized(model, inputs), inputs)
    output = OpenVINOBackend("fp32").compile(made, {"x": (1, 4, 10, 10)}).run(inputs)["hr_hsi"]
    assert psnr_db(output, wanted) > 50


def test_convolutions_that_cannot_be_quantised_say_why(rng):
    reasons = float_by_rule(two_images(rng))
    assert "transposed" in reasons["up"]
    assert "writes the output" in reasons["last"]


def test_both_forms_and_all_precisions_quantise_the_same_layers_and_tensors():
    whole, given = (shipped(f"pzres-vis31-x4/{name}.onnx") for name in ("fp32", "fp32-given"))
    tensors = {quantized_tensors(each, quantizable_layers(each)) for each in (whole, given, fp16_graph(whole))}
    assert len({frozenset(names) for names in tensors}) == 1


def test_weights_are_symmetric_per_output_channel_and_biases_stay_as_they_were(rng):
    model = two_images(rng)
    made, plain = constants_of(quantized(model, image(rng), half=False)), constants_of(model)
    integers, scales = made["first.weight.int8"], made["first.weight.scale"]
    assert integers.dtype == np.int8
    assert not made["first.weight.zero_point"].any()
    assert (np.abs(integers).max(axis=(1, 2, 3)) == 127).all()
    error = np.abs(integers * scales[:, None, None, None] - plain["first.weight"]).max(axis=(1, 2, 3))
    assert (error <= 0.501 * scales).all()
    np.testing.assert_array_equal(made["first.bias"], plain["first.bias"])


def test_only_the_data_and_weights_of_convolutions_are_quantised(rng):
    made = onnx.load_from_string(quantized(two_images(rng), image(rng))).graph
    count = Counter(one.op_type for one in made.node)
    # Both parts of the concatenation; the weights of `first` and of the two parts of `second`.
    assert count["QuantizeLinear"] == 2
    assert count["DequantizeLinear"] == 2 + 3
    zero_points = [constant for constant in made.initializer if "zero_point" in constant.name]
    assert all(not numpy_helper.to_array(constant).any() for constant in zero_points)
    assert {constant.data_type for constant in zero_points} == {TensorProto.INT8}


def test_activations_have_one_step_for_the_largest_magnitude(rng):
    inputs = image(rng)
    made = constants_of(quantized(two_images(rng), inputs, half=False))
    assert made["x.scale"].shape == ()
    assert made["x.scale"] == pytest.approx(np.abs(inputs["x"]).max() / 127, rel=1e-6)


def test_a_tensor_that_several_layers_take_is_quantised_once(rng):
    nodes = [conv("a", "x"), conv("b", "x"), node("Mul", ["a", "b"], "c"), conv("last", "c")]
    nodes[-1].output[0] = "hr_hsi"
    model = graph(nodes, {f"{n}.weight": weights(rng, 4, 4, 1, 1) for n in ("a", "b", "last")}, {"x": (1, 4, 10, 10)})
    made = onnx.load_from_string(quantized(model, image(rng))).graph
    assert [one.name for one in made.node if one.op_type == "QuantizeLinear"] == ["x.fp16.quantize"]


def test_a_convolution_over_a_concatenation_becomes_the_sum_over_its_parts(rng):
    model, inputs = two_images(rng), image(rng)
    assert quantized_tensors(model, ["second"]) == ("x", "first.relu")
    made = quantized(model, inputs, "first", half=False)
    assert {"second", "second.part_1"} <= {one.name for one in onnx.load_from_string(made).graph.node}
    (wanted,), (output,) = run(model, inputs, "second"), run(made, inputs, "second")
    assert psnr_db(output, wanted) > 40


def test_each_part_of_a_concatenation_keeps_its_own_range(rng):
    model, inputs = two_images(rng), image(rng)
    ranges = ranges_of(model, inputs)
    made = constants_of(int8_graph(fp16_graph(model), ranges, ()))
    for name, scale in (("x", "x.fp16.scale"), ("first.relu", "first.relu.scale")):
        assert made[scale] == pytest.approx(ranges[name] / 127, rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_computes_what_is_behind_a_concatenation_right(rng, precision):
    if precision not in OpenVINOBackend.precisions():
        pytest.skip("OpenVINO has no BF16 on this CPU")
    inputs = image(rng)
    made = quantized(two_images(rng), inputs)
    (wanted,) = run(made, inputs)
    output = OpenVINOBackend(precision).compile(made, {"x": (1, 4, 10, 10)}).run(inputs)["hr_hsi"]
    assert psnr_db(output, wanted) > 35


@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_runs_every_quantised_layer_of_a_shipped_network_in_int8(name):
    model = shipped(name)
    inputs = tile(model, np.random.default_rng(2), lr_side=4)
    made = quantized(model, inputs)
    opened = openvino.Core().read_model(io.BytesIO(made))
    opened.reshape({key: list(array.shape) for key, array in inputs.items()})
    compiled = openvino.Core().compile_model(opened, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = Counter(
        (one.get_rt_info()["layerType"].astype(str), one.get_rt_info()["runtimePrecision"].astype(str))
        for one in compiled.get_runtime_model().get_ops()
    )
    layers = {key: count for key, count in kinds.items() if key[0] in ("Convolution", "Deconvolution")}
    assert sum(count for (_, kind), count in layers.items() if kind == "f32") == len(float_by_rule(model))
    assert sum(count for (_, kind), count in layers.items() if kind in ("i8", "u8")) >= len(quantizable_layers(model))


@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_networks_keep_40_db_in_int8_with_the_rest_in_half(name):
    model = shipped(name)
    inputs = tile(model, np.random.default_rng(3), lr_side=4)
    (wanted,) = run(model, inputs, "hr_hsi")
    made = quantized(model, inputs)
    onnx.checker.check_model(onnx.load_from_string(made), full_check=True)
    assert psnr_db(half_session(made)(inputs)["hr_hsi"], wanted) > 40


def test_float_layers_stay_as_they_were_typed(rng):
    made = onnx.load_from_string(quantized(two_images(rng), image(rng), "first")).graph
    (first,) = (one for one in made.node if one.name == "first")
    assert first.input[0] == "x.fp16"
    assert not any("first.weight.int8" in tensor.name for tensor in made.initializer)


def test_steps_rounded_to_half_clip_nothing(rng):
    model = two_images(rng)
    inputs = image(rng)
    made, plain = constants_of(quantized(model, inputs)), constants_of(model)
    assert made["first.weight.scale"].dtype == np.float16
    held = 127 * made["first.weight.scale"].astype(np.float64)
    # The FP16 graph's weights are halves already.
    assert (held >= np.abs(plain["first.weight"].astype(np.float16)).max(axis=(1, 2, 3))).all()
    assert 127 * np.float64(made["x.fp16.scale"]) >= np.abs(inputs["x"]).max()


def test_channels_of_zeros_and_of_tiny_weights_are_harmless(rng):
    nodes = [conv("first", "x"), node("Relu", ["first"], "c"), conv("last", "c")]
    nodes[-1].output[0] = "hr_hsi"
    constants = {"first.weight": weights(rng, 4, 4, 1, 1), "last.weight": weights(rng, 4, 4, 1, 1)}
    constants["first.weight"][0] = 0
    constants["first.weight"][1] *= 1e-3
    model, inputs = graph(nodes, constants, {"x": (1, 4, 10, 10)}), image(rng)
    made = quantized(model, inputs)
    (wanted,), (output,) = run(model, inputs, "first"), run(made, inputs, "first")
    assert not output[:, 0].any()
    for channel in (1, 2, 3):
        assert psnr_db(output[:, channel].astype(np.float32), wanted[:, channel]) > 35


@pytest.mark.parametrize("amax", [None, np.nan, np.inf, -1.0])
def test_a_range_that_is_missing_or_no_number_is_refused(rng, amax):
    model = two_images(rng)
    ranges = {"x": amax, "first.relu": 1.0, "second": 1.0}
    if amax is None:
        del ranges["x"]
    with pytest.raises(InputError, match="range of 'x'"):
        int8_graph(model, ranges, ())


def test_a_float_layer_that_is_not_there_is_refused(rng):
    with pytest.raises(InputError, match=r"no convolution 'sideways'.*first"):
        int8_graph(two_images(rng), {}, ("sideways",))
