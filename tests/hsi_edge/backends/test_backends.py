"""One contract for every backend: a new one gets its tests by its name in `BACKENDS`."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hsi_edge.backends import BACKENDS, open_backend
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.errors import EngineLoadError, InputError, MissingPackageError
from tests.tiny_bundles import BANDS, MSI_BANDS, STATISTICS_SIZE, graph, refine


@pytest.fixture(scope="module", params=list(BACKENDS))
def backend(request):
    opened = open_backend(request.param, "fp32")
    yield opened
    opened.close()


def images(rng, rows, cols):
    base, msi = (rng.random((1, bands, rows, cols), np.float32) for bands in (BANDS, MSI_BANDS))
    return {"base": base, "hr_msi": msi}


def shapes(inputs):
    return {name: array.shape for name, array in inputs.items()}


def test_it_says_what_it_is(backend):
    assert backend.name in BACKENDS
    assert backend.precision == "fp32"
    assert backend.device.strip()


@pytest.mark.parametrize(("rows", "cols"), [(8, 8), (7, 13), (1, 1)])
def test_a_graph_computes_what_the_network_does_at_every_shape(backend, rng, rows, cols):
    inputs = images(rng, rows, cols)
    outputs = backend.compile(graph("whole"), shapes(inputs)).run(inputs)
    assert set(outputs) == {"hr_hsi", "measured_statistics"}
    assert outputs["hr_hsi"].dtype == np.float32
    np.testing.assert_allclose(outputs["hr_hsi"][0], refine(inputs["base"][0], inputs["hr_msi"][0]), atol=1e-5)
    assert outputs["measured_statistics"].shape == (1, STATISTICS_SIZE)
    means = np.concatenate([inputs[name].mean(axis=(2, 3))[0] for name in ("base", "hr_msi")])
    np.testing.assert_allclose(outputs["measured_statistics"][0, : len(means)], means, atol=1e-6)


def test_statistics_can_be_given(backend, rng):
    inputs = images(rng, 6, 9)
    measured = backend.compile(graph("whole"), shapes(inputs)).run(inputs)
    inputs["statistics"] = np.array(measured["measured_statistics"])
    session = backend.compile(graph("given"), shapes(inputs))
    np.testing.assert_allclose(session.run(inputs)["hr_hsi"], measured["hr_hsi"], atol=1e-6)
    moved = session.run({**inputs, "statistics": inputs["statistics"] + 1})
    assert np.abs(moved["hr_hsi"] - measured["hr_hsi"]).max() > 0.01


def test_the_same_inputs_give_the_same_bits_and_are_not_changed(backend, rng):
    inputs, others = images(rng, 16, 16), images(rng, 16, 16)
    before = {name: array.copy() for name, array in inputs.items()}
    session = backend.compile(graph("plain"), shapes(inputs))
    first = session.run(inputs)["hr_hsi"].copy()
    session.run(others)
    np.testing.assert_array_equal(session.run(inputs)["hr_hsi"], first)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_sessions_of_different_shapes_live_side_by_side(backend, rng):
    small, large = images(rng, 5, 6), images(rng, 10, 12)
    sessions = [backend.compile(graph("plain"), shapes(inputs)) for inputs in (small, large)]
    for session, inputs in zip(sessions, (small, large), strict=True):
        wanted = refine(inputs["base"][0], inputs["hr_msi"][0], centred=False)
        np.testing.assert_allclose(session.run(inputs)["hr_hsi"][0], wanted, atol=1e-5)


@pytest.mark.parametrize("damaged", [b"", b"no graph", graph("plain")[:200]])
def test_a_damaged_graph_is_an_engine_load_error(backend, rng, damaged):
    with pytest.raises(EngineLoadError, match=r"cannot (load|compile) the graph for .*base"):
        backend.compile(damaged, shapes(images(rng, 8, 8)))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_package_names_itself_and_the_way_out(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=f"the {name} backend needs the package '{name}'.*pip install"):
        open_backend(name, None)


def test_the_default_is_openvino_in_fp32_unless_the_gate_allows_more():
    opened = open_backend(None, None)
    assert (opened.name, opened.precision) == ("openvino", "fp32")


@pytest.mark.parametrize(
    ("native", "allowed", "precision"),
    [(("fp32", "bf16"), True, "bf16"), (("fp32", "bf16"), False, "fp32"), (("fp32",), True, "fp32")],
)
def test_bf16_is_chosen_where_it_is_native_and_allowed(monkeypatch, native, allowed, precision):
    monkeypatch.setattr(OpenVINOBackend, "precisions", staticmethod(lambda: native))
    wide = ("fp32", "bf16") if allowed else ("fp32",)
    assert open_backend("openvino", None, wide).precision == precision


def test_bf16_that_the_gate_refuses_is_refused(monkeypatch):
    monkeypatch.setattr(OpenVINOBackend, "precisions", staticmethod(lambda: ("fp32", "bf16")))
    with pytest.raises(InputError, match="'bf16' is not allowed: this model did not pass its accuracy gate in BF16"):
        open_backend("openvino", "bf16")


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        (
            "tensorflow",
            None,
            "there is no backend 'tensorflow'; choose one of openvino, onnxruntime, tensorrt, tensorrt-rtx",
        ),
        ("openvino", "fp8", "the backend openvino on this device computes in fp32.*, not in 'fp8'"),
        ("onnxruntime", "bf16", "the backend onnxruntime on this device computes in fp32, int8, not in 'bf16'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(name, precision, message):
    with pytest.raises(InputError, match=message):
        open_backend(name, precision, ("fp32", "bf16"))


@pytest.mark.skipif("bf16" not in OpenVINOBackend.precisions(), reason="this CPU has no BF16 matrix units")
def test_bf16_is_close_to_fp32_and_not_the_same(rng):
    inputs = images(rng, 32, 32)
    fp32, bf16 = (
        open_backend("openvino", precision, ("fp32", "bf16"))
        .compile(graph("plain"), shapes(inputs))
        .run(inputs)["hr_hsi"]
        .copy()
        for precision in ("fp32", "bf16")
    )
    assert 0 < np.abs(bf16 - fp32).max() < 0.05
