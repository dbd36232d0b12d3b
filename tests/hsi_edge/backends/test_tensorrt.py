"""The run path of TensorRT 10, 11 and TensorRT-RTX, against stand-ins that compute at host addresses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsi_edge.backends import FixedSizes
from hsi_edge.backends.tensorrt import TensorRTBackend, TensorRTEngine
from hsi_edge.backends.tensorrt_build import PlanOrder, build_plan
from hsi_edge.backends.tensorrt_library import library_log
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.engine_build import BuildOrder, build_engine
from hsi_edge.engine_store import EngineFacts, StoredEngine, plan_file, save_engine
from hsi_edge.errors import EngineLoadError
from hsi_edge.gpu import DeviceFacts, this_platform
from tests.hsi_edge.backends.fake_tensorrt import KINDS, VARIANTS, DataType, install
from tests.hsi_edge.backends.typed_graphs import SHAPES, typed_graph
from tests.hsi_edge.cuda.host_cuda import HostCuda
from tests.hsi_edge.cuda.rig import Rig, assert_same
from tests.tiny_bundles import (
    BANDS,
    MSI_BANDS,
    STATISTICS_SIZE,
    frame_pair,
    fusion_manifest,
    graph,
    plain_manifest,
    refine,
    write_tiny_bundle,
)

STREAM = 0
TINY = {"base": (1, BANDS, 8, 12), "hr_msi": (1, MSI_BANDS, 8, 12)}


@pytest.fixture(params=list(VARIANTS))
def variant(request):
    return request.param


@pytest.fixture
def trt(variant, monkeypatch, tmp_path):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    return install(monkeypatch, variant)


def plan_of(variant, source, shapes):
    return build_plan(source, shapes, PlanOrder(kind=KINDS[variant], precision="fp32")).data


def stored(variant, root, *, precision="fp32", layers_checked=True):
    """An engine of the tiny network without statistics, on the disk."""
    source, plan = graph("plain"), plan_of(variant, graph("plain"), TINY)
    facts = EngineFacts(
        backend=KINDS[variant],
        version=VARIANTS[variant][1],
        platform="linux-x86_64",
        device="GPU",
        compute_capabilities=("8.6",),
        driver="",
        precision=precision,
        tile_lr=(4, 6),
        flags={},
        layers_checked=layers_checked,
        built="2026-01-01",
        plans={"whole": plan_file("whole", plan, graph=source, shapes=TINY)},
    )
    return save_engine(root, facts, {"whole": plan})


def run(engine, inputs):
    """Run an engine on host arrays, as a session does on the device's."""
    outputs = {name: np.full(shape, np.nan, np.float32) for name, shape in engine.shapes.items() if name not in inputs}
    addresses = {name: array.ctypes.data for name, array in {**inputs, **outputs}.items()}
    engine.enqueue(addresses, STREAM)
    return outputs


def random_inputs(rng, shapes):
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def test_an_engine_computes_what_its_network_does(variant, trt, rng):
    engine = TensorRTEngine(KINDS[variant], plan_of(variant, graph("whole"), TINY), TINY)
    assert engine.shapes == {**TINY, "hr_hsi": (1, BANDS, 8, 12), "measured_statistics": (1, STATISTICS_SIZE)}
    assert engine.workspace_bytes > 0
    inputs = random_inputs(rng, TINY)
    for _ in range(2):
        outputs = run(engine, inputs)
        np.testing.assert_allclose(outputs["hr_hsi"][0], refine(inputs["base"][0], inputs["hr_msi"][0]), atol=1e-5)
    assert not np.isnan(outputs["measured_statistics"]).any()
    engine.close()
    engine.close()


def test_a_plan_that_is_not_taken_is_an_error_with_the_logs_own_lines(variant, trt):
    plan = plan_of(variant, graph("plain"), TINY)
    with pytest.raises(EngineLoadError, match=r"does not load the engine; it says: .*plan\.header\.size == blobSize"):
        TensorRTEngine(KINDS[variant], plan[:200], TINY)
    trt.__version__ = "99.0"
    with pytest.raises(EngineLoadError, match=r"99\.0 does not load the engine; it says: .*Version tag does not match"):
        TensorRTEngine(KINDS[variant], plan, TINY)


