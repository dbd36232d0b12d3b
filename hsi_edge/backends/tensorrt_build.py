"""Building an engine's plan from an ONNX graph, with the three libraries of `hsi_edge.backends.tensorrt_library`.

The precision is decided in the graph: networks are strongly typed, TF32 is off. Shapes are static.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi_edge.backends.tensorrt import TensorRTEngine
from hsi_edge.backends.tensorrt_layers import check_graph, check_layers, convolution_types, layers_from_log
from hsi_edge.backends.tensorrt_library import keep, library_log, load_tensorrt, made, parsed_network, with_log
from hsi_edge.engine_store import Kind
from hsi_edge.errors import EngineLoadError, InputError
from hsi_edge.manifest import GraphPrecision

BUILD_FLAGS: Mapping[str, str | int | float | bool] = {"tf32": False}
"""What is set for every build, for the engine's facts."""

PROGRESS_STEPS = 1000

Shapes = Mapping[str, tuple[int, ...]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PlanOrder:
    """What to build.

    Attributes:
        kind: The library.
        precision: Of the graph; the build fails if a convolution does not compute in it.
        float_layers: The nodes that calibration left wider on purpose.
        capabilities: Compute capabilities to build for, ahead of time (TensorRT-RTX); empty for the GPU that is here.
        timing_cache: Where TensorRT's kernel timings are kept from one build to the next.
    """

    kind: Kind
    precision: GraphPrecision
    float_layers: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    timing_cache: Path | None = None


@dataclass(frozen=True)
class BuiltPlan:
    """A plan, and whether its compiled layers were seen to compute in the precision asked for."""

    data: bytes
    layers_checked: bool


def build_plan(graph: bytes, shapes: Shapes, order: PlanOrder, progress: Progress | None = None) -> BuiltPlan:
    """Compile an ONNX graph for static input shapes (NCHW).

    Raises:
        EngineLoadError: The library refuses the graph, the build fails, or a convolution does not compute in the
            precision asked for; with what the library's log says.
        InputError: A compute capability that this library does not build for.
        MissingPackageError: The library is not installed.
    """
    trt = load_tensorrt(order.kind)
    log = library_log(trt)
    log.clear()
    builder = made(order.kind, trt.Builder, log)
    network, _parser = parsed_network(trt, builder, graph)
    types = convolution_types(trt, network)
    check_graph(types, order.precision, order.float_layers)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    if config.add_optimization_profile(_profile(builder, network, shapes)) < 0:
        raise with_log(f"{order.kind} does not take the input shapes {dict(shapes)}", log)
    if order.kind == "tensorrt-rtx":
        _set_capabilities(trt, config, order.capabilities)
    else:
        _start_timings(config, order.timing_cache)
    with _interruption_noted(monitor):
        data = builder.build_serialized_network(network, config)
    if monitor.failure is not None:
        raise monitor.failure
    if data is None:
        raise with_log(f"{order.kind} {trt.__version__} cannot build the engine", log)
    if order.kind == "tensorrt" and order.timing_cache is not None:
        keep(order.timing_cache, bytes(config.get_timing_cache().serialize()), "kernel timings")
    if progress is not None:
        progress(PROGRESS_STEPS, PROGRESS_STEPS)
    return BuiltPlan(bytes(data), _check_compiled(types, bytes(data), shapes, order, log))


def buildable_capabilities() -> tuple[str, ...]:
    """The compute capabilities that the TensorRT-RTX installed here builds for, such as `8.6`."""
    names = load_tensorrt("tensorrt-rtx").ComputeCapability.__members__
    return tuple(f"{name[2:-1]}.{name[-1]}" for name in names if name.startswith("SM"))


def _profile(builder: Any, network: Any, shapes: Shapes) -> Any:
    profile = builder.create_optimization_profile()
    inputs = {network.get_input(index).name: network.get_input(index) for index in range(network.num_inputs)}
    if set(inputs) != set(shapes):
        raise EngineLoadError(
            f"the graph takes {', '.join(inputs) or 'nothing'}; shapes were given for {', '.join(shapes)}"
        )
    for name, shape in shapes.items():
        declared = tuple(inputs[name].shape)
        fits = len(declared) == len(shape) and all(side in (-1, own) for side, own in zip(declared, shape, strict=True))
        if not fits:
            raise EngineLoadError(f"the graph takes {name} as {declared}, -1 being any; {tuple(shape)} was given")
        profile.set_shape(name, shape, shape, shape)
    return profile


def _set_capabilities(trt: Any, config: Any, capabilities: tuple[str, ...]) -> None:
    known = trt.ComputeCapability.__members__
    names = [f"SM{capability.replace('.', '')}" for capability in capabilities] or ["CURRENT"]
    if not set(names) <= known.keys():
        raise InputError(
            f"TensorRT-RTX {trt.__version__} does not build for {', '.join(capabilities)}; it builds for "
            f"{', '.join(buildable_capabilities())}"
        )
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        config.set_compute_capability(known[name], index)


def _start_timings(config: Any, path: Path | None) -> None:
    if path is None:
        return
    known = b""
    with suppress(OSError):
        known = path.read_bytes()
    # One of another GPU or version is refused.
    if not config.set_timing_cache(config.create_timing_cache(known), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _check_compiled(types: Mapping[str, str], plan: bytes, shapes: Shapes, order: PlanOrder, log: Any) -> bool:
    if not order.capabilities:
        engine = TensorRTEngine(order.kind, plan, shapes)
        check_layers(types, engine.layers())
        engine.close()
        return True
    # Nothing here can open what was built for another GPU; what the builder listed will do.
    layers = layers_from_log(log.layers)
    if layers:
        check_layers(types, layers)
    return bool(layers)


@contextmanager
def _interruption_noted(monitor: Any) -> Iterator[None]:
    """Let Ctrl-C cancel the build: raised in one of its callbacks, it would be lost."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: monitor.fail(KeyboardInterrupt()))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _monitor(trt: Any, progress: Progress | None) -> Any:
    """Turns nested phases of known steps into one growing number, and a failure on this side into a cancelled build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        failure: BaseException | None = None

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases: dict[str, tuple[str | None, int, int]] = {}
            self._shown = 0

        def fail(self, failure: BaseException) -> None:
            self.failure = failure

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._phases[phase] = (parent, steps, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            parent, steps, _ = self._phases[phase]
            self._phases[phase] = (parent, steps, step + 1)
            try:
                self._show(phase)
            except BaseException as err:
                self.failure = err
            return self.failure is None

        def phase_finish(self, phase: str) -> None:
            self._phases.pop(phase, None)

        def _show(self, phase: str | None) -> None:
            share = 0.0
            while phase is not None and phase in self._phases:
                phase, steps, done = self._phases[phase]
                share = min(1.0, (done + share) / max(steps, 1))
            # Several phases run below one parent; the number never falls.
            self._shown = max(self._shown, int(share * PROGRESS_STEPS))
            if progress is not None:
                progress(self._shown, PROGRESS_STEPS)

    return Monitor()
