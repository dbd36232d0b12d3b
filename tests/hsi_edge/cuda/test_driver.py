"""The driver's functions are called as cuda-bindings and CUDA want it, and their failures become errors in words.

A library of the driver's name, whose GPU is the host, stands in for it; cuda-bindings finds it as it finds the real
one. It lives in processes of its own, so that no other test takes it for a GPU.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import hsi_edge.cuda.driver
from hsi_edge.cuda.driver import kernel_names
from hsi_edge.errors import EngineLoadError
from tests.hsi_edge.cuda.host_cuda import host_kernels

pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
ROOT = Path(__file__).parents[3]
SOURCE = (ROOT / "hsi_edge" / "cuda" / "kernels.cu").read_text()


@pytest.fixture(scope="session")
def driver(kernels):
    """The environment in which the stand-in is the driver."""
    source = Path(__file__).with_name("host_driver.cpp")
    library = kernels / "libcuda.so.1"
    command = ["g++", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", f"-Wl,-soname,{library.name}"]
    subprocess.run([*command, str(source), "-o", str(library), "-ldl"], check=True)
    ours = {
        "LD_LIBRARY_PATH": str(kernels),
        "HOST_KERNELS": str(host_kernels(kernels, SOURCE, kernel_names(SOURCE))),
        "HSI_EDGE_CACHE": str(kernels / "cache"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    return dict(os.environ) | ours


def run(driver, code, **environment):
    """What a program prints, on a driver that fails as the environment says."""
    return subprocess.run(
        [sys.executable, "-c", f"from hsi_edge.cuda.driver import *\n{code}"],
        env=driver | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def last_lines(driver, code, **environment):
    return [line for line in run(driver, code, **environment).stdout.split() if line.isdigit()]


def last_line(driver, code, **environment):
    done = run(driver, code, **environment)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("integrated", [False, True])
def test_the_tests_for_a_gpu_pass_on_the_stand_in(driver, integrated):
    environment = driver | {"HSI_EDGE_REQUIRE": "gpu"} | ({"HOST_INTEGRATED": "1"} if integrated else {})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/hsi_edge/cuda/test_gpu.py"]
    deselected = ["--deselect", "tests/hsi_edge/cuda/test_gpu.py::test_what_was_planned_is_what_the_gpu_has_less_of"]
    done = subprocess.run(
        [*command, *deselected], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_without_a_driver_the_error_says_so_and_the_way_out(monkeypatch):
    # A Jetson's is not told below /proc/driver.
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        pytest.skip("there is a driver here")
    with pytest.raises(EngineLoadError, match=r"no NVIDIA driver here .*; install it, or open .* backend='openvino'"):
        hsi_edge.cuda.driver.Cuda()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HOST_DRIVER_VERSION": "11080"}, "DriverTooOld"),
        ({"HOST_FAIL": "cuInit 100 1"}, "the NVIDIA driver finds no GPU (cuInit: CUDA_ERROR_NO_DEVICE); open"),
        ({"HOST_FAIL": "cuDevicePrimaryCtxRetain 2 1"}, "the GPU is out of memory (cuDevicePrimaryCtxRetain"),
        ({"HOST_FAIL": "cuCtxPushCurrent_v2 709 1"}, "DeviceLostError: the GPU was lost (cuCtxPushCurrent"),
        (
            {"HOST_FAIL": "cuDeviceGetName 801 1"},
            "the NVIDIA driver failed (cuDeviceGetName: CUDA_ERROR_NOT_SUPPORTED)",
        ),
    ],
)
def test_a_gpu_that_cannot_be_opened_says_why(driver, environment, message):
    told = last_line(driver, "Cuda()", **environment)
    if message == "DriverTooOld":
        assert "the NVIDIA driver is too old: it knows CUDA 11.8, and the package cuda-bindings is of CUDA 1" in told
        assert told.endswith("update the driver, or install cuda-bindings 11.*")
    else:
        assert message in told


def test_a_lost_device_is_told_at_every_call_until_it_is_opened_again(driver):
    code = """
cuda = Cuda()
with cuda.active():
    memory = cuda.allocate(100)
    try:
        cuda.copy(memory, memory, 100, cuda.stream)
    except DeviceLostError as err:
        print(err)
try:
    with cuda.active():
        pass
except DeviceLostError as err:
    print("again:", err)