def test_an_engine_that_cannot_be_made_ready_is_an_error_with_the_logs_own_lines(variant, trt):
    plan = plan_of(variant, graph("plain"), TINY)
    trt.fake.context_error = "createExecutionContext: Error Code 2: OutOfMemory (requested 8192 bytes)"
    with pytest.raises(EngineLoadError, match=r"cannot make the engine ready to run; it says: .*OutOfMemory"):
        TensorRTEngine(KINDS[variant], plan, TINY)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"base": TINY["base"]}, "the engine takes base, hr_msi; its facts say base"),
        ({**TINY, "base": (1, BANDS, 8, 16)}, "does not run at base .*it says: .*Static dimension mismatch"),
    ],
)
def test_shapes_that_the_engine_was_not_built_for_are_an_error(variant, trt, shapes, message):
    plan = plan_of(variant, graph("plain"), TINY)
    with pytest.raises(EngineLoadError, match=message):
        TensorRTEngine(KINDS[variant], plan, shapes)


def test_a_run_that_fails_is_an_error_with_the_logs_own_lines(variant, trt, rng):
    engine = TensorRTEngine(KINDS[variant], plan_of(variant, graph("plain"), TINY), TINY)
    trt.fake.run_error = "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (an illegal memory access)"
    with pytest.raises(EngineLoadError, match=r"the engine failed to run; it says: .*illegal memory access"):
        run(engine, random_inputs(rng, TINY))
    with pytest.raises(EngineLoadError, match=r"takes no address for nothing; it says: .*invalid tensor name"):
        engine.enqueue({"nothing": 1}, STREAM)


def test_a_moved_buffer_is_used_at_its_new_place(variant, trt, rng):
    engine = TensorRTEngine(KINDS[variant], plan_of(variant, graph("plain"), TINY), TINY)
    first, second = random_inputs(rng, TINY), random_inputs(rng, TINY)
    before = run(engine, first)["hr_hsi"]
    assert np.abs(run(engine, second)["hr_hsi"] - before).max() > 0.01
    np.testing.assert_array_equal(run(engine, first)["hr_hsi"], before)


@pytest.mark.parametrize("variant", ["rtx"], indirect=True)
class TestRTX:
    def test_compiled_kernels_are_kept_when_the_engine_is_closed_and_reused(self, variant, trt, tmp_path):
        plan, kernels = plan_of(variant, graph("plain"), TINY), tmp_path / "new" / "kernels.cache"
        for _ in range(2):
            TensorRTEngine("tensorrt-rtx", plan, TINY, kernels).close()
        assert kernels.read_bytes() == b"kernels"
        assert trt.fake.kernels == [b"kernels"]

    def test_kernels_of_another_device_are_replaced(self, variant, trt, tmp_path):
        kernels = tmp_path / "kernels.cache"
        kernels.write_bytes(b"of another device")
        TensorRTEngine("tensorrt-rtx", plan_of(variant, graph("plain"), TINY), TINY, kernels).close()
        assert kernels.read_bytes() == b"kernels"

    def test_it_leaves_the_capture_of_graphs_to_the_caller(self, variant, trt):
        TensorRTEngine("tensorrt-rtx", plan_of(variant, graph("plain"), TINY), TINY)
        assert trt.fake.cuda_graph == trt.CudaGraphStrategy.DISABLED


@pytest.mark.parametrize("variant", ["10", "11"], indirect=True)
def test_without_a_gpu_tensorrt_says_why_it_cannot_start(variant, trt):
    plan = plan_of(variant, graph("plain"), TINY)
    trt.fake.gpu = False
    with pytest.raises(EngineLoadError, match=r"cannot start its Runtime .*CUDA driver version is insufficient"):
        TensorRTEngine(KINDS[variant], plan, TINY)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Where the runtime's own kernels are compiled to, once."""
    return tmp_path_factory.mktemp("kernels")


