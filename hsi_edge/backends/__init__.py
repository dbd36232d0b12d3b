"""What runs a graph: one file per backend, imported on use.

A backend is opened once per engine and compiles a graph for one set of static shapes; the session runs it. To add one,
write a file with a class of `Backend`'s five members and add its name to `BACKENDS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError

Float = NDArray[np.float32]


class Session(Protocol):
    """A graph compiled for static shapes."""

    def run(self, inputs: Mapping[str, Float]) -> Mapping[str, Float]:
        """Run once. The arrays that come back are overwritten by the next run."""


class Backend(Protocol):
    """A way to run graphs on a device."""

    name: str
    precision: str
    """Of the arithmetic: `fp32` or `bf16`."""
    device: str
    """The device's own name."""

    def compile(self, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        """Compile an ONNX graph for the given input shapes (NCHW)."""

    def close(self) -> None:
        """Give back what the backend holds; sessions must not be used after it."""


BACKENDS = {
    "openvino": "hsi_edge.backends.openvino:OpenVINOBackend",
    "onnxruntime": "hsi_edge.backends.onnxruntime:ONNXRuntimeBackend",
}
"""Name to class; the first is the default."""


def open_backend(name: str | None, precision: str | None, *, bf16_allowed: bool) -> Backend:
    """Open a backend.

    Args:
        name: A name in `BACKENDS`; None for the first.
        precision: `fp32`, or `bf16` where the device has it; None for BF16 where it is native and allowed, else FP32.
        bf16_allowed: Whether the model's accuracy gate allows BF16.

    Raises:
        InputError: No such backend, or a precision that the backend, the device or the gate does not allow.
        MissingPackageError: The backend's package is not installed.
    """
    name = name or next(iter(BACKENDS))
    if name not in BACKENDS:
        raise InputError(f"there is no backend {name!r}; choose one of {', '.join(BACKENDS)}")
    module, attribute = BACKENDS[name].split(":")
    kind = getattr(importlib.import_module(module), attribute)
    native: tuple[str, ...] = kind.precisions()
    if precision is None:
        precision = "bf16" if bf16_allowed and "bf16" in native else "fp32"
    if precision not in native:
        raise InputError(f"the backend {name} on this device computes in {', '.join(native)}, not in {precision!r}")
    if precision == "bf16" and not bf16_allowed:
        raise InputError("precision 'bf16' is not allowed: this model did not pass its accuracy gate in BF16; use fp32")
    backend: Backend = kind(precision)
    return backend
