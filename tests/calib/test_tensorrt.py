"""What NVIDIA's own parser and compiler say of the graphs: TensorRT-RTX builds ahead of time, without a GPU."""

import numpy as np
import pytest

from calib.fp16 import fp16_graph
from calib.int8 import float_by_rule, int8_graph, quantizable_layers, quantized_tensors
from hsi_edge.backends.tensorrt_build import PlanOrder, build_plan
from tests.calib.small_graphs import NETWORKS, shipped, tile

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")


def order(precision: str, float_layers: tuple[str, ...] = ()) -> PlanOrder:
    return PlanOrder(kind="tensorrt-rtx", precision=precision, float_layers=float_layers, capabilities=("8.6",))


@pytest.mark.parametrize("name", [*NETWORKS, "pzres-vis31-x8/fp32.onnx"])
def test_every_network_compiles_with_all_convolutions_in_fp16(name):
    model = shipped(name)
    shapes = {key: array.shape for key, array in tile(model, np.random.default_rng(0), lr_side=8).items()}
    assert build_plan(fp16_graph(model), shapes, order("fp16")).layers_checked


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_compiles_with_all_quantised_convolutions_in_int8(name):
    model = shipped(name)
    shapes = {key: array.shape for key, array in tile(model, np.random.default_rng(0), lr_side=8).items()}
    ranges = dict.fromkeys(quantized_tensors(model, quantizable_layers(model)), 1.0)
    graph = int8_graph(fp16_graph(model), ranges, ())
    assert build_plan(graph, shapes, order("int8", tuple(float_by_rule(model)))).layers_checked