class TestBackend:
    @pytest.fixture
    def cuda(self, trt, kernels):
        made = HostCuda(kernels)
        trt.fake.put = made.put
        return made

    @pytest.fixture
    def backend(self, variant, cuda, tmp_path):
        return TensorRTBackend(stored(variant, tmp_path), cuda)

    def test_it_says_what_it_is(self, variant, backend, cuda):
        assert (backend.name, backend.precision, backend.device) == (KINDS[variant], "fp32", cuda.name)

    def test_its_session_computes_what_the_network_does_and_returns_its_memory(self, backend, cuda, rng):
        held = cuda.held
        session = backend.compile(graph("plain"), TINY)
        for _ in range(2):
            inputs = random_inputs(rng, TINY)
            wanted = refine(inputs["base"][0], inputs["hr_msi"][0], centred=False)
            np.testing.assert_allclose(session.run(inputs)["hr_hsi"][0], wanted, atol=1e-5)
        backend.close()
        assert cuda.held == held

    @pytest.mark.parametrize("integrated", [False, True])
    @pytest.mark.parametrize("kind", ["plain", "statistics"])
    def test_a_frame_runs_through_the_pipeline_as_on_the_cpu(
        self, variant, trt, tmp_path, kernels, rng, kind, integrated
    ):
        manifest = plain_manifest() if kind == "plain" else fusion_manifest()
        bundle = write_tiny_bundle(tmp_path / "bundle", manifest)
        rig = Rig(bundle, HostCuda(kernels, integrated=integrated), (10, 12))
        trt.fake.put = rig.cuda.put
        gpu = DeviceFacts(name="GPU", compute_capability="8.6", driver="", platform=this_platform())
        order = BuildOrder(kind=KINDS[variant], device=gpu, precision="fp32", tile_lr=(10, 12), frame_lr=(23, 31))
        built = build_engine(bundle, order, tmp_path / "engines")
        backend = TensorRTBackend(built, rig.cuda)
        assert backend.fixed == FixedSizes((10, 12), None if kind == "plain" else (12, 12))
        form, file = ("whole", "fp32.onnx") if kind == "plain" else ("given", "fp32-given.onnx")
        engine = backend.engine(bundle.read_bytes(file), built.facts.plans[form].shapes)
        rig.pipeline = DevicePipeline(engine, rig.cuda, manifest)
        rig.prepare(*frame_pair(rng, (23, 31)))
        assert len(rig.tiles) > 1
        assert_same(rig.on_gpu(), rig.on_cpu())
        backend.close()

    def test_another_graph_is_refused(self, backend):
        with pytest.raises(EngineLoadError, match="was built of another graph; build it anew"):
            backend.compile(graph("whole"), TINY)

    def test_another_tile_is_refused_with_both(self, backend):
        with pytest.raises(EngineLoadError, match=r"runs whole at base 1x5x8x12.*base 1x5x8x8, .* was asked for"):
            backend.compile(graph("plain"), {"base": (1, 5, 8, 8), "hr_msi": (1, 3, 8, 8)})

    def test_an_altered_plan_is_refused_before_the_library_sees_it(self, backend, trt, tmp_path, monkeypatch):
        (file,) = tmp_path.glob("*/whole.plan")
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        monkeypatch.setattr(trt.Runtime, "deserialize_cuda_engine", lambda *_: pytest.fail("it was deserialised"))
        with pytest.raises(EngineLoadError, match="its bytes were altered; build the engine anew"):
            backend.compile(graph("plain"), TINY)

    def test_layers_that_the_build_could_not_check_are_checked_at_the_opening(self, variant, trt, cuda, tmp_path):
        source = typed_graph("fp16")
        trt.fake.compiled["second"] = DataType.FLOAT
        backend = TensorRTBackend(_silently_wide(trt, variant, source, tmp_path), cuda)
        with pytest.raises(EngineLoadError, match=r"second \(fp16 asked for, fp32 compiled\)"):
            backend.compile(source, SHAPES)


def _silently_wide(trt, variant, source, root):
    """An engine whose second convolution is FP32, stored by a build that could not read its layers."""
    builder = trt.Builder(library_log(trt))
    network = builder.create_network(1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert trt.OnnxParser(network, trt.fake.log).parse(source)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    profile.set_shape("image", *[SHAPES["image"]] * 3)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    facts = replace(
        stored(variant, root / "other").facts,
        precision="fp16",
        layers_checked=False,
        plans={"whole": plan_file("whole", plan, graph=source, shapes=SHAPES)},
    )
    engine: StoredEngine = save_engine(root, facts, {"whole": plan})
    return engine
