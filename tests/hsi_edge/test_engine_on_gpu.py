"""From a bundle to a result on a GPU, through the public calls: engines are built, chosen, proved and run."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hsi_edge import cli
from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.engine import HSIEngine
from hsi_edge.engine_store import device_engines, stored_engines
from hsi_edge.errors import DeviceLostError, EngineLoadError, InputError, TilingError
from hsi_edge.manifest import Graph, Tiling
from tests.hsi_edge.backends.fake_tensorrt import VARIANTS
from tests.hsi_edge.cuda.host_cuda import HostCuda, OnDevice
from tests.hsi_edge.machine_with_gpu import (
    CLOSE,
    FRAME,
    built,
    cpu_result,
    damage,
    make_machine,
    ran,
    replaced_plan,
)
from tests.tiny_bundles import (
    calibration,
    frame_pair,
    fusion_manifest,
    graph,
    plain_manifest,
    subspace_manifest,
    write_tiny_bundle,
)

SAMPLED = replace(fusion_manifest().statistics, default="sampled")
MODELS = {
    "without statistics": plain_manifest(),
    "with statistics": fusion_manifest(statistics=SAMPLED),
    "on components": subspace_manifest(),
}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Where the runtime's own kernels are compiled to, once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=["rtx"])
def machine(request, monkeypatch, tmp_path, kernels):
    return make_machine(monkeypatch, tmp_path, kernels, request.param)


every_library = pytest.mark.parametrize("machine", list(VARIANTS), indirect=True)


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_bundle(tmp_path / "tiny", plain_manifest())


def impostor(bundle, engine):
    """Replace an engine's plan by one of a graph that subtracts what the model adds; its facts fit."""
    plan = json.loads(engine.read_plan("whole"))
    wrong = onnx.load_from_string(base64.b64decode(plan["graph"]))
    next(node for node in wrong.graph.node if node.op_type == "Add").op_type = "Sub"
    data = json.dumps(plan | {"graph": base64.b64encode(wrong.SerializeToString()).decode()}).encode()
    return replaced_plan(engine, data)


