"""ONNX Runtime on the CPU: the second backend, and the reference for parity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hsi_edge.backends import Float, Session
from hsi_edge.errors import EngineLoadError, require


class ONNXRuntimeSession:
    """One inference session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """See `hsi_edge.backends.Session`."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


class ONNXRuntimeBackend:
    """Runs graphs with ONNX Runtime's CPU provider, in FP32 or, where they are quantised, in INT8."""

    name = "onnxruntime"

    def __init__(self, precision: str) -> None:
        self._runtime = _runtime()
        self.precision = precision
        self.device = "CPU"
        self.fixed = None

    @staticmethod
    def precisions() -> tuple[str, ...]:
        """FP32 and INT8: its BF16 kernels on CPUs are few, and FP16 graphs it computes in FP32."""
        _runtime()
        return ("fp32", "int8")

    def compile(self, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        """See `hsi_edge.backends.Backend`."""
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = self._runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        # Its errors have no common public base but RuntimeError and Exception itself.
        except Exception as err:
            raise EngineLoadError(f"ONNX Runtime cannot load the graph for {dict(shapes)}: {err}") from err
        return ONNXRuntimeSession(session)

    def close(self) -> None:
        """See `hsi_edge.backends.Backend`."""


def _runtime() -> Any:
    return require("onnxruntime", feature="the onnxruntime backend", extra="onnxruntime")
