"""Building plans, against stand-ins for TensorRT 10, 11 and TensorRT-RTX."""

from __future__ import annotations

import json
import signal
import sys

import onnx
import pytest

from hsi_edge.backends.tensorrt_build import PROGRESS_STEPS, PlanOrder, build_plan
from hsi_edge.errors import EngineLoadError, InputError, MissingPackageError
from tests.hsi_edge.backends.fake_tensorrt import KINDS, VARIANTS, DataType, install
from tests.hsi_edge.backends.typed_graphs import SHAPES, typed_graph

PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture(params=list(VARIANTS))
def variant(request):
    return request.param


@pytest.fixture
def trt(variant, monkeypatch):
    return install(monkeypatch, variant)


def order(variant, precision="fp32", **changes):
    return PlanOrder(kind=KINDS[variant], precision=precision, float_layers=("wide",), **changes)


def build(variant, precision="fp32", graph=None, **changes):
    return build_plan(graph or typed_graph(precision), SHAPES, order(variant, precision, **changes))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_library_builds_every_precision_strongly_typed_without_tf32(variant, trt, precision):
    built = build(variant, precision)
    plan = json.loads(built.data)
    assert built.layers_checked
    assert plan["shapes"] == {name: list(shape) for name, shape in SHAPES.items()}
    assert not plan["tf32"]
    assert plan["detailed"]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_layer_that_was_compiled_wider_than_asked_fails_the_build(variant, trt, precision):
    trt.fake.compiled["second"] = DataType.FLOAT
    with pytest.raises(EngineLoadError, match=rf"1 of 3 convolutions .* second \({precision} asked for, fp32 compiled"):
        build(variant, precision)


def test_a_graph_of_another_precision_than_said_fails_before_the_build(variant, trt):
    trt.fake.build_error = "not reached"
    with pytest.raises(EngineLoadError, match=r"the fp16 graph asks for another precision in 2 of 3 .*first \(fp32\)"):
        build(variant, "fp16", typed_graph("fp32"))


def test_a_build_that_gives_nothing_is_an_error_with_the_logs_own_lines(variant, trt):
    trt.fake.build_error = "Error Code 2: OutOfMemory (no further information)"
    with pytest.raises(EngineLoadError, match=r"cannot build the engine; it says: .*Error Code 2: OutOfMemory"):
        build(variant)
    trt.fake.build_error = None
    assert build(variant).layers_checked


def test_every_error_of_the_parser_is_told_with_its_node(variant, trt):
    model = onnx.load_from_string(typed_graph("fp32"))
    for node, kind in zip(model.graph.node, ("UnknownA", "UnknownB"), strict=False):
        node.op_type = kind
    message = r"does not read the graph: node first \(UnknownA\): No .* \| node second \(UnknownB\): No importer"
    with pytest.raises(EngineLoadError, match=message):
        build(variant, graph=model.SerializeToString())


def test_a_damaged_graph_is_an_error(variant, trt):
    with pytest.raises(EngineLoadError, match=r"does not read the graph: Failed to parse the ONNX model"):
        build(variant, graph=typed_graph("fp32")[:100])


def test_an_empty_graph_is_an_error(variant, trt):
    with pytest.raises(EngineLoadError, match="the graph takes nothing; shapes were given for image"):
        build_plan(b"", SHAPES, order(variant))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"picture": (1, 8, 12, 16)}, "the graph takes image; shapes were given for picture"),
        ({"image": (1, 9, 12, 16)}, r"takes image as \(1, 8, -1, -1\), -1 being any; \(1, 9, 12, 16\) was given"),
        ({"image": (8, 12, 16)}, r"takes image as \(1, 8, -1, -1\), -1 being any; \(8, 12, 16\) was given"),
    ],
)
def test_shapes_that_the_graph_does_not_take_are_refused(variant, trt, shapes, message):
    with pytest.raises(EngineLoadError, match=message):
        build_plan(typed_graph("fp32"), shapes, order(variant))


def test_progress_grows_to_its_end(variant, trt):
    seen = []
    build_plan(typed_graph("fp32"), SHAPES, order(variant), lambda done, total: seen.append((done, total)))
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert seen[-1] == (PROGRESS_STEPS, PROGRESS_STEPS)