def in_half(source):
    """A graph whose convolutions compute in FP16."""
    model = onnx.load_from_string(source)
    weights = {value.name: value for value in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            nodes.append(node)
            continue
        (image, kernel), (output,) = node.input, node.output
        half = numpy_helper.from_array(numpy_helper.to_array(weights[kernel]).astype(np.float16), f"{kernel}_half")
        model.graph.initializer.append(half)
        conv = onnx.NodeProto()
        conv.CopyFrom(node)
        conv.input[:], conv.output[:] = [f"{image}_half", half.name], [f"{output}_half"]
        nodes += [
            helper.make_node("Cast", [image], [f"{image}_half"], to=TensorProto.FLOAT16),
            conv,
            helper.make_node("Cast", [f"{output}_half"], [output], to=TensorProto.FLOAT),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


@pytest.fixture
def halved(tmp_path, tiny):
    """A bundle with an FP16 graph too."""
    manifest = replace(
        tiny.manifest,
        graphs={**tiny.manifest.graphs, "fp16": Graph(whole="fp16.onnx")},
        calibration={"fp16": calibration("casts")},
    )
    files = {name: tiny.read_bytes(name) for name in tiny.manifest.files}
    return write_bundle(tmp_path / "halved", manifest, {**files, "fp16.onnx": in_half(graph("plain"))})


def assert_close(got, wanted):
    np.testing.assert_allclose(got, wanted, atol=CLOSE * np.abs(wanted).max())


@every_library
@pytest.mark.parametrize("model", MODELS)
def test_what_build_makes_here_is_what_runs_here(machine, tmp_path, rng, model, capsys):
    bundle = write_tiny_bundle(tmp_path / "bundle", MODELS[model])
    assert cli.main(["build", str(bundle.path), "--frame", "40x50", "--memory-mb", "1"]) == 0
    (stored,), _ = stored_engines(device_engines(bundle))
    pair = frame_pair(rng, FRAME, bundle.manifest.ratio)
    wanted = cpu_result(bundle, pair, memory_mb=1)
    with HSIEngine(bundle.path) as engine:
        assert_close(engine.run(*pair), wanted)
        report = engine.report
        results = list(engine.stream([pair] * 3))
    assert (report.backend, report.precision, report.device) == (machine.kind, "fp32", HostCuda.name)
    assert report.tile == tuple(side * bundle.manifest.ratio for side in stored.facts.tile_lr)
    assert report.n_tiles > 1
    assert report.planned_gpu_bytes > 0
    assert report.fallback is None
    assert report.warnings == ()
    assert len(results) == 3
    for result in results:
        assert_close(result, wanted)
    assert [cuda.held for cuda in machine.opened] == [0] * len(machine.opened)


def test_an_engine_is_built_only_where_it_is_asked_for_and_then_kept(machine, tiny, rng):
    report, _ = ran(tiny, rng)
    assert report.backend == "openvino"
    assert report.fallback == (
        f"tiny-x2 runs on the CPU, and this device has a {HostCuda.name} but no engine for it; build one with: "
        f"hsi-edge build {tiny.path}"
    )
    assert not device_engines(tiny).exists()
    for build in (True, False):
        with HSIEngine(tiny.path, build=build) as engine:
            engine.run(*frame_pair(rng, (192, 200)))
            assert (engine.report.backend, engine.report.fallback) == (machine.kind, None)
    assert len(stored_engines(device_engines(tiny))[0]) == 1


def test_a_build_that_fails_leaves_the_cpu_with_the_reason_or_nothing(machine, tiny, rng):
    machine.trt.fake.build_error = "Error Code 2: OutOfMemory (no further information)"
    report, _ = ran(tiny, rng, build=True)
    assert report.backend == "openvino"
    assert "none could be built: " in report.fallback
    assert "OutOfMemory" in report.fallback
    with pytest.raises(EngineLoadError, match=r"no engine of tiny-x2 runs here on tensorrt-rtx: .*OutOfMemory"):
        HSIEngine(tiny.path, backend=machine.kind, build=True)
    assert not device_engines(tiny).exists()


def test_a_precision_that_the_bundle_does_not_have_is_neither_built_nor_run(machine, tiny):
    built(machine, tiny)
    with pytest.raises(InputError, match="int8"):
        HSIEngine(tiny.path, precision="int8", build=True)
    with pytest.raises(InputError, match="which are fp32; there is none in 'fp16'"):
        HSIEngine(tiny.path, backend=machine.kind, precision="fp16", build=True)


def test_bf16_is_the_cpus_without_a_word(machine, tmp_path, rng, monkeypatch):
    monkeypatch.setattr("hsi_edge.backends.openvino.OpenVINOBackend.precisions", lambda: ("fp32", "bf16"))
    allowed = plain_manifest()
    bundle = write_tiny_bundle(
        tmp_path / "bf16", replace(allowed, precision=replace(allowed.precision, bf16=True, bf16_psnr_loss_db=0.01))
    )
    report, _ = ran(bundle, rng, precision="bf16")
    assert (report.backend, report.precision, report.fallback) == ("openvino", "bf16", None)


def test_of_several_engines_the_fastest_precision_and_then_the_largest_tile_run(machine, halved, rng):
    for tile in ((8, 10), (16, 20), (12, 12)):
        built(machine, halved, tile_lr=tile)
    report, off = ran(halved, rng)
    assert (report.precision, report.tile, report.fallback) == ("fp32", (32, 40), None)
    assert off < CLOSE
    built(machine, halved, precision="fp16", tile_lr=(10, 12))
    report, off = ran(halved, rng)
    assert (report.precision, report.tile, report.fallback) == ("fp16", (20, 24), None)
    assert CLOSE < off < 1e-2
    report, off = ran(halved, rng, precision="fp32")
    assert (report.precision, report.tile, report.fallback) == ("fp32", (32, 40), None)


def test_engines_ahead_of_time_travel_in_the_bundle(machine, tiny, rng):
    machine.device = replace(machine.device, compute_capability="8.6")
    assert cli.main(["build", str(tiny.path), "--target", "8.6", "8.9", "--tile", "12"]) == 0
    report, off = ran(tiny, rng)
    assert (report.backend, report.tile, report.fallback) == (machine.kind, (24, 24), None)
    assert off < CLOSE


def test_engines_for_other_devices_are_no_fallback_where_one_is_for_this(machine, tiny, rng):
    built(machine, tiny, tiny.path / "engines", device=None, capabilities=("12.0",))
    built(machine, tiny)
    assert ran(tiny, rng)[0].fallback is None


BAD = {
    "fails its golden replay": (impostor, "golden replay failed: the graph on tensorrt-rtx fp16"),
    "does not deserialise": (
        lambda _, engine: replaced_plan(engine, engine.read_plan("whole")[:-9]),
        "does not load the engine; it says: IRuntime::deserializeCudaEngine: Error Code 1: Serialization",
    ),
    "was altered": (lambda _, engine: damage(engine), "its bytes were altered; build the engine anew"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_engine_that_does_not_prove_itself_is_passed_over_with_its_reason(machine, halved, rng, case, caplog):
    spoil, reason = BAD[case]
    # That the good one was proved before must not help the bad one.
    best = built(machine, halved, precision="fp16")
    assert ran(halved, rng)[0].precision == "fp16"
    spoil(halved, best)
    next_best = built(machine, halved)
    report, off = ran(halved, rng)
    assert (report.backend, report.precision) == (machine.kind, "fp32")
    assert off < CLOSE
    assert report.fallback.startswith(f"tiny-x2 runs on the next best engine, in fp32: {best.folder.name}: ")
    assert reason in report.fallback
    assert report.fallback in caplog.text
    shutil.rmtree(next_best.folder)
    report, off = ran(halved, rng)
    assert report.backend == "openvino"
    assert off < 2e-2
    assert report.fallback.startswith(f"tiny-x2 runs on the CPU, as no engine is valid here: {best.folder.name}: ")
    assert reason in report.fallback
    assert report.fallback.endswith(f"build one with: hsi-edge build {halved.path}")
    assert [cuda.held for cuda in machine.opened] == [0] * len(machine.opened)


def test_a_plan_for_the_statistics_that_does_not_load_is_found_at_the_opening(machine, tmp_path, rng):
    bundle = write_tiny_bundle(tmp_path / "bundle", MODELS["with statistics"])
    engine = built(machine, bundle)
    assert ran(bundle, rng)[0].fallback is None
    (engine.folder / "whole.plan").write_bytes(b"")
    assert "whole.plan is not the one that was built: it has 0 bytes" in ran(bundle, rng)[0].fallback


def test_a_backend_that_is_asked_for_by_name_does_not_fall_back(machine, halved):
    kind, facts = machine.kind, {}
    facts["other GPU"] = built(machine, halved, device=replace(machine.device, compute_capability="8.6"))
    facts["altered"] = built(machine, halved, precision="fp16")
    damage(facts["altered"])
    (device_engines(halved) / "scrap").mkdir()
    with pytest.raises(EngineLoadError) as caught:
        HSIEngine(halved.path, backend=kind)
    message = str(caught.value)
    for part in (
        f"no engine of tiny-x2 runs here on {kind}: ",
        "the engine scrap cannot be read: ",
        f"{facts['altered'].folder.name}: the plan",
        f"{facts['other GPU'].folder.name}: it was built for compute capability 8.6, host; this is a host with",
        f"build one with: hsi-edge build {halved.path} --backend {kind}",
    ):
        assert part in message
    assert "\n" not in message
    with pytest.raises(EngineLoadError, match="it computes in fp32, and fp16 was asked for"):
        HSIEngine(halved.path, backend=kind, precision="fp16")


@pytest.mark.parametrize("why", ["there is no NVIDIA driver here (libcuda.so.1)", "the NVIDIA driver is too old: it"])
def test_without_a_usable_gpu_the_reason_for_that_is_told(machine, tiny, rng, why):
    built(machine, tiny, tiny.path / "engines")
    machine.device, machine.why_none = None, why
    report, _ = ran(tiny, rng)
    assert report.backend == "openvino"
    assert why in report.fallback
    with pytest.raises(EngineLoadError) as caught:
        HSIEngine(tiny.path, backend=machine.kind)
    assert f"runs here on {machine.kind}: {why}; " in str(caught.value)
    assert str(caught.value).endswith("open it with backend='openvino'")


def test_engines_in_a_zip_file_are_not_passed_over_in_silence(machine, tiny, tmp_path, rng):
    built(machine, tiny, tiny.path / "engines")
    zipped = Bundle.open(shutil.make_archive(str(tmp_path / "packed"), "zip", tiny.path))
    report, _ = ran(zipped, rng)
    assert f"the engines in {zipped.path} are not read, as they lie in a .zip file; unpack it" in report.fallback


def test_arrays_on_the_gpu_go_in_and_out(machine, tiny, rng):
    built(machine, tiny)
    lr_hsi, hr_msi = frame_pair(rng, FRAME)
    wanted = cpu_result(tiny, (lr_hsi, hr_msi))
    with HSIEngine(tiny.path) as engine:
        (cuda,) = machine.opened
        out = OnDevice(cuda, np.zeros_like(wanted))
        assert engine.run(OnDevice(cuda, lr_hsi), OnDevice(cuda, hr_msi), out=out) is out
        assert_close(out.array, wanted)
    with HSIEngine(tiny.path, backend="openvino") as engine:
        for name, arrays in {"lr_hsi": (out, hr_msi), "hr_msi": (lr_hsi, out)}.items():
            with pytest.raises(InputError, match=f"{name} lies on a GPU, and this engine runs on the CPU; copy it"):
                engine.run(*arrays)


def test_a_frame_smaller_than_the_tile_is_refused_with_the_command_to_run(machine, tiny, rng):
    built(machine, tiny)
    with HSIEngine(tiny.path) as engine:
        with pytest.raises(
            InputError, match=r"lr_hsi has 8 x 40 pixels.*tiles of 10 x 12: .*hsi-edge build --frame 8x40"
        ):
            engine.run(*frame_pair(rng, (8, 40)))
        assert engine.run(*frame_pair(rng, FRAME)).shape == (80, 100, 5)
    assert cli.main(["build", "--frame", "8x40", str(tiny.path)]) == 0
    with HSIEngine(tiny.path) as engine:
        assert engine.run(*frame_pair(rng, (8, 40))).shape == (16, 80, 5)
        assert (engine.report.backend, engine.report.fallback) == (machine.kind, None)


def test_fp16_without_a_gpu_runs_on_the_cpu_with_a_word(machine, halved, rng):
    machine.device, machine.why_none = None, "there is no NVIDIA driver here (libcuda.so.1)"
    report, _ = ran(halved, rng, precision="fp16")
    assert report.backend == "openvino"
    assert report.fallback == f"tiny-x2 runs on the CPU, as no engine is valid here: {machine.why_none}"


def test_a_gpu_without_memory_for_the_frame_says_how_much_it_takes(machine, tiny, rng):
    built(machine, tiny)
    pair = frame_pair(rng, FRAME)
    with HSIEngine(tiny.path) as engine:
        (cuda,) = machine.opened
        cuda._free = 1 << 15
        with pytest.raises(TilingError, match=r"needs \d\.\d MB on the GPU, where \d\.\d MB are free; close what"):
            engine.run(*pair)
        # What else uses the GPU was closed.
        cuda._free = 1 << 30
        assert_close(engine.run(*pair), cpu_result(tiny, pair))


def test_where_memory_is_short_an_engine_of_a_smaller_tile_is_taken_by_plan(machine, tmp_path, rng):
    hungry = Tiling(halo_lr=1, min_lr=2, bytes_per_px=2000)
    bundle = write_tiny_bundle(tmp_path / "hungry", plain_manifest(tiling=hungry))
    large, small = (built(machine, bundle, tile_lr=(side, side)) for side in (16, 8))
    assert ran(bundle, rng)[0].tile == (32, 32)
    machine.free = 1_600_000
    report, off = ran(bundle, rng)
    assert off < CLOSE
    assert report.tile == (16, 16)
    assert f"{large.folder.name}: the frame needs 2.1 MB on the GPU, where 1.5 MB are free" in report.fallback
    assert small.folder.name not in report.fallback


def test_a_gpu_without_memory_for_the_engine_leaves_the_cpu_with_the_reason(machine, tiny, rng):
    built(machine, tiny)
    machine.free = 1 << 10
    report, _ = ran(tiny, rng)
    assert report.backend == "openvino"
    assert "MB on the GPU, where 0.0 MB are free" in report.fallback


def test_a_driver_that_the_cuda_runtime_does_not_take_leaves_the_cpu_with_the_reason(machine, tiny, rng, monkeypatch):
    def refuse():
        raise EngineLoadError("the NVIDIA driver is too old: (told by the test)")

    built(machine, tiny)
    monkeypatch.setattr("hsi_edge.backends.tensorrt.Cuda", refuse)
    report, _ = ran(tiny, rng)
    assert report.backend == "openvino"
    assert "the NVIDIA driver is too old" in report.fallback


@every_library
def test_a_device_that_is_lost_in_a_run_is_told_until_the_bundle_is_opened_again(machine, tiny, rng):
    built(machine, tiny)
    pair = frame_pair(rng, FRAME)
    wanted = cpu_result(tiny, pair)
    engine = HSIEngine(tiny.path)
    engine.run(*pair)
    (cuda,) = machine.opened

    def lose(event):
        cuda.lost = True
        raise DeviceLostError("the GPU was lost (told by the test); close this engine and open it again")

    cuda.synchronize = lose
    for _ in range(2):
        with pytest.raises(DeviceLostError, match=r"the GPU was lost .*close this engine and open it again"):
            engine.run(*pair)
    with pytest.raises(DeviceLostError):
        next(engine.stream([pair]))
    engine.close()
    engine.close()
    with HSIEngine(tiny.path) as again:
        assert_close(again.run(*pair), wanted)
        assert again.report.fallback is None


@pytest.mark.parametrize(("shape", "mode"), [((40, 50), "sampled"), ((16, 50), "sampled"), ((40, 50), "previous")])
def test_statistics_are_measured_on_the_sample_that_the_engine_was_built_for(machine, tmp_path, rng, shape, mode):
    bundle = write_tiny_bundle(tmp_path / "bundle", MODELS["with statistics"])
    built(machine, bundle)
    pair = frame_pair(rng, shape, bundle.manifest.ratio)
    with HSIEngine(bundle.path, statistics=mode) as engine:
        assert np.isfinite(engine.run(*pair)).all()
        assert engine.report.backend == machine.kind
        assert len(list(engine.stream([pair] * 2))) == 2


@pytest.mark.parametrize("mode", ["exact", "reduced"])
def test_statistics_that_the_engine_cannot_measure_are_refused_with_the_way_out(machine, tmp_path, rng, mode):
    bundle = write_tiny_bundle(tmp_path / "bundle", MODELS["with statistics"])
    built(machine, bundle)
    with (
        HSIEngine(bundle.path, statistics=mode) as engine,
        pytest.raises(InputError, match=rf"statistics is '{mode}'.*statistics='sampled', or with backend='openvino'"),
    ):
        engine.run(*frame_pair(rng, FRAME, bundle.manifest.ratio))
