import numpy as np
import pytest
import torch

from calib.fp16 import fp16_graph
from calib.half_arithmetic import half_session, layers_beyond_half, overflowing_layers
from calib.int8 import int8_graph
from hsi_edge.errors import InputError
from tests.calib.small_graphs import conv, graph, node, run, weights

HALF_ULP = 2.0**-11
"""Of a rounding to half, relative."""


def chain(rng: np.random.Generator, size: int = 12) -> tuple[bytes, dict[str, np.ndarray]]:
    """Three convolutions with ReLU between them, and their weights."""
    constants = {f"{name}.weight": weights(rng, size, size, 3, 3) for name in ("first", "second", "third")}
    constants |= {f"{name}.bias": weights(rng, size) for name in ("first", "second", "third")}
    nodes = []
    source = "x"
    for name in ("first", "second", "third"):
        nodes += [conv(name, source, bias=True, pads=[1, 1, 1, 1]), node("Relu", [name], f"{name}.relu")]
        source = f"{name}.relu"
    nodes[-1].output[0] = "hr_hsi"
    return graph(nodes, constants, {"x": (1, size, 9, 9)}), constants


def in_torch(constants: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The same in torch's half, which rounds every layer's output and sums in FP32."""
    values = torch.from_numpy(x).half()
    for name in ("first", "second", "third"):
        weight, bias = (torch.from_numpy(constants[f"{name}.{part}"]).half() for part in ("weight", "bias"))
        values = torch.relu(torch.nn.functional.conv2d(values, weight, bias, padding=1))
    return values.float().numpy()


def overflowing(rng: np.random.Generator) -> bytes:
    """The second of three layers sums past 65504; the third brings the numbers back."""
    nodes = [conv("first", "x"), conv("second", "first"), conv("third", "second"), node("Relu", ["third"], "hr_hsi")]
    constants = {
        "first.weight": np.full((8, 8, 1, 1), 16, np.float32),
        "second.weight": np.full((8, 8, 1, 1), 128, np.float32),
        "third.weight": np.full((8, 8, 1, 1), 2.0**-14, np.float32),
    }
    return graph(nodes, constants, {"x": (1, 8, 4, 4)})


def half_step(amax: float) -> float:
    """The least half that holds `amax` in 127 steps."""
    step = np.float16(amax / 127)
    return float(np.nextafter(step, np.float16(1)) if float(step) < amax / 127 else step)


def test_it_rounds_as_torch_half_does(rng):
    model, constants = chain(rng)
    x = rng.standard_normal((1, 12, 9, 9)).astype(np.float32)
    wanted = in_torch(constants, x)
    output = half_session(fp16_graph(model))({"x": x})["hr_hsi"]
    # Sums in another order round some numbers the other way.
    scale = np.abs(wanted).max()
    assert np.abs(output - wanted).max() <= 2 * HALF_ULP * scale
    assert np.mean(output == wanted) > 0.8
    (fp32,) = run(model, {"x": x})
    assert np.sqrt(np.mean((output - wanted) ** 2)) < 0.3 * np.sqrt(np.mean((fp32 - wanted) ** 2))


def test_every_fp16_output_is_a_half(rng):
    model, _ = chain(rng)
    output = half_session(fp16_graph(model))({"x": rng.random((1, 12, 9, 9), np.float32)})["hr_hsi"]
    np.testing.assert_array_equal(output, output.astype(np.float16))


def test_a_sum_past_65504_is_infinite_though_onnxruntime_hides_it(rng):
    model = fp16_graph(overflowing(rng))
    x = {"x": np.ones((1, 8, 4, 4), np.float32)}
    assert 128 * 8 * 128 > 65504
    assert np.isinf(half_session(model)(x)["hr_hsi"]).all()
    (hidden,) = run(model, x)
    np.testing.assert_allclose(hidden, 64, rtol=1e-3)


def test_the_layer_that_overflows_first_is_named_and_fp32_heals_it(rng):
    model = overflowing(rng)
    tiles = [{"x": np.ones((1, 8, 4, 4), np.float32)}]
    assert overflowing_layers(fp16_graph(model), tiles) == ("second",)
    # What it gives does not fit into FP16 either, so the layer that takes it follows.
    assert overflowing_layers(fp16_graph(model, ("second",)), tiles) == ("third",)
    assert layers_beyond_half(model, tiles) == ("second", "third")
    healed = fp16_graph(model, ("second", "third"))
    assert overflowing_layers(healed, tiles) == ()
    np.testing.assert_allclose(half_session(healed)(tiles[0])["hr_hsi"], 64, rtol=1e-3)


def test_layers_that_overflow_on_any_tile_are_named(rng):
    model = fp16_graph(overflowing(rng))
    small, large = ({"x": np.full((1, 8, 4, 4), value, np.float32)} for value in (1e-3, 1.0))
    assert overflowing_layers(model, [small]) == ()
    assert overflowing_layers(model, [small, large]) == ("second",)


def test_a_network_that_overflows_in_fp32_is_refused(rng):
    tiles = [{"x": np.full((1, 8, 4, 4), 3e38, np.float32)}]
    with pytest.raises(InputError, match="overflows in FP32, first in first"):
        layers_beyond_half(overflowing(rng), tiles)


def test_an_input_that_half_cannot_hold_names_the_layer_that_takes_it(rng):
    tiles = [{"x": np.full((1, 8, 4, 4), 1e5, np.float32)}]
    assert overflowing_layers(fp16_graph(overflowing(rng)), tiles) == ("first",)


def test_int8_values_enter_the_sums_unrounded():
    constants = {"first.weight": np.array([[[[0.37]]]], np.float32), "last.weight": np.ones((1, 1, 1, 1), np.float32)}
    nodes = [conv("first", "x"), conv("last", "first"), node("Relu", ["last"], "hr_hsi")]
    model = graph(nodes, constants, {"x": (1, 1, 1, 4)})
    quantized = int8_graph(fp16_graph(model), {"x": 1.0}, ())
    x = np.array([0.1, 0.25, 0.5, 1.0], np.float32).reshape(1, 1, 1, 4)
    step, weight_step = half_step(1.0), half_step(0.37)
    integers = np.clip(np.rint(np.float16(x).astype(np.float64) / step), -128, 127)
    wanted = np.float16(integers * step * np.rint(np.float32(0.37) / weight_step) * weight_step)
    np.testing.assert_array_equal(half_session(quantized)({"x": x})["hr_hsi"], wanted)


def test_inputs_of_other_names_are_refused(rng):
    model, _ = chain(rng)
    with pytest.raises(InputError, match="the inputs are y; wanted x"):
        half_session(fp16_graph(model))({"y": np.zeros((1, 12, 9, 9), np.float32)})
