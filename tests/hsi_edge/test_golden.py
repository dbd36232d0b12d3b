from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest

from hsi_edge.backends import BACKENDS
from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.device_facts import facts_file
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import EngineLoadError, TilingError
from hsi_edge.manifest import Tiling
from tests.tiny_bundles import CountingBackend, frame_pair, fusion_manifest, graph, plain_manifest, write_tiny_bundle


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch) -> list[tuple[int, ...]]:
    """What the backend `counting` compiles, in its order."""
    monkeypatch.setitem(BACKENDS, "counting", "tests.tiny_bundles:CountingBackend")
    monkeypatch.setattr(CountingBackend, "compiled", [])
    return CountingBackend.compiled


def opened(bundle, backend="counting", memory_mb=1):
    with HSIEngine(bundle.path, backend=backend, memory_mb=memory_mb) as engine:
        return engine


def golden_of(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return {"fp32.onnx": graph("plain"), "golden.npz": stream.getvalue()}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", [fusion_manifest, plain_manifest])
def test_a_golden_output_that_does_not_come_out_is_refused(tmp_path, backend, make):
    bundle = write_tiny_bundle(tmp_path / "b", make(2), off_by=0.01)
    with pytest.raises(EngineLoadError, match=f"golden replay failed: the graph on {backend} fp32 .* differs from the"):
        opened(bundle, backend)
    # What failed is not remembered as good.
    with pytest.raises(EngineLoadError, match="golden replay failed"):
        opened(bundle, backend)


def test_the_graph_with_given_statistics_is_replayed_too(tmp_path):
    manifest = fusion_manifest(2)
    right = write_tiny_bundle(tmp_path / "right", manifest)
    files = {name: right.read_bytes(name) for name in right.manifest.files}
    swapped = onnx.load_from_string(graph("given"))
    (add,) = (node for node in swapped.graph.node if node.op_type == "Add")
    add.op_type = "Sub"
    wrong = write_bundle(tmp_path / "wrong", manifest, files | {"fp32-given.onnx": swapped.SerializeToString()})
    with pytest.raises(EngineLoadError, match="golden replay failed: the graph with given statistics on"):
        opened(wrong, "onnxruntime")


def test_a_second_opening_replays_and_measures_nothing(tmp_path, compiled):
    bundle = write_tiny_bundle(tmp_path / "b", fusion_manifest(2))
    opened(bundle)
    assert compiled
    compiled.clear()
    opened(bundle)
    assert compiled == []


def test_another_model_and_another_budget_are_looked_at_anew(tmp_path, compiled):
    opened(write_tiny_bundle(tmp_path / "a", plain_manifest(2)))
    compiled.clear()
    other = write_tiny_bundle(tmp_path / "b", plain_manifest(2, name="other"))
    opened(other)
    assert compiled
    compiled.clear()
    opened(other, memory_mb=2)
    assert compiled


def test_a_copy_of_a_model_is_known(tmp_path, compiled):
    opened(write_tiny_bundle(tmp_path / "a", plain_manifest(2)))
    compiled.clear()
    opened(write_tiny_bundle(tmp_path / "a.zip", plain_manifest(2)))
    assert compiled == []


@pytest.mark.parametrize("damage", ["{", "[]", '{"seconds_by_side": 3}'])
def test_a_damaged_memory_is_made_anew(tmp_path, compiled, damage):
    bundle = write_tiny_bundle(tmp_path / "b", plain_manifest(2))
    opened(bundle)
    facts_file().write_text(damage)
    compiled.clear()
    opened(bundle)
    assert compiled
    compiled.clear()
    opened(bundle)
    assert compiled == []


def test_a_device_that_cannot_remember_replays_at_each_opening(tmp_path, compiled, cache, caplog):
    cache.write_text("a file where the folder should be")
    bundle = write_tiny_bundle(tmp_path / "b", plain_manifest(2))
    for _ in range(2):
        compiled.clear()
        opened(bundle)
        assert compiled
    assert "cannot be remembered" in caplog.text


def test_a_golden_output_of_another_shape_or_of_nothing_is_refused(tmp_path, rng):
    lr_hsi, hr_msi = frame_pair(rng, (4, 4))
    for index, hr_hsi in enumerate([np.ones((8, 8, 6), np.float32), np.full((8, 8, 5), np.nan, np.float32)]):
        files = golden_of(lr_hsi=lr_hsi, hr_msi=hr_msi, hr_hsi=hr_hsi)
        bundle = write_bundle(tmp_path / str(index), plain_manifest(2), files)
        with pytest.raises(EngineLoadError, match="golden replay failed"):
            opened(bundle, "onnxruntime")


def test_a_budget_without_room_for_a_tile_is_refused_with_what_it_needs(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "b", plain_manifest(8, tiling=Tiling(halo_lr=1, bytes_per_px=1000)))
    with pytest.raises(TilingError, match="of 1 MB holds no tile of this model; the smallest needs 4 MB: raise memory"):
        opened(bundle, "onnxruntime")


SHIPPED = Path(__file__).parents[2] / "engines" / "bundles"


@pytest.fixture(params=sorted(path.name for path in SHIPPED.iterdir() if (path / "golden.npz").is_file()))
def shipped(request, monkeypatch) -> Path:
    # Which tile is fastest takes longer to find out, and is not the matter here.
    monkeypatch.setattr("hsi_edge.network.Network.fastest_sides", lambda self, _: {8: 1.0})
    return SHIPPED / request.param


def test_every_shipped_bundle_opens_on_a_device_that_never_saw_it(shipped):
    with HSIEngine(shipped, precision="fp32") as engine:
        assert engine.runs_on[1] == "fp32"


def test_the_rounding_of_another_device_leaves_a_shipped_golden_output_as_it_is(shipped, rng):
    golden = Bundle.open(shipped).golden()
    lr_hsi, hr_msi = golden["lr_hsi"].astype(np.float32), golden.get("hr_msi")
    with HSIEngine(shipped, precision="fp32", statistics="whole") as engine:
        wanted = engine.run(lr_hsi, hr_msi)
        for _ in range(3):
            errors = 1 + 1e-7 * rng.standard_normal(lr_hsi.shape, np.float32)
            assert np.abs(engine.run(lr_hsi * errors, hr_msi) - wanted).max() < 1e-5 * np.abs(wanted).max()
