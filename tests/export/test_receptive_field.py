from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

import export.receptive_field
from export.networks.choices import GELINChoice, MSSSFChoice, NetworkChoice, SSRNetChoice
from export.reach import Reach, read_reach
from export.receptive_field import exact_reach, impulse_extents, sufficient_halo_lr
from export.to_onnx import Forms
from hsi_edge.errors import ExportError
from tests.export.narrow import Narrow

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
    assert exact_reach(two_convolutions(kernel, True), 1).radius_px == 2
    assert exact_reach(two_convolutions(kernel, True, dilation=3), 1).radius_px == 6


def test_an_impulse_shows_the_radius_of_each_image() -> None:
    # A kernel that is zero but in its middle: the proof must not depend on the weights.
    graph = two_convolutions(np.eye(3, dtype=np.float32)[1][:, None] * np.float32([0, 1, 0]), True)
    reach = read_reach(graph, 1)
    assert impulse_extents(graph, "base", reach) == {(0, 0): (-2, 2), (1, 0): (-2, 2)}
    assert impulse_extents(graph, "hr_msi", reach) == {(0, 0): (-1, 1), (1, 0): (-1, 1)}


def test_the_halo_is_rounded_up_to_whole_lr_pixels() -> None:
    graph = two_convolutions(np.ones((3, 3), np.float32), True)
    assert [exact_reach(graph, ratio).halo_lr for ratio in (1, 2, 3, 8)] == [2, 1, 1, 1]


def test_a_wrong_reading_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = (two_convolutions(np.ones((3, 3), np.float32), True, dilation) for dilation in (2, 1))
    monkeypatch.setattr(export.receptive_field, "read_reach", lambda _, ratio: read_reach(wide, ratio))
    with pytest.raises(ExportError, match=r"impulses in base move .* and the graph says .* is wrong"):
        exact_reach(narrow, 1)


def test_pzresnet_sees_28_pixels(narrow_pzres: Narrow) -> None:
    reaches = {ratio: exact_reach(narrow_pzres.forms.tile, ratio) for ratio in (4, 8, 32)}
    assert [(reach.radius_px, reach.halo_lr) for reach in reaches.values()] == [(28, 7), (28, 4), (28, 1)]
    assert impulse_extents(narrow_pzres.forms.tile, "base", reaches[8])[0, 0] == (-27, 27)


FULL_DEPTH: list[tuple[NetworkChoice, int, int, int]] = [
    (SSRNetChoice(hsi_bands=4, ratio=2, features=4), 2, 23, 1),
    (SSRNetChoice(hsi_bands=4, ratio=4, features=4), 4, 23, 1),
    (MSSSFChoice(hsi_bands=4, msi_bands=3, ratio=4, spectral_features=4, spatial_features=4), 4, 5, 1),
    (MSSSFChoice(hsi_bands=4, msi_bands=3, ratio=8, spectral_features=4, spatial_features=4), 8, 5, 1),
    (MSSSFChoice(hsi_bands=4, msi_bands=3, ratio=16, spectral_features=4, spatial_features=4), 16, 5, 1),
    (GELINChoice(hsi_bands=5, ratio=4, group_bands=3, overlap=1, blocks=8, features=16), 4, 52, 2),
    (GELINChoice(hsi_bands=5, ratio=4, group_bands=3, overlap=1, blocks=8, features=16, resize="bilinear"), 4, 54, 2),
]


@pytest.mark.parametrize(
    ("choice", "ratio", "halo_lr", "alignment_lr"),
    FULL_DEPTH,
    ids=["ssrnet x2", "ssrnet x4", "msssf x4", "msssf x8", "msssf x16", "gelin nearest", "gelin bilinear"],
)
def test_halo_and_alignment_of_a_network_of_the_papers_depth(
    choice: NetworkChoice, ratio: int, halo_lr: int, alignment_lr: int
) -> None:
    reach = exact_reach(Narrow.built(choice, ratio).forms.tile, ratio)
    assert (reach.halo_lr, reach.alignment_lr) == (halo_lr, alignment_lr)


@pytest.mark.parametrize(("rim", "halo"), [(0.0, 0), (1e-9, 0), (0.1, 2)])
def test_the_sufficient_halo_leaves_out_what_the_weights_do_not_use(
    rng: np.random.Generator, rim: float, halo: int
) -> None:
    kernel = np.full((3, 3), rim, np.float32)
    kernel[1, 1] = 1
    frame = {name: rng.random((1, 1, 12, 13), np.float32) for name in ("base", "hr_msi")}
    forms = Forms(two_convolutions(kernel, False), two_convolutions(kernel, True), 1)
    assert sufficient_halo_lr(forms, read_reach(forms.tile, 1), [frame]) == halo


def test_a_frame_too_small_to_show_that_less_will_do_leaves_the_exact_halo(
    narrow_gelin: Narrow, rng: np.random.Generator
) -> None:
    reach: Reach = read_reach(narrow_gelin.forms.tile, narrow_gelin.ratio)
    assert sufficient_halo_lr(narrow_gelin.forms, reach, [narrow_gelin.images(rng, (8, 8))]) == reach.halo_lr == 16


def test_a_sufficient_halo_is_a_multiple_of_the_alignment(narrow_gelin: Narrow, rng: np.random.Generator) -> None:
    reach = read_reach(narrow_gelin.forms.tile, narrow_gelin.ratio)
    halo = sufficient_halo_lr(narrow_gelin.forms, reach, [narrow_gelin.images(rng, (80, 96))])
    assert halo % 2 == 0
    assert 0 < halo < reach.halo_lr
