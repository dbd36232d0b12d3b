from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from hsi_edge.backends import BACKENDS, FixedSizes
from hsi_edge.backends.onnxruntime import ONNXRuntimeBackend
from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import EngineLoadError, InputError
from hsi_edge.manifest import Graph
from hsi_edge.network import Network
from tests.tiny_bundles import calibration, frame_pair, graph, plain_manifest, write_tiny_bundle


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def quantised(tmp_path) -> Bundle:
    """A bundle whose INT8 graph is the FP32 one under another name."""
    return with_int8(tmp_path, graph("plain"))


def with_int8(tmp_path, int8: bytes) -> Bundle:
    tiny = write_tiny_bundle(tmp_path / "tiny", plain_manifest(2))
    graphs = {**tiny.manifest.graphs, "int8": Graph(whole="int8.onnx")}
    manifest = replace(tiny.manifest, graphs=graphs, calibration={"int8": calibration("entropy")})
    files = {name: tiny.read_bytes(name) for name in tiny.manifest.files}
    return write_bundle(tmp_path / "quantised", manifest, {**files, "int8.onnx": int8})


class StagedBackend(ONNXRuntimeBackend):
    """Computes in ONNX Runtime whatever it is asked for, and says how long a tile took."""

    name = "staged"
    fixed: FixedSizes | None

    @staticmethod
    def precisions() -> tuple[str, ...]:
        return ("fp32", "int8")


@pytest.fixture
def staged(monkeypatch):
    """Sets the seconds that a tile takes, by precision."""
    monkeypatch.setitem(BACKENDS, "staged", f"{__name__}:{StagedBackend.__name__}")

    def set_seconds(**seconds: float) -> None:
        monkeypatch.setattr(
            Network, "_seconds", lambda network, tile: seconds[network.backend.precision] * tile[0] ** 2
        )

    return set_seconds


@pytest.mark.parametrize(("int8", "chosen"), [(1.0, "fp32"), (0.9, "fp32"), (0.8, "int8"), (0.1, "int8")])
def test_int8_is_taken_by_itself_only_where_it_is_a_fifth_faster(quantised, staged, int8, chosen):
    staged(fp32=1.0, int8=int8)
    with HSIEngine(quantised.path, backend="staged") as engine:
        engine.run(*frame_pair(np.random.default_rng(0), (6, 6)))
        assert engine.report.precision == chosen
        assert engine.report.fallback is None


def test_int8_that_fails_its_golden_replay_is_left_out_with_a_warning(tmp_path, staged, caplog):
    staged(fp32=1.0, int8=0.1)
    wrong = with_int8(tmp_path, graph("plain").replace(b"hr_hsi", b"hr_his"))
    with HSIEngine(wrong.path, backend="staged") as engine:
        engine.run(*frame_pair(np.random.default_rng(0), (6, 6)))
        assert engine.report.precision == "fp32"
    assert "INT8 is left out: " in caplog.text
    with pytest.raises(EngineLoadError):
        HSIEngine(wrong.path, backend="staged", precision="int8")


def test_a_precision_without_a_graph_is_refused(tmp_path):
    tiny = write_tiny_bundle(tmp_path / "tiny", plain_manifest(2))
    with pytest.raises(InputError, match="'int8' is not allowed: this model did not pass its accuracy gate in INT8"):
        HSIEngine(tiny.path, backend="onnxruntime", precision="int8")


class OneTileBackend(StagedBackend):
    """Runs tiles of 12 x 12 LR pixels alone, as an engine built before does."""

    name = "onetile"
    compiled: ClassVar[list[dict[str, tuple[int, ...]]]] = []

    def __init__(self, precision: str) -> None:
        super().__init__(precision)
        self.fixed = FixedSizes((12, 12))

    def compile(self, graph, shapes):
        self.compiled.append(dict(shapes))
        return super().compile(graph, shapes)


@pytest.fixture
def one_tile(monkeypatch):
    monkeypatch.setitem(BACKENDS, "onetile", f"{__name__}:{OneTileBackend.__name__}")
    monkeypatch.setattr(OneTileBackend, "compiled", [])
    return OneTileBackend.compiled


def test_an_engine_for_one_tile_is_proved_and_run_on_that_tile_alone(tmp_path, one_tile, rng):
    tiny = write_tiny_bundle(tmp_path / "tiny", plain_manifest(2))
    pair = frame_pair(rng, (20, 31))
    with HSIEngine(tiny.path, backend="openvino") as engine:
        wanted = engine.run(*pair)
    with HSIEngine(tiny.path, backend="onetile") as engine:
        np.testing.assert_allclose(engine.run(*pair), wanted, atol=1e-5)
        assert engine.report.tile == (24, 24)
    assert {shapes["base"][2:] for shapes in one_tile} == {(24, 24)}


def test_a_wrong_engine_for_one_tile_fails_its_replay(tmp_path, one_tile, monkeypatch):
    tiny = write_tiny_bundle(tmp_path / "tiny", plain_manifest(2))
    whole = graph("plain")
    monkeypatch.setattr(
        OneTileBackend, "compile", lambda self, _, shapes: Shifted(ONNXRuntimeBackend.compile(self, whole, shapes))
    )
    with pytest.raises(EngineLoadError, match="golden replay failed: the graph on onetile fp32"):
        HSIEngine(tiny.path, backend="onetile")


class Shifted:
    """A session whose output is off by a hundredth."""

    def __init__(self, session):
        self._session = session

    def run(self, inputs):
        return {name: array + 0.01 for name, array in self._session.run(inputs).items()}


def test_a_frame_smaller_than_the_only_tile_says_how_to_go_on(tmp_path, one_tile, rng):
    tiny = write_tiny_bundle(tmp_path / "tiny", plain_manifest(2))
    with (
        HSIEngine(tiny.path, backend="onetile") as engine,
        pytest.raises(InputError, match=r"lr_hsi has 8 x 40 pixels.*tiles of 12 x 12: .*hsi-edge build --frame 8x40"),
    ):
        engine.run(*frame_pair(rng, (8, 40)))
