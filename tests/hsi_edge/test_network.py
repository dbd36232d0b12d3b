from __future__ import annotations

import numpy as np
import onnx
import pytest

from hsi_edge.backends import BACKENDS, open_backend
from hsi_edge.bundle import write_bundle
from hsi_edge.errors import EngineLoadError, TilingError
from hsi_edge.manifest import Graph, Tiling
from hsi_edge.network import MAX_SESSIONS, Network
from tests.tiny_bundles import (
    BANDS,
    BYTES_PER_PX,
    MSI_BANDS,
    STATISTICS_SIZE,
    CountingBackend,
    fusion_manifest,
    golden_npz,
    graph,
    plain_manifest,
    refine,
    write_tiny_bundle,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("network") / "bundle", fusion_manifest(2))


@pytest.fixture
def network(bundle, monkeypatch):
    monkeypatch.setattr(CountingBackend, "compiled", [])
    opened = Network(bundle, CountingBackend("fp32"))
    yield opened
    opened.close()


def images(rng, rows=8, cols=9):
    return {
        "base": rng.random((BANDS, rows, cols), np.float32),
        "hr_msi": rng.random((MSI_BANDS, rows, cols), np.float32),
    }


def test_own_and_given_statistics_give_the_networks_output(network, rng):
    given = images(rng)
    wanted = refine(*given.values())
    np.testing.assert_allclose(network.refine(given, None), wanted, atol=1e-5)
    statistics = network.measure(given)
    assert statistics.shape == (1, STATISTICS_SIZE)
    np.testing.assert_allclose(network.refine(given, statistics), wanted, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_measured_statistics_are_the_callers_own(bundle, backend, rng):
    network = Network(bundle, open_backend(backend, None))
    first = network.measure(images(rng))
    kept = first.copy()
    network.measure(images(rng))
    np.testing.assert_array_equal(first, kept)


def test_a_shape_is_compiled_once_and_the_oldest_are_let_go(network, rng):
    for rows in (4, 5, 4, 5, 4):
        network.refine(images(rng, rows), None)
    assert [shape[2] for shape in CountingBackend.compiled] == [4, 5]
    for rows in range(6, 6 + MAX_SESSIONS):
        network.refine(images(rng, rows), None)
    network.refine(images(rng, 6), None)
    assert [shape[2] for shape in CountingBackend.compiled] == [4, 5, 6, 7, 8]
    network.refine(images(rng, 4), None)
    assert len(CountingBackend.compiled) == 6


def test_the_sides_within_the_budget_are_timed(network):
    # A third of the budget is for the pass that measures the statistics.
    budget = 64**2 * BYTES_PER_PX * 3 // 2
    assert list(network.fastest_sides(budget)) == [32]
    assert all(seconds > 0 for seconds in network.fastest_sides(budget).values())
    with pytest.raises(TilingError, match="raise memory_mb"):
        network.fastest_sides(budget - 2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", ["base", "hr_msi", "hr_hsi", "measured_statistics"])
def test_the_graph_of_another_network_is_refused(tmp_path, rng, backend, wrong):
    model = onnx.load_from_string(graph("whole"))
    for node in model.graph.node:
        node.input[:] = ["other" if name == wrong else name for name in node.input]
        node.output[:] = ["other" if name == wrong else name for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = "other" if value.name == wrong else value.name
    manifest = fusion_manifest(2)
    files = {"fp32.onnx": model.SerializeToString(), "fp32-given.onnx": graph("given")}
    bundle = write_bundle(tmp_path / "b", manifest, {**files, "golden.npz": golden_npz(manifest)})
    network = Network(bundle, open_backend(backend, None))
    with pytest.raises(EngineLoadError, match=r"tiny-x2|base"):
        network.measure(images(rng))


def test_a_graph_for_other_bands_is_refused(tmp_path, rng):
    manifest = plain_manifest(2)
    for backend in BACKENDS:
        bundle = write_tiny_bundle(tmp_path / backend, manifest)
        network = Network(bundle, open_backend(backend, None))
        with pytest.raises(EngineLoadError):
            network.refine(images(rng, 8, 8) | {"base": rng.random((BANDS + 1, 8, 8), np.float32)}, None)


def test_a_network_without_statistics_has_one_form(tmp_path, rng):
    manifest = plain_manifest(2, tiling=Tiling(halo_lr=1), graphs={"fp32": Graph(whole="other.onnx")})
    bundle = write_tiny_bundle(tmp_path / "b", manifest)
    given = images(rng)
    output = Network(bundle, CountingBackend("fp32")).refine(given, None)
    np.testing.assert_allclose(output, refine(*given.values(), centred=False), atol=1e-5)
