"""What runs a graph: one file per backend, imported on use.

A backend is opened once per engine and compiles a graph for one set of static shapes; the session runs it. Those in
`BACKENDS` compile where they run; to add one, write a file with a class of `Backend`'s members and add its name.
Those in `ENGINE_BACKENDS` run engines that were built before (`hsi_edge.engine_store`).
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard, get_args

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.manifest import GraphPrecision, Manifest

Float = NDArray[np.float32]


@dataclass(frozen=True)
class FixedSizes:
    """The only sizes that a backend runs, as its engine was built for them, in LR pixels.

    Attributes:
        tile_lr: Rows and columns of a tile with its halo.
        sample_lr: Those of the sample that the frame's statistics are measured on; None where tiles take none.
    """

    tile_lr: tuple[int, int]
    sample_lr: tuple[int, int] | None = None


class Session(Protocol):
    """A graph compiled for static shapes."""

    def run(self, inputs: Mapping[str, Float]) -> Mapping[str, Float]:
        """Run once. The arrays that come back are overwritten by the next run."""


class Backend(Protocol):
    """A way to run graphs on a device."""

    name: str
    precision: str
    """Of the arithmetic: `fp32`, `bf16`, `fp16` or `int8`; see `graph_precision`."""
    device: str
    """The device's own name."""

    @property
    def fixed(self) -> FixedSizes | None:
        """The only sizes that it runs; None where it compiles for any."""

    def compile(self, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        """Compile an ONNX graph for the given input shapes (NCHW)."""

    def close(self) -> None:
        """Give back what the backend holds; sessions must not be used after it."""


BACKENDS = {
    "openvino": "hsi_edge.backends.openvino:OpenVINOBackend",
    "onnxruntime": "hsi_edge.backends.onnxruntime:ONNXRuntimeBackend",
}
"""Name to class; the first is the default."""
EngineBackend = Literal["tensorrt", "tensorrt-rtx"]
ENGINE_BACKENDS: tuple[EngineBackend, ...] = get_args(EngineBackend)


def is_engine_backend(name: str) -> TypeGuard[EngineBackend]:
    """Whether a backend runs engines that were built before."""
    return name in ENGINE_BACKENDS


def graph_precision(precision: str) -> GraphPrecision:
    """Which of a bundle's graphs a precision of arithmetic runs: BF16 is arithmetic alone."""
    return "fp16" if precision == "fp16" else "int8" if precision == "int8" else "fp32"


def allowed_precisions(manifest: Manifest) -> tuple[str, ...]:
    """What the model's accuracy gates allow: FP32, BF16 if it passed, and every graph that the bundle carries."""
    wide = ("fp32", "bf16") if manifest.precision.bf16 else ("fp32",)
    return (*wide, *(precision for precision in manifest.graphs if precision != "fp32"))


def open_backend(name: str | None, precision: str | None, allowed: Collection[str] = ("fp32",)) -> Backend:
    """Open a backend that compiles where it runs.

    Args:
        name: A name in `BACKENDS`; None for the first.
        precision: Of the arithmetic; None for BF16 where it is native and allowed, else FP32.
        allowed: What the model's accuracy gates allow.

    Raises:
        InputError: No such backend, or a precision that the backend, the device or the gate does not allow.
        MissingPackageError: The backend's package is not installed.
    """
    name = name or next(iter(BACKENDS))
    if name not in BACKENDS:
        raise InputError(f"there is no backend {name!r}; choose one of {', '.join((*BACKENDS, *ENGINE_BACKENDS))}")
    native = native_precisions(name)
    if precision is None:
        precision = "bf16" if "bf16" in allowed and "bf16" in native else "fp32"
    if precision not in native:
        raise InputError(f"the backend {name} on this device computes in {', '.join(native)}, not in {precision!r}")
    if precision not in allowed:
        raise InputError(
            f"precision {precision!r} is not allowed: this model did not pass its accuracy gate in "
            f"{precision.upper()}; use {' or '.join(allowed)}"
        )
    backend: Backend = _kind(name)(precision)
    return backend


def native_precisions(name: str) -> tuple[str, ...]:
    """What a backend in `BACKENDS` computes on this device without emulating it.

    Raises:
        MissingPackageError: The backend's package is not installed.
    """
    native: tuple[str, ...] = _kind(name).precisions()
    return native


def _kind(name: str) -> Any:
    module, attribute = BACKENDS[name].split(":")
    return getattr(importlib.import_module(module), attribute)
