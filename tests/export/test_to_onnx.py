from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

import export.networks.pzres
from export.losses import final_image
from export.networks.choices import PZResChoice
from export.networks.pzres import PZResNet
from export.onnx_session import run_graph
from export.to_onnx import onnx_from_network
from export.widen import widened
from hsi_edge.backends.openvino import OpenVINOBackend
from tests.export.narrow import Narrow

SHAPES = [(2, 2), (10, 8), (6, 20)]
"""LR pixels; even, as GELIN wants them, and none of them the export's own."""


@pytest.mark.parametrize("lr_shape", SHAPES)
def test_the_whole_form_equals_torch_at_any_size(
    narrow: Narrow, rng: np.random.Generator, lr_shape: tuple[int, int]
) -> None:
    images = narrow.images(rng, lr_shape)
    outputs = run_graph(narrow.forms.whole, images)
    wanted = narrow.torch_output(images)
    assert np.abs(outputs["hr_hsi"] - wanted).max() < 2e-6 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("lr_shape", [(1, 1), (7, 3), (5, 12)])
@pytest.mark.parametrize("name", ["narrow_pzres", "narrow_ssrnet"])
def test_a_network_without_an_alignment_takes_odd_sizes(
    request: pytest.FixtureRequest, rng: np.random.Generator, name: str, lr_shape: tuple[int, int]
) -> None:
    narrow = request.getfixturevalue(name)
    images = narrow.images(rng, lr_shape)
    assert np.abs(run_graph(narrow.forms.whole, images)["hr_hsi"] - narrow.torch_output(images)).max() < 2e-6


@pytest.mark.parametrize("lr_shape", SHAPES)
def test_the_given_form_with_the_measured_statistics_equals_the_whole_form(
    narrow_with_statistics: Narrow, rng: np.random.Generator, lr_shape: tuple[int, int]
) -> None:
    forms, images = narrow_with_statistics.forms, narrow_with_statistics.images(rng, lr_shape)
    whole = run_graph(forms.whole, images)
    assert whole["measured_statistics"].shape == (1, forms.size)
    given = run_graph(forms.tile, images | {"statistics": whole["measured_statistics"]})
    assert np.abs(given["hr_hsi"] - whole["hr_hsi"]).max() < 1e-6


@torch.inference_mode()
def test_the_given_form_takes_the_statistics_in_torchs_order(
    narrow_with_statistics: Narrow, rng: np.random.Generator
) -> None:
    narrow = narrow_with_statistics
    network = widened(narrow.network) if isinstance(narrow.network, PZResNet) else narrow.network
    images, other = narrow.images(rng, (2, 4)), narrow.images(rng, (4, 2))
    statistics = network(*(torch.from_numpy(image**2) for image in other.values())).statistics
    wanted = final_image(network(*(torch.from_numpy(image) for image in images.values()), statistics)).numpy()
    given = run_graph(narrow.forms.tile, images | {"statistics": statistics.numpy()})
    assert np.abs(given["hr_hsi"] - wanted).max() < 1e-6


def test_a_network_without_statistics_has_one_form(narrow_ssrnet: Narrow) -> None:
    assert (narrow_ssrnet.forms.given, narrow_ssrnet.forms.size) == (None, 0)
    assert narrow_ssrnet.forms.tile == narrow_ssrnet.forms.whole


def test_openvino_takes_every_form(narrow: Narrow, rng: np.random.Generator) -> None:
    images = narrow.images(rng, (6, 4))
    wanted = narrow.torch_output(images)
    backend = OpenVINOBackend("fp32")
    whole = backend.compile(narrow.forms.whole, {name: a.shape for name, a in images.items()}).run(images)
    assert np.abs(whole["hr_hsi"] - wanted).max() < 1e-5 * max(1, np.abs(wanted).max())
    if narrow.forms.given is not None:
        images["statistics"] = np.array(whole["measured_statistics"])
        given = backend.compile(narrow.forms.given, {name: a.shape for name, a in images.items()}).run(images)
        assert np.abs(given["hr_hsi"] - wanted).max() < 1e-5


def test_the_graphs_of_pzresnet_are_clean(narrow_pzres: Narrow) -> None:
    whole, given = (onnx.load_from_string(form).graph for form in (narrow_pzres.forms.whole, narrow_pzres.forms.tile))
    assert {node.op_type for node in given.node} == {
        "Conv", "Relu", "Add", "Sub", "Tanh", "Gather", "Concat", "Reshape", "Split",
    }  # fmt: skip
    assert sum(node.op_type == "ReduceMean" for node in whole.node) == 54
    assert len(given.node) == 387
    # What is left of 26: the stage before and the MSI, under a 3x3 convolution.
    assert sum(node.op_type == "Concat" for node in given.node) == 2


def test_ssrnet_has_neither_a_transposed_convolution_nor_weight_norm(narrow_ssrnet: Narrow) -> None:
    model = onnx.load_from_string(narrow_ssrnet.forms.whole).graph
    assert not {"ConvTranspose", "ReduceL2", "Sqrt"} & {node.op_type for node in model.node}


def test_gelin_given_its_statistics_has_no_mean_over_the_frame(narrow_gelin: Narrow) -> None:
    graphs = [onnx.load_from_string(form).graph for form in (narrow_gelin.forms.whole, narrow_gelin.forms.tile)]
    counts = [sum(node.op_type == "ReduceMean" for node in graph.node) for graph in graphs]
    groups, blocks = 2, 2
    assert counts == [groups * blocks, 0]
    assert narrow_gelin.forms.size == groups * blocks * 16


def test_nodes_are_called_after_the_layers_of_the_network(narrow_pzres: Narrow, narrow_gelin: Narrow) -> None:
    for narrow, layers in (
        (narrow_pzres, {"stages.2.dense.6.spatial", "stages.0.lift.relu", "refine.0.spectral"}),
        (narrow_gelin, {"embed.blocks.1.spectral.coarse", "integrate.upsample_own.0", "integrate.reconstruct"}),
    ):
        names = [node.name for node in onnx.load_from_string(narrow.forms.tile).graph.node]
        assert layers <= set(names)
        assert len(set(names)) == len(names)


def test_the_files_tell_nothing_of_the_machine_that_made_them(narrow: Narrow) -> None:
    for graph in (narrow.forms.whole, narrow.forms.tile):
        assert b"/networks/" not in graph
        assert b"stack_trace" not in graph


def test_the_exporter_says_nothing(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.networks.pzres, "S3_PER_STAGE", 2)
    choice = PZResChoice(hsi_bands=4, msi_bands=3)
    onnx_from_network(choice.build(), choice)
    assert capfd.readouterr() == ("", "")
