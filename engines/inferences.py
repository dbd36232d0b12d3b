"""The inferences that an engine makes for a frame, and the same ones made with OpenVINO alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hsi_edge import HSIEngine
from hsi_edge.backends import BACKENDS, Float, Session, graph_precision
from hsi_edge.backends.openvino import OpenVINOBackend, float_type
from hsi_edge.bundle import Bundle
from hsi_edge.errors import require

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Inference:
    """One inference: the shape of every input (NCHW), by name and in the order of names."""

    shapes: tuple[tuple[str, Shape], ...]

    @classmethod
    def of(cls, inputs: Mapping[str, Float]) -> Inference:
        """The inference with these inputs."""
        return cls(tuple(sorted((name, array.shape) for name, array in inputs.items())))

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Inference:
        """The inverse of `plain`."""
        return cls(tuple((name, tuple(shape)) for name, shape in plain))

    def plain(self) -> list[Any]:
        """For JSON."""
        return [[name, list(shape)] for name, shape in self.shapes]

    @property
    def given(self) -> bool:
        """Whether it takes statistics, and so runs the graph of that form."""
        return any(name == "statistics" for name, _ in self.shapes)


class RecordingBackend(OpenVINOBackend):
    """Notes the inferences of its sessions."""

    inferences: ClassVar[list[Inference]] = []

    def compile(self, graph: bytes, shapes: Mapping[str, Shape]) -> Session:
        """See `hsi_edge.backends.Backend`."""
        return RecordingSession(super().compile(graph, shapes), self.inferences)


class RecordingSession:
    """Notes its inferences and passes them on."""

    def __init__(self, session: Session, inferences: list[Inference]) -> None:
        self._session = session
        self._inferences = inferences

    def run(self, inputs: Mapping[str, Float]) -> Mapping[str, Float]:
        """See `hsi_edge.backends.Session`."""
        self._inferences.append(Inference.of(inputs))
        return self._session.run(inputs)


def recorded_inferences(
    bundle: str, precision: str, pair: tuple[NDArray[np.float32], NDArray[np.uint8]]
) -> list[Inference]:
    """What an engine infers for a frame pair, in order: statistics to measure come first, then the tiles."""
    BACKENDS["recording"] = f"{__name__}:{RecordingBackend.__name__}"
    with HSIEngine(bundle, backend="recording", precision=precision) as engine:
        RecordingBackend.inferences.clear()
        engine.run(*pair)
        return list(RecordingBackend.inferences)


def bare_loop(bundle: Bundle, inferences: Sequence[Inference], precision: str) -> Callable[[], None]:
    """A function that makes the inferences with nothing around them; each has one request and one set of inputs."""
    rng = np.random.default_rng(0)
    requests = {}
    for inference in dict.fromkeys(inferences):
        inputs = {name: rng.random(shape, np.float32) for name, shape in inference.shapes}
        requests[inference] = (_request(bundle, inference, precision), inputs)
    calls = [requests[inference] for inference in inferences]

    def loop() -> None:
        for request, inputs in calls:
            request.infer(inputs, share_inputs=True, share_outputs=True)

    return loop


def _request(bundle: Bundle, inference: Inference, precision: str) -> Any:
    graph = bundle.manifest.graphs[graph_precision(precision)]
    name = graph.given if inference.given else graph.whole
    assert name is not None
    core = require("openvino", feature="the benchmark", extra="all").Core()
    model = core.read_model(io.BytesIO(bundle.read_bytes(name)))
    model.reshape({name: list(shape) for name, shape in inference.shapes})
    options = {"INFERENCE_PRECISION_HINT": float_type(precision), "PERFORMANCE_HINT": "LATENCY"}
    return core.compile_model(model, "CPU", options).create_infer_request()
