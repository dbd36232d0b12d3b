"""TensorRT 10, TensorRT 11 and TensorRT-RTX: compiled engines on NVIDIA GPUs, one path for all three.

Their Python modules are one API. Where they differ, so does this code, and nowhere else:

| | TensorRT 10 (JetPack 6, 7) | TensorRT 11 (JetPack 7.2.2) | TensorRT-RTX 1.7 |
|---|---|---|---|
| module | `tensorrt` | `tensorrt` | `tensorrt_rtx_bindings` |
| networks | strongly typed by flag `STRONGLY_TYPED` | always; the flag is ignored | always; likewise |
| builds for | the GPU that it runs on | the same | any of `ComputeCapability`, no GPU needed |
| remembers | timings, in the builder (`ITimingCache`) | the same | kernels, at run time (`IRuntimeCache`) |
| layers as JSON | `Format/Datatype` | `Datatype` | `Datatype` |

What was seen of TensorRT-RTX 1.7.1 on a machine without a GPU or driver, and is taken to hold for TensorRT 10 and 11:

- A failure is None (or False, or -1) with lines in the log, never an exception: of `build_serialized_network`, of
  `deserialize_cuda_engine` (a whole plan: "cudaError 35: CUDA driver version is insufficient"; a truncated one:
  "Serialization assertion plan.header.size == blobSize failed"). An empty graph parses.
- Only the first logger of a process is used; each later one is ignored with a warning. So there is one per library.
- What a callback (logger, progress monitor) raises is printed and swallowed; a monitor that returns False cancels.
- `TF32` is on by default, and would give FP32 graphs a mantissa of 10 bits.
- The timing cache is there, does nothing, and warns of its end.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hsi_edge.backends.tensorrt_layers import LAYER_LIST
from hsi_edge.engine_store import Kind
from hsi_edge.errors import EngineLoadError, MissingPackageError, OutputError, require
from hsi_edge.io.atomic import atomic_path

MODULES: Mapping[Kind, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}

_log = logging.getLogger(__name__)


def load_tensorrt(kind: Kind) -> Any:
    """The library's module.

    Raises:
        MissingPackageError: It cannot be imported; says how to get it.
    """
    if kind == "tensorrt-rtx":
        return require(MODULES[kind], feature="the tensorrt-rtx backend", extra="rtx")
    try:
        return importlib.import_module(MODULES[kind])
    except ImportError as err:
        raise MissingPackageError(
            f"the tensorrt backend needs the package 'tensorrt', which cannot be imported ({err}). JetPack brings it: "
            "sudo apt install python3-libnvinfer, and make the environment with --system-site-packages; elsewhere: "
            "pip install tensorrt"
        ) from err


@functools.cache
def library_log(trt: Any) -> Any:
    """The one logger of a library in this process.

    Attributes of it:
        lines: The warnings and errors since `clear`, each once.
        layers: The list of compiled layers that the last build wrote, or nothing.
    """

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.clear()

        def clear(self) -> None:
            self.lines: dict[str, None] = {}
            self.layers = ""

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.WARNING:
                self.lines[" ".join(text.split())] = None
            elif text.startswith(LAYER_LIST):
                self.layers = text

    return Log()


def with_log(what: str, log: Any) -> EngineLoadError:
    """An error that says what failed, and what the library said about it."""
    return EngineLoadError(f"{what}; it says: {' | '.join(log.lines) or 'nothing'}")


def made(kind: Kind, factory: Any, log: Any) -> Any:
    """A library's `Builder` or `Runtime`; where CUDA cannot be initialised, TensorRT's own constructor fails."""
    try:
        return factory(log)
    except TypeError as err:
        # pybind11's word for a factory that returned nothing.
        raise with_log(f"{kind} cannot start its {factory.__name__} on this machine ({err})", log) from err


class ParsedNetwork(NamedTuple):
    """A network, and its parser, which owns the weights and must live until the network is built."""

    network: Any
    parser: Any


def parsed_network(trt: Any, builder: Any, graph: bytes) -> ParsedNetwork:
    """An ONNX graph as a strongly typed network.

    Raises:
        EngineLoadError: The library does not read it; with every error of its parser.
    """
    # Without the flag TensorRT 10 would choose the precision itself.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, library_log(trt))
    if not parser.parse(graph):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        words = [f"{_at(error)}{' '.join(error.desc().split())}" for error in errors]
        raise EngineLoadError(f"{trt.__name__} {trt.__version__} does not read the graph: {' | '.join(words)}")
    return ParsedNetwork(network, parser)


def _at(error: Any) -> str:
    return f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""


def keep(path: Path, data: bytes, what: str) -> None:
    """Write a file of the cache; where that is not possible, say so and go on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_bytes(data)
    except (OSError, OutputError) as err:
        _log.warning("%s cannot be kept, so they are made at each start: %s", what, err)