cuda.close()
print(Cuda().name)
"""
    lines = run(driver, code, HOST_FAIL="cuMemcpyAsync 700 1").stdout.splitlines()
    lost = "the GPU was lost (cuMemcpyAsync: CUDA_ERROR_ILLEGAL_ADDRESS); close this engine and open it again"
    # After a reset alone the context would be counted as in use for as long as the process lives.
    assert sorted(lines) == sorted([lost, f"again: {lost}", "reset", "released", "host"])


def test_what_was_allocated_is_given_back_and_the_primary_context_too(driver):
    code = """
cuda = Cuda()
with cuda.active():
    cuda.allocate(100), cuda.allocate_pinned(100), cuda.new_event()
cuda.close()
import ctypes
print(ctypes.CDLL("libcuda.so.1").host_held())
"""
    assert sorted(run(driver, code).stdout.split()) == ["0", "released"]


@pytest.mark.parametrize(
    "fails",
    ["cuStreamBeginCapture_v2 900", "cuMemcpyAsync 801", "cuStreamEndCapture 901", "cuGraphInstantiateWithFlags 2"],
)
def test_a_capture_that_is_refused_can_be_told_from_a_failure(driver, fails):
    code = """
cuda = Cuda()
with cuda.active():
    memory = cuda.allocate(100)
    try:
        cuda.capture(cuda.stream, lambda: cuda.copy(memory, memory, 100, cuda.stream))
    except CaptureRefusedError as err:
        print("refused", err)
cuda.close()
"""
    assert run(driver, code, HOST_FAIL=f"{fails} 1").stdout.startswith("refused")


@pytest.mark.parametrize("ends", ["cuStreamEndCapture 901 1", "cuStreamEndCapture 0 1"], ids=["invalid", "valid"])
def test_a_refused_capture_tells_what_failed_first_and_keeps_no_graph(driver, ends):
    code = """
import ctypes
cuda = Cuda()
held = ctypes.CDLL("libcuda.so.1").host_held()
def enqueue():
    raise EngineLoadError("the engine failed to run; it says: not stream capturable")
with cuda.active():
    try:
        cuda.capture(cuda.stream, enqueue)
    except CaptureRefusedError as err:
        print(err)
print(ctypes.CDLL("libcuda.so.1").host_held() - held)
"""
    told = run(driver, code, HOST_FAIL=ends).stdout.splitlines()
    assert told == ["the engine failed to run; it says: not stream capturable", "0"]


def test_an_integrated_gpus_free_memory_is_what_linux_could_give(driver, tmp_path):
    # As a Jetson tells it after files were read: the driver's 1 GB (of the stand-in) is what lies idle.
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:  7990000 kB\nMemFree:   1048576 kB\nMemAvailable:    6291456 kB\nBuffers:  9 kB\n")
    code = f"""
from pathlib import Path
import hsi_edge.machine
cuda = Cuda()
for file in ({str(told)!r}, "/there/is/none"):
    hsi_edge.machine._MEMORY = Path(file)
    with cuda.active():
        print(cuda.free_bytes() >> 20)
"""
    assert last_lines(driver, code, HOST_INTEGRATED="1") == ["6144", "1024"]
    assert last_lines(driver, code) == ["1024", "1024"]


def test_memory_that_is_not_there_is_an_error_that_leaves_nothing_behind(driver):
    code = """
import ctypes
from hsi_edge.cuda.memory import FrameMemory
from hsi_edge.cuda.plan import Layout, Plan
cuda = Cuda()
layout = Layout({"image": ((10,), "f4")})
sizes = {"strip_rows": 1, "tile_sets": 1, "engine_bytes": 0, "integrated": False}
plan = Plan(frame=None, given=layout, work=layout, taken=layout, **sizes)
held = ctypes.CDLL("libcuda.so.1").host_held()
with cuda.active():
    try:
        FrameMemory(cuda, plan)
    except EngineLoadError as err:
        print(err)
print(ctypes.CDLL("libcuda.so.1").host_held() - held)
"""
    told = run(driver, code, HOST_FAIL="cuMemAlloc_v2 2 2").stdout.splitlines()
    assert told[0].startswith("the GPU is out of memory (cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY); close what else uses")
    assert told[1] == "0"


def test_a_context_of_the_callers_is_not_ours_to_make_anew(driver):
    code = """
first = Cuda()
with first.active():
    second = Cuda(stream=first.stream)
with second.active():
    memory = second.allocate(100)
    try:
        second.copy(memory, memory, 100, second.stream)
    except DeviceLostError as err:
        print(err)
second.close()
"""
    (told,) = run(driver, code, HOST_FAIL="cuMemcpyAsync 719 1").stdout.splitlines()
    assert told.endswith("close this engine and open it again, in a new context, as this one is the caller's")
