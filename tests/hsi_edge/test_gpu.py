"""What is told of this machine's GPU, against a stand-in for the CUDA driver."""

from __future__ import annotations

import re
import sys
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import pytest

from hsi_edge import gpu
from hsi_edge.gpu import find_device, this_platform
from tests.hsi_edge.backends.fake_tensorrt import install

pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803
    CUDA_ERROR_INVALID_VALUE = 1


@pytest.fixture
def driver(monkeypatch):
    """`cuda.bindings.driver` on a Jetson Orin with CUDA 12.6."""
    api = ModuleType("cuda.bindings.driver")
    major, minor = "COMPUTE_CAPABILITY_MAJOR", "COMPUTE_CAPABILITY_MINOR"
    attributes = {f"CU_DEVICE_ATTRIBUTE_{name}": name for name in (major, minor)}
    api.CUresult = CUresult
    api.CUdevice_attribute = SimpleNamespace(**attributes)
    api.cuInit = lambda flags: (CUresult.CUDA_SUCCESS,)
    api.cuDriverGetVersion = lambda: (CUresult.CUDA_SUCCESS, 12060)
    api.cuDeviceGet = lambda number: (CUresult.CUDA_SUCCESS, 0)
    api.cuDeviceGetAttribute = lambda name, device: (CUresult.CUDA_SUCCESS, {major: 8, minor: 7}[name])
    api.cuDeviceGetName = lambda size, device: (CUresult.CUDA_SUCCESS, b"Orin\0\0\0")
    api.cuDeviceTotalMem = lambda device: (CUresult.CUDA_SUCCESS, 8 << 30)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", api)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    return api


def test_a_jetson_tells_its_release_and_its_library(driver, monkeypatch, tmp_path):
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    monkeypatch.setattr(gpu, "_JETSON_RELEASE", release)
    install(monkeypatch, "10")
    device, reason = find_device()
    assert reason == ""
    assert device is not None
    assert (device.name, device.compute_capability) == ("Orin", "8.7")
    assert device.driver == "Jetson Linux R36.4.3 (CUDA 12.6)"
    assert device.versions == {"tensorrt": "10.3.0"}
    assert device.platform == this_platform()
    assert device.memory_bytes == 8 << 30


def test_elsewhere_the_driver_tells_its_version(driver, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "_JETSON_RELEASE", tmp_path / "none")
    nvml = ModuleType("pynvml")
    nvml.nvmlInit = nvml.nvmlShutdown = lambda: None
    nvml.nvmlSystemGetDriverVersion = lambda: "560.35.05"
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    device, _ = find_device()
    assert device.driver == "driver 560.35.05 (CUDA 12.6)"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    device, _ = find_device()
    assert device.driver == "driver of unknown version (CUDA 12.6)"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (CUresult.CUDA_ERROR_NO_DEVICE, "the NVIDIA driver finds no GPU, or CUDA_VISIBLE_DEVICES hides it"),
        (CUresult.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "the NVIDIA driver and its libraries are of different versions"),
        (CUresult.CUDA_ERROR_INVALID_VALUE, r"the NVIDIA driver refuses \(cuInit: CUDA_ERROR_INVALID_VALUE\)"),
    ],
)
def test_a_driver_that_fails_is_told_in_words(driver, code, words):
    driver.cuInit = lambda flags: (code,)
    device, reason = find_device()
    assert device is None
    assert re.search(words, reason)


def test_a_driver_that_is_too_old_is_told_with_both_versions(driver):
    driver.cuDriverGetVersion = lambda: (CUresult.CUDA_SUCCESS, 11040)
    assert find_device() == (
        None,
        "the NVIDIA driver is too old: it knows CUDA 11.4, and 12.0 is the least; update it",
    )


def test_a_machine_without_a_driver_says_so(driver):
    def missing(flags):
        raise RuntimeError('"cuda" is an NVIDIA driver library and can only be found via system search.')

    driver.cuInit = missing
    assert find_device() == (None, "there is no NVIDIA driver here (libcuda.so.1)")


def test_without_cuda_bindings_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    device, reason = find_device()
    assert device is None
    assert "pip install 'hsi-edge[cuda]'" in reason
