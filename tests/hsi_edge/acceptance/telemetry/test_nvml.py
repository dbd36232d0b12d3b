"""NVML through a stand-in with the same names and errors."""

from __future__ import annotations

import sys

import pytest

from hsi_edge.acceptance.telemetry import Signal, UntoldError
from hsi_edge.acceptance.telemetry.nvml import Nvml

GPU = "GPU 0 NVIDIA RTX A2000"


class FakeNvml:
    """A desktop GPU; what is in `lacking` it does not support, as a Jetson's does not tell its power."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self, *, lacking=(), names=("NVIDIA RTX A2000",), reasons=0):
        self.lacking, self.names, self.reasons = set(lacking), names, reasons
        self.asked = []
        self.open = 0

    def _answer(self, question, value):
        self.asked.append(question)
        if question in self.lacking:
            raise self.NVMLError("Not Supported")
        return value

    def nvmlInit(self):  # noqa: N802
        self._answer("init", None)
        self.open += 1

    def nvmlShutdown(self):  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, gpu):  # noqa: N802
        return f"GPU-{gpu}aaa"

    def nvmlDeviceGetName(self, gpu):  # noqa: N802
        return self.names[gpu].encode()

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "580.65.06"

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu):  # noqa: N802
        return self._answer("limit", 70000)

    def nvmlDeviceGetPowerUsage(self, gpu):  # noqa: N802
        return self._answer("power", 31500)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu):  # noqa: N802
        return self._answer("energy", 123456)

    def nvmlDeviceGetClockInfo(self, gpu, kind):  # noqa: N802
        return self._answer("clock", 1200)

    def nvmlDeviceGetTemperature(self, gpu, kind):  # noqa: N802
        return self._answer("temperature", 61)

    def nvmlDeviceGetMemoryInfo(self, gpu):  # noqa: N802
        return self._answer("memory", type("Info", (), {"used": 5 << 20}))

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu):  # noqa: N802
        return self._answer("reasons", self.reasons)


def test_a_desktop_gpu_tells_everything_in_base_units():
    told = Nvml(FakeNvml()).read()
    assert told == {
        Signal("power_w", GPU): 31.5,
        Signal("energy_j", GPU): 123.456,
        Signal("clock_mhz", GPU): 1200,
        Signal("temperature_c", GPU): 61,
        Signal("gpu_bytes", GPU): 5 << 20,
        Signal("throttled", GPU): 0,
    }


def test_what_a_gpu_does_not_support_is_asked_for_once_and_never_zero():
    nvml = FakeNvml(lacking=("power", "energy", "memory", "limit"))
    source = Nvml(nvml)
    told = source.read()
    assert {signal.kind for signal in told} == {"clock_mhz", "temperature_c", "throttled"}
    assert nvml.asked.count("power") == 1
    assert source.rails == {}
    assert source.facts() == {"NVIDIA driver": "580.65.06"}


@pytest.mark.parametrize(("reasons", "held"), [(0x01, 0), (0x04, 1), (0x20 | 0x01, 1), (0x10, 0)])
def test_heat_and_power_hold_clocks_down_and_idleness_does_not(reasons, held):
    assert Nvml(FakeNvml(reasons=reasons)).read()[Signal("throttled", GPU)] == held


def test_only_gpus_that_this_process_may_see_are_read(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1aaa")
    source = Nvml(FakeNvml(names=("NVIDIA RTX A2000", "NVIDIA L4")))
    assert set(source.rails) == {"GPU 1 NVIDIA L4"}


def test_without_a_driver_nvml_says_so():
    with pytest.raises(UntoldError, match="does not start"):
        Nvml(FakeNvml(lacking=("init",)))


def test_without_a_gpu_nvml_is_closed_again():
    nvml = FakeNvml(names=())
    with pytest.raises(UntoldError, match="no GPU"):
        Nvml(nvml)
    assert nvml.open == 0


def test_without_the_package_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UntoldError, match=r"hsi-edge\[nvml\]"):
        Nvml()


@pytest.mark.gpu
def test_the_gpu_of_this_machine_tells_power_and_memory():
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    source = Nvml()
    try:
        kinds = {signal.kind for signal in source.read()}
    finally:
        source.close()
    assert {"temperature_c", "clock_mhz"} <= kinds
