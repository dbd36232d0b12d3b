import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calib.ranges import BINS, GROUP, Histogram, collect
from hsi_edge.errors import InputError
from tests.calib.small_graphs import conv, graph, node, run, shipped, tile, weights

VALUES = arrays.arrays(np.float32, st.integers(1, 30), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False))


def histogram(*parts: np.ndarray) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


@given(st.lists(VALUES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_counts_do_not_depend_on_the_order_of_the_tiles(parts, random):
    first = histogram(*parts)
    random.shuffle(parts)
    second, whole = histogram(*parts), histogram(np.concatenate(parts))
    for other in (second, whole):
        np.testing.assert_array_equal(first.counts, other.counts)
        assert (first.zeros, first.amax, first.width) == (other.zeros, other.amax, other.width)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_every_value_is_counted_once_and_in_its_bin(parts):
    made = histogram(*parts)
    magnitudes = np.abs(np.concatenate(parts)).astype(np.float64)
    assert made.zeros + made.counts.sum() == magnitudes.size
    assert made.amax == magnitudes.max()
    if made.amax:
        wanted, _ = np.histogram(magnitudes[magnitudes > 0], bins=BINS, range=(0, BINS * made.width))
        np.testing.assert_array_equal(made.counts, wanted)
        assert BINS / 2 * made.width <= made.amax < BINS * made.width


def test_the_ranges_of_inputs_and_activations_are_collected_over_all_tiles(rng):
    nodes = [conv("first", "x"), node("Relu", ["first"], "r"), conv("last", "r"), node("Tanh", ["last"], "hr_hsi")]
    constants = {"first.weight": weights(rng, 4, 4, 1, 1), "last.weight": weights(rng, 4, 4, 1, 1)}
    model = graph(nodes, constants, {"x": (1, 4, "h", "w")})
    tiles = [{"x": rng.standard_normal((1, 4, side, side)).astype(np.float32)} for side in (3, 5, 4)]
    found = collect(model, ("x", "r"), iter(tiles))
    activations = [run(model, tile, "r")[0] for tile in tiles]
    assert found["x"].amax == max(np.abs(tile["x"]).max() for tile in tiles)
    assert found["r"].amax == pytest.approx(max(array.max() for array in activations), rel=1e-6)
    assert found["r"].zeros == sum(np.count_nonzero(array == 0) for array in activations)


def test_more_tensors_than_one_run_holds_are_collected_in_groups():
    model = shipped("pzres-vis31-x8/fp32-given.onnx")
    inputs = tile(model, np.random.default_rng(0), lr_side=1)
    names = [f"stages.{stage}.dense.{index}.{kind}" for stage in range(3) for index in range(7)
             for kind in ("spectral.sub", "spatial.sub")]  # fmt: skip
    assert len(names) > GROUP
    found = collect(model, names, [inputs])
    expected = run(model, inputs, *names)
    for name, array in zip(names, expected, strict=True):
        assert found[name].amax == pytest.approx(np.abs(array).max(), rel=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_tile_that_is_not_finite_is_refused_by_its_number(rng, value):
    model = graph([node("Relu", ["x"], "hr_hsi")], {}, {"x": (1, 1, 2, 2)})
    good = {"x": np.ones((1, 1, 2, 2), np.float32)}
    bad = {"x": good["x"].copy()}
    bad["x"][0, 0, 1, 1] = value
    with pytest.raises(InputError, match="'x' of calibration tile 2 has 1 value"):
        collect(model, ("x",), [good, bad])


def test_an_activation_that_overflows_is_refused(rng):
    model = graph([node("Mul", ["x", "x"], "m"), node("Relu", ["m"], "hr_hsi")], {}, {"x": (1, 1, 2, 2)})
    with pytest.raises(InputError, match="'m' in calibration tile 1"):
        collect(model, ("m",), [{"x": np.full((1, 1, 2, 2), 1e30, np.float32)}])


def test_no_tile_is_refused():
    model = graph([node("Relu", ["x"], "hr_hsi")], {}, {"x": (1, 1, 2, 2)})
    with pytest.raises(InputError, match="no calibration tile"):
        collect(model, ("x",), [])


def test_a_tensor_that_is_not_in_the_graph_is_refused():
    model = graph([node("Relu", ["x"], "hr_hsi")], {}, {"x": (1, 1, 2, 2)})
    with pytest.raises(InputError, match="no tensor 'y'"):
        collect(model, ("y",), [{"x": np.ones((1, 1, 2, 2), np.float32)}])
