"""NVIDIA's own parser and compiler, without a GPU: TensorRT-RTX builds every shipped bundle in every precision."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from hsi_edge.backends.tensorrt_build import PlanOrder, build_plan, buildable_capabilities
from hsi_edge.backends.tensorrt_library import load_tensorrt
from hsi_edge.bundle import Bundle
from hsi_edge.engine_build import BuildOrder, build_engine, plan_shapes
from hsi_edge.engine_choice import choose_engine, tile_shapes
from hsi_edge.engine_store import stored_engines
from hsi_edge.errors import EngineLoadError, InputError
from hsi_edge.gpu import DeviceFacts, this_platform
from hsi_edge.manifest import parse_manifest
from tests.hsi_edge.backends.typed_graphs import SHAPES, typed_graph

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed (pip install 'hsi-edge[rtx]')")

CAPABILITIES = ("8.6", "8.9", "12.0")
"""RTX 30, 40 and 50."""
BUNDLES = Path(__file__).parents[3] / "engines" / "bundles"


def shipped_graphs():
    for folder in sorted(BUNDLES.iterdir()):
        for precision in parse_manifest((folder / "manifest.yaml").read_bytes()).graphs:
            yield pytest.param(folder, precision, id=f"{folder.name}-{precision}")


def smallest_tile(manifest):
    tiling = manifest.tiling
    side = max(2 * tiling.halo_lr + tiling.alignment_lr, tiling.min_lr, 8)
    side += -side % tiling.alignment_lr
    return side, side


def rtx(capability, version):
    return DeviceFacts(
        name="NVIDIA GeForce RTX",
        compute_capability=capability,
        driver="",
        platform=this_platform(),
        versions={"tensorrt-rtx": version},
    )


@pytest.mark.parametrize(("folder", "precision"), list(shipped_graphs()))
def test_every_shipped_graph_builds_for_rtx_30_40_and_50_and_computes_in_its_precision(folder, precision, tmp_path):
    bundle = Bundle.open(folder)
    manifest, tile = bundle.manifest, smallest_tile(bundle.manifest)
    order = BuildOrder(kind="tensorrt-rtx", device=None, capabilities=CAPABILITIES, precision=precision, tile_lr=tile)
    build_engine(bundle, order, tmp_path)
    (engine,), unreadable = stored_engines(tmp_path)
    assert unreadable == []
    facts, graph = engine.facts, manifest.graphs[precision]
    assert facts.layers_checked
    assert (facts.backend, facts.precision, facts.tile_lr) == ("tensorrt-rtx", precision, tile)
    assert (facts.device, facts.compute_capabilities) == ("", CAPABILITIES)
    assert facts.version == load_tensorrt("tensorrt-rtx").__version__
    names = {"whole": graph.whole} | ({} if graph.given is None else {"given": graph.given})
    hashes = {form: manifest.files[name].sha256 for form, name in names.items()}
    assert {form: plan.graph_sha256 for form, plan in facts.plans.items()} == hashes
    for form, plan in facts.plans.items():
        assert hashlib.sha256(engine.read_plan(form)).hexdigest() == plan.sha256
    tiled = "given" if "given" in names else "whole"
    assert facts.plans[tiled].shapes == tile_shapes(manifest, tiled, tile)
    for capability in CAPABILITIES:
        choice = choose_engine(manifest, {precision: hashes}, [engine], rtx(capability, facts.version))
        assert choice.engine is engine, choice.reasons
    refused = choose_engine(manifest, {precision: hashes}, [engine], rtx("8.7", facts.version))
    assert "compute capability 8.7" in refused.reasons[0]


def order(precision, *capabilities, float_layers=("wide",)):
    return PlanOrder(
        kind="tensorrt-rtx",
        precision=precision,
        float_layers=float_layers,
        capabilities=capabilities or ("8.6",),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_the_real_compiler_lists_is_what_the_graph_asks_for(precision):
    seen = []
    built = build_plan(typed_graph(precision), SHAPES, order(precision), lambda done, total: seen.append(done))
    assert built.layers_checked
    assert len(built.data) > 10_000
    assert seen == sorted(seen)
    assert len(set(seen)) > 5


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_layer_that_was_left_wider_without_calibration_saying_so_fails(precision):
    with pytest.raises(EngineLoadError, match=r"another precision in 1 of 3 .*: wide \(fp32\); calibrate"):
        build_plan(typed_graph(precision), SHAPES, order(precision, float_layers=()))


def test_it_builds_for_each_capability_that_it_names():
    assert set(CAPABILITIES) <= set(buildable_capabilities())
    for capability in buildable_capabilities():
        assert build_plan(typed_graph("fp32"), SHAPES, order("fp32", capability)).layers_checked


def test_a_jetsons_capability_is_refused_with_those_that_it_builds_for():
    with pytest.raises(InputError, match=r"does not build for 8\.7; it builds for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0"):
        build_plan(typed_graph("fp32"), SHAPES, order("fp32", "8.7"))


@pytest.mark.parametrize("graph", [typed_graph("fp32")[:100], b"no graph"])
def test_a_damaged_graph_is_an_error_of_the_parser(graph):
    with pytest.raises(EngineLoadError, match=r"does not read the graph: .*parse"):
        build_plan(graph, SHAPES, order("fp32"))


def test_an_operation_that_it_does_not_know_is_named_with_its_node():
    model = onnx.load_from_string(typed_graph("fp32"))
    model.graph.node[1].op_type = "Unheard"
    with pytest.raises(EngineLoadError, match=r"does not read the graph: node second \(Unheard\): ."):
        build_plan(model.SerializeToString(), SHAPES, order("fp32"))


def test_a_graph_that_the_compiler_refuses_is_an_error_with_the_logs_own_lines():
    model = onnx.load_from_string(typed_graph("int8"))
    (zero,) = (one for one in model.graph.initializer if one.name == "first_zero")
    zero.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(zero) + 3, zero.name))
    with pytest.raises(EngineLoadError, match=r"(does not read the graph|cannot build the engine; it says): .*zero"):
        build_plan(model.SerializeToString(), SHAPES, order("int8"))


INTERRUPTED = """
import signal, sys
from hsi_edge.backends.tensorrt_build import PlanOrder, build_plan
from tests.hsi_edge.backends.typed_graphs import SHAPES, typed_graph

steps, after = [], int(sys.argv[1])

def interrupt(done, total):
    steps.append(done)
    if len(steps) == after:
        signal.raise_signal(signal.SIGINT)

try:
    order = PlanOrder(kind="tensorrt-rtx", precision="fp32", capabilities=("8.6",))
    build_plan(typed_graph("fp32"), SHAPES, order, interrupt)
except KeyboardInterrupt:
    print(len(steps) <= after + 1)
"""


@pytest.mark.parametrize("after", [1, 4])
def test_an_interruption_cancels_the_real_build_too(after):
    # In a process of its own: other tests' libraries leave the main thread an alternate signal stack that is gone,
    # and a signal then ends the process.
    command = [sys.executable, "-c", INTERRUPTED, str(after)]
    ended = subprocess.run(command, cwd=BUNDLES.parents[1], capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"


def test_a_network_with_statistics_is_built_at_the_sample_and_at_the_tile():
    manifest = Bundle.open(BUNDLES / "pzres-vis31-x8").manifest
    shapes = plan_shapes(manifest, (48, 48), None)
    assert shapes["whole"]["base"] == (1, 31, 192, 192)
    assert shapes["given"]["base"] == (1, 31, 384, 384)
