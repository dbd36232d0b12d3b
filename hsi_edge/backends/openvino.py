"""OpenVINO: the default on a CPU. BF16 and INT8 where the CPU has them, static shapes, one request."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from typing import Any

from hsi_edge.backends import Float, Session
from hsi_edge.errors import EngineLoadError, require

_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
"""What OpenVINO calls each precision that a CPU may have."""


class OpenVINOSession:
    """One compiled model and its request."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = [port.get_any_name() for port in compiled.outputs]

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """See `hsi_edge.backends.Session`."""
        # share_inputs: the arrays are read in place, not copied into OpenVINO's own.
        results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return {name: results[name] for name in self._outputs}


class OpenVINOBackend:
    """Runs graphs with OpenVINO on the CPU."""

    name = "openvino"

    def __init__(self, precision: str) -> None:
        self._core = _core()
        self.precision = precision
        self.device = str(self._core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        self.fixed = None

    @staticmethod
    def precisions() -> tuple[str, ...]:
        """What this CPU computes natively; OpenVINO would emulate the rest."""
        capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return tuple(precision for precision, name in _CAPABILITIES.items() if name in capabilities)

    def compile(self, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        """See `hsi_edge.backends.Backend`."""
        options = {"INFERENCE_PRECISION_HINT": float_type(self.precision), "PERFORMANCE_HINT": "LATENCY"}
        try:
            model = self._core.read_model(io.BytesIO(graph))
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            return OpenVINOSession(self._core.compile_model(model, "CPU", options))
        except RuntimeError as err:
            raise EngineLoadError(f"OpenVINO cannot compile the graph for {dict(shapes)}: {err}") from err

    def close(self) -> None:
        """See `hsi_edge.backends.Backend`."""
        del self._core


def float_type(precision: str) -> str:
    """What OpenVINO calls the type of all that is not INT8.

    Beside quantised layers that is BF16 where the CPU has it: they gain from it as a whole graph does.
    """
    if precision == "int8":
        return "bf16" if "bf16" in OpenVINOBackend.precisions() else "f32"
    return {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[precision]


def _core() -> Any:
    return _shared_core(require("openvino", feature="the openvino backend", extra="all"))


@functools.cache
def _shared_core(openvino: Any) -> Any:
    """One for the process: with two, closed in the order of their opening, the next interrupt would crash it."""
    return openvino.Core()