def test_an_interruption_cancels_the_build(variant, trt):
    with pytest.raises(KeyboardInterrupt):
        build_plan(typed_graph("fp32"), SHAPES, order(variant), lambda done, total: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert build(variant).layers_checked


def test_what_fails_while_progress_is_shown_comes_out_of_the_build(variant, trt):
    def show(done, total):
        raise BrokenPipeError("stderr went away")

    with pytest.raises(BrokenPipeError, match="stderr went away"):
        build_plan(typed_graph("fp32"), SHAPES, order(variant), show)


def test_one_logger_serves_every_build(variant, trt):
    for _ in range(2):
        build(variant)
    with pytest.raises(EngineLoadError) as raised:
        build(variant, graph=typed_graph("fp32")[:100])
    assert "already registered" not in str(raised.value)


@pytest.mark.parametrize("variant", ["10", "11"], indirect=True)
def test_kernel_timings_are_kept_and_reused(variant, trt, tmp_path):
    cache = tmp_path / "new" / "timings.cache"
    for _ in range(2):
        build(variant, timing_cache=cache)
    assert trt.fake.timings == [b"", b"timings"]
    cache.write_bytes(b"of another device")
    build(variant, timing_cache=cache)
    assert trt.fake.timings[-2:] == [b"of another device", b""]
    assert cache.read_bytes() == b"timings"


@pytest.mark.parametrize("variant", ["10"], indirect=True)
def test_timings_that_cannot_be_kept_do_not_fail_the_build(variant, trt, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    assert build(variant, timing_cache=tmp_path / "file" / "timings.cache").layers_checked
    assert "kernel timings cannot be kept" in caplog.text


@pytest.mark.parametrize("variant", ["10", "11"], indirect=True)
def test_without_a_gpu_tensorrt_says_why_it_cannot_start(variant, monkeypatch):
    install(monkeypatch, variant, gpu=False)
    with pytest.raises(EngineLoadError, match=r"cannot start its Builder .*CUDA driver version is insufficient"):
        build(variant)


class TestRTX:
    @pytest.fixture
    def rtx(self, monkeypatch):
        return install(monkeypatch, "rtx", gpu=False)

    def test_it_builds_ahead_of_time_without_a_gpu_and_checks_the_layers_that_its_log_lists(self, rtx):
        built = build("rtx", "int8", capabilities=("8.6", "12.0"))
        assert json.loads(built.data)["capabilities"] == [86, 120]
        assert built.layers_checked
        rtx.fake.compiled["first"] = DataType.HALF
        with pytest.raises(EngineLoadError, match=r"first \(int8 asked for, fp16 compiled\)"):
            build("rtx", "int8", capabilities=("8.6",))

    def test_layers_that_are_not_listed_are_left_to_the_device(self, rtx):
        rtx.fake.lists_layers = False
        assert not build("rtx", capabilities=("8.6",)).layers_checked

    def test_for_this_device_it_needs_a_gpu(self, rtx):
        with pytest.raises(EngineLoadError, match=r"generateForCurrent .*CUDA driver version is insufficient"):
            build("rtx")

    def test_a_capability_that_it_does_not_build_for_is_refused(self, rtx):
        with pytest.raises(InputError, match=r"does not build for 8\.6, 8\.7; it builds for 7\.5, 8\.0, 8\.6"):
            build("rtx", capabilities=("8.6", "8.7"))

    def test_it_is_given_no_timing_cache(self, rtx, tmp_path):
        build("rtx", capabilities=("8.6",), timing_cache=tmp_path / "timings.cache")
        assert rtx.fake.timings == []


@pytest.mark.parametrize(
    ("module", "variant", "message"),
    [
        ("tensorrt", "10", "needs the package 'tensorrt'.*JetPack brings it: sudo apt install python3-libnvinfer"),
        ("tensorrt_rtx_bindings", "rtx", r"needs the package 'tensorrt_rtx_bindings'.*pip install 'hsi-edge\[rtx\]'"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_the_way_to_get_it(monkeypatch, module, variant, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=message):
        build(variant)
