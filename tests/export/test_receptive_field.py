from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from export.receptive_field import exact_halo_lr, impulse_radius_px, radius_px, sufficient_halo_lr
from export.to_onnx import Forms
from hsi_edge.errors import ExportError

Float = NDArray[np.float32]


def image(name: str, channels: int) -> gs.Variable:
    return gs.Variable(name, np.float32, [1, channels, "H", "W"])


def two_convolutions(kernel: Float, statistics: bool, dilation: int = 1) -> bytes:
    """`hr_hsi = conv(conv(base)) + conv(hr_msi)`, one channel each, all with the same kernel."""
    base, msi, given = image("base", 1), image("hr_msi", 1), gs.Variable("statistics", np.float32, [1, 1])
    first, second, third, result = (image(name, 1) for name in ("first", "second", "third", "hr_hsi"))
    attributes = {"kernel_shape": [3, 3], "pads": [dilation] * 4, "dilations": [dilation] * 2}
    weight = gs.Constant("weight", kernel[None, None])
    nodes = [
        gs.Node("Conv", "first", attributes, [base, weight], [first]),
        gs.Node("Conv", "second", attributes, [first, weight], [second]),
        gs.Node("Conv", "third", attributes, [msi, weight], [third]),
        gs.Node("Add", "sum", {}, [second, third], [result]),
    ]
    measured = gs.Variable("measured_statistics", np.float32, [1, 1])
    constant = gs.Node("Constant", "zero", {"value": gs.Constant("v", np.zeros((1, 1), np.float32))}, [], [measured])
    inputs, outputs = ([base, msi, given], [result]) if statistics else ([base, msi], [result, measured])
    graph = gs.Graph(nodes if statistics else [*nodes, constant], inputs, outputs, opset=20)
    model: ModelProto = gs.export_onnx(graph, ir_version=10)
    return model.SerializeToString()


def test_the_radius_is_that_of_the_longest_path() -> None:
    kernel = np.ones((3, 3), np.float32)
    assert radius_px(two_convolutions(kernel, True)) == 2
    assert radius_px(two_convolutions(kernel, True, dilation=3)) == 6


def test_an_impulse_shows_the_radius_of_each_image() -> None:
    # A kernel that is zero but in its middle: the proof must not depend on the weights.
    graph = two_convolutions(np.eye(3, dtype=np.float32)[1][:, None] * np.float32([0, 1, 0]), True)
    assert impulse_radius_px(graph, "base", 5) == 2
    assert impulse_radius_px(graph, "hr_msi", 5) == 1


def test_the_halo_is_rounded_up_to_whole_lr_pixels() -> None:
    graph = two_convolutions(np.ones((3, 3), np.float32), True)
    assert [exact_halo_lr(graph, ratio) for ratio in (1, 2, 3, 8)] == [2, 1, 1, 1]


def test_pzresnet_sees_28_pixels(narrow_forms: Forms) -> None:
    assert radius_px(narrow_forms.given) == 28
    assert impulse_radius_px(narrow_forms.given, "hr_msi", 32) == 28
    assert impulse_radius_px(narrow_forms.given, "base", 32) == 27
    assert exact_halo_lr(narrow_forms.given, 8) == 4
    assert exact_halo_lr(narrow_forms.given, 4) == 7


def test_an_operation_over_the_whole_frame_is_refused(narrow_forms: Forms) -> None:
    with pytest.raises(ExportError, match=r"ReduceMean.*how far it sees is not known"):
        radius_px(narrow_forms.whole)


@pytest.mark.parametrize(("rim", "halo"), [(0.0, 0), (1e-9, 0), (0.1, 2)])
def test_the_sufficient_halo_leaves_out_what_the_weights_do_not_use(
    rng: np.random.Generator, rim: float, halo: int
) -> None:
    kernel = np.full((3, 3), rim, np.float32)
    kernel[1, 1] = 1
    frame = (rng.random((1, 1, 12, 13), np.float32), rng.random((1, 1, 12, 13), np.float32))
    assert sufficient_halo_lr(two_convolutions(kernel, False), two_convolutions(kernel, True), 1, [frame]) == halo
