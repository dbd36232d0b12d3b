"""NVIDIA GPUs through NVML: power, energy, clocks, temperature, memory, and whether clocks are held down."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hsi_edge.acceptance.telemetry import Rail, Readings, Signal, UntoldError
from hsi_edge.errors import MissingPackageError, require

# Slow-downs by heat or power, of the hardware and of the driver; an idle GPU's low clock is none.
_HELD_DOWN = 0x04 | 0x08 | 0x20 | 0x40 | 0x80


class Nvml:
    """The GPUs that this process may see; what a GPU does not support is asked for once and left out afterwards."""

    name = "NVML"

    def __init__(self, module: Any = None) -> None:
        self._nvml = module if module is not None else _module()
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as err:
            raise UntoldError(f"NVML does not start: {err}") from err
        handles = self._visible()
        if not handles:
            self._nvml.nvmlShutdown()
            raise UntoldError("NVML finds no GPU that this process may see")
        self._handles = handles
        self._questions = {
            Signal(kind, part): partial(ask, handle)  # type: ignore[arg-type]
            for part, handle in handles.items()
            for kind, ask in self._asked().items()
        }
        told = self.read()
        self._questions = {signal: ask for signal, ask in self._questions.items() if signal in told}
        powered = {signal.part for signal in told if signal.kind in ("power_w", "energy_j")}
        self.rails: Mapping[str, Rail] = {
            part: Rail(f"the board of {part} with its memory (NVML)") for part in handles if part in powered
        }

    def facts(self) -> dict[str, str]:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        told = {"NVIDIA driver": self._text(self._nvml.nvmlSystemGetDriverVersion)}
        for part, handle in self._handles.items():
            limit = self._number(partial(self._nvml.nvmlDeviceGetEnforcedPowerLimit, handle))
            told[f"{part} power limit"] = "" if limit is None else f"{limit / 1000:.0f} W"
        return {name: text for name, text in told.items() if text}

    def read(self) -> Readings:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        told = {signal: self._number(ask) for signal, ask in self._questions.items()}
        return {signal: value for signal, value in told.items() if value is not None}

    def close(self) -> None:
        """See `hsi_edge.acceptance.telemetry.Source`."""
        self._nvml.nvmlShutdown()

    def _asked(self) -> dict[str, Callable[[Any], float]]:
        nvml = self._nvml
        reasons = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        reasons = reasons or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        return {
            "power_w": lambda gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
            "energy_j": lambda gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
            "clock_mhz": lambda gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
            "temperature_c": lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
            "gpu_bytes": lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
            "throttled": lambda gpu: float(bool(reasons(gpu) & _HELD_DOWN)),
        }

    def _visible(self) -> dict[str, Any]:
        """Handles by name. CUDA counts by its own order, so only identifiers narrow the choice."""
        wanted = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word.startswith("GPU-")]
        found = {}
        for index in range(int(self._number(self._nvml.nvmlDeviceGetCount) or 0)):
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            identifier = self._text(partial(self._nvml.nvmlDeviceGetUUID, handle))
            if not wanted or any(identifier.startswith(word) for word in wanted):
                found[f"GPU {index} {self._text(partial(self._nvml.nvmlDeviceGetName, handle))}"] = handle
        return found

    def _number(self, ask: Callable[[], Any]) -> float | None:
        try:
            return float(ask())
        except self._nvml.NVMLError:
            return None

    def _text(self, ask: Callable[[], Any]) -> str:
        try:
            text = ask()
        except self._nvml.NVMLError:
            return ""
        return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def _module() -> Any:
    try:
        return require("pynvml", feature="reading NVIDIA GPUs", extra="nvml")
    except MissingPackageError as err:
        raise UntoldError("the package nvidia-ml-py is not installed (pip install 'hsi-edge[nvml]')") from err
