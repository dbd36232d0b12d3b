from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

import export.networks.pzres
from export.networks.pzres import PZResNet
from export.onnx_session import run_graph
from export.to_onnx import Forms, onnx_from_network
from export.widen import widened
from hsi_edge.backends.openvino import OpenVINOBackend

Float = NDArray[np.float32]
SHAPES = [(16, 16), (21, 40), (1, 5)]


def frame(rng: np.random.Generator, rows: int, cols: int) -> dict[str, Float]:
    return {
        "base": rng.random((1, 8, rows, cols), np.float32),
        "hr_msi": rng.random((1, 3, rows, cols), np.float32),
    }


@torch.inference_mode()
def torch_output(network: PZResNet, inputs: dict[str, Float]) -> Float:
    output = network(*(torch.from_numpy(array) for array in inputs.values()))
    return np.asarray(output.refined)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_the_whole_form_equals_torch_at_any_size(
    narrow_network: PZResNet, narrow_forms: Forms, rng: np.random.Generator, rows: int, cols: int
) -> None:
    inputs = frame(rng, rows, cols)
    outputs = run_graph(narrow_forms.whole, inputs)
    assert np.abs(outputs["hr_hsi"] - torch_output(narrow_network, inputs)).max() < 1e-6
    assert outputs["measured_statistics"].shape == (1, narrow_forms.size)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_the_given_form_with_the_measured_statistics_equals_the_whole_form(
    narrow_forms: Forms, rng: np.random.Generator, rows: int, cols: int
) -> None:
    inputs = frame(rng, rows, cols)
    whole = run_graph(narrow_forms.whole, inputs)
    given = run_graph(narrow_forms.given, inputs | {"statistics": whole["measured_statistics"]})
    assert np.abs(given["hr_hsi"] - whole["hr_hsi"]).max() < 1e-6


@torch.inference_mode()
def test_the_given_form_takes_the_statistics_in_torchs_order(
    narrow_network: PZResNet, narrow_forms: Forms, rng: np.random.Generator
) -> None:
    inputs, other = frame(rng, 16, 24), frame(rng, 24, 16)
    wide = widened(narrow_network)
    statistics = wide(*(torch.from_numpy(array**2) for array in other.values())).statistics
    wanted = wide(*(torch.from_numpy(array) for array in inputs.values()), statistics).refined
    given = run_graph(narrow_forms.given, inputs | {"statistics": statistics.numpy()})
    assert np.abs(given["hr_hsi"] - wanted.numpy()).max() < 1e-6


def test_openvino_takes_both_forms(narrow_network: PZResNet, narrow_forms: Forms, rng: np.random.Generator) -> None:
    inputs = frame(rng, 16, 24)
    wanted = torch_output(narrow_network, inputs)
    backend = OpenVINOBackend("fp32")
    whole = backend.compile(narrow_forms.whole, {name: a.shape for name, a in inputs.items()}).run(inputs)
    assert np.abs(whole["hr_hsi"] - wanted).max() < 1e-5
    inputs["statistics"] = np.array(whole["measured_statistics"])
    given = backend.compile(narrow_forms.given, {name: a.shape for name, a in inputs.items()}).run(inputs)
    assert np.abs(given["hr_hsi"] - wanted).max() < 1e-5


def test_the_graphs_are_clean(narrow_forms: Forms) -> None:
    whole, given = (onnx.load_from_string(graph).graph for graph in (narrow_forms.whole, narrow_forms.given))
    assert {node.op_type for node in given.node} == {
        "Conv", "Relu", "Add", "Sub", "Tanh", "Gather", "Concat", "Reshape", "Split",
    }  # fmt: skip
    assert sum(node.op_type == "ReduceMean" for node in whole.node) == 54
    assert len(given.node) == 387
    # What is left of 26: the stage before and the MSI, under a 3x3 convolution.
    assert sum(node.op_type == "Concat" for node in given.node) == 2


def test_nodes_are_called_after_the_layers_of_the_network(narrow_forms: Forms) -> None:
    names = [node.name for node in onnx.load_from_string(narrow_forms.given).graph.node]
    assert {"stages.2.dense.6.spatial", "stages.0.lift.relu", "refine.0.spectral"} <= set(names)
    assert len(set(names)) == len(names)


def test_the_files_tell_nothing_of_the_machine_that_made_them(narrow_forms: Forms) -> None:
    for graph in (narrow_forms.whole, narrow_forms.given):
        assert b"/networks/" not in graph
        assert b"stack_trace" not in graph


def test_the_exporter_says_nothing(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.networks.pzres, "S3_PER_STAGE", 2)
    onnx_from_network(PZResNet(4), 4, 3)
    assert capfd.readouterr() == ("", "")
