"""Engines of TensorRT 10, TensorRT 11 and TensorRT-RTX on an NVIDIA GPU (`hsi_edge.backends.tensorrt_library`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hsi_edge.backends import FixedSizes, Session
from hsi_edge.backends.tensorrt_layers import CompiledLayer, check_layers, convolution_types, layers_from_json
from hsi_edge.backends.tensorrt_library import keep, library_log, load_tensorrt, made, parsed_network, with_log
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.session import DeviceSession
from hsi_edge.device_facts import cache_folder
from hsi_edge.engine_store import EngineFacts, Form, Kind, StoredEngine
from hsi_edge.errors import DeviceLostError, EngineLoadError


class TensorRTEngine:
    """A plan on the current GPU; a `hsi_edge.cuda.engine.DeviceEngine`.

    Args:
        kind: The library.
        plan: Bytes that were checked to be the ones that were built.
        shapes: Of the inputs, as the plan was built for.
        runtime_cache: Where compiled kernels are kept from one start to the next (TensorRT-RTX).

    Attributes:
        shapes: Of every input and output, NCHW; all are float32 on the device.
        workspace_bytes: Device memory that it takes beside its weights, inputs and outputs.

    Raises:
        EngineLoadError: The library does not take the plan; with what its log says.
    """

    def __init__(
        self, kind: Kind, plan: bytes, shapes: Mapping[str, tuple[int, ...]], runtime_cache: Path | None = None
    ) -> None:
        self._trt = trt = load_tensorrt(kind)
        self._log = log = library_log(trt)
        log.clear()
        self._runtime = made(kind, trt.Runtime, log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise with_log(f"{kind} {trt.__version__} does not load the engine", log)
        self._cache = _RuntimeCache(runtime_cache) if kind == "tensorrt-rtx" else None
        self._context = self._create_context()
        if self._context is None:
            raise with_log(f"{kind} {trt.__version__} cannot make the engine ready to run", log)
        self.shapes = self._settle_shapes(shapes)
        self.workspace_bytes = int(self._engine.device_memory_size_v2)
        self._addresses: dict[str, int] = {}

    def _create_context(self) -> Any:
        if self._cache is None:
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        # The whole tile loop is captured by the caller.
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.DISABLED
        self._cache.attach(config)
        return self._engine.create_execution_context(config)

    def _settle_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        engine, context, trt = self._engine, self._context, self._trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        if set(inputs) != set(shapes):
            raise EngineLoadError(f"the engine takes {', '.join(inputs)}; its facts say {', '.join(shapes)}")
        odd = [name for name in names if engine.get_tensor_dtype(name) != trt.DataType.FLOAT]
        if odd:
            raise EngineLoadError(f"the engine's {', '.join(odd)} is not float32; its graph was not made for this SDK")
        for name in inputs:
            if not context.set_input_shape(name, shapes[name]):
                raise with_log(f"the engine does not run at {name} {shapes[name]}", self._log)
        return {name: tuple(int(side) for side in context.get_tensor_shape(name)) for name in names}

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run on a stream; it has not happened yet when this returns.

        Args:
            addresses: Device pointers of every input and output, by name, dense in the order of their shape.
            stream: A CUDA stream's handle.

        Raises:
            EngineLoadError: The library refuses; with what its log says.
        """
        self._log.clear()
        for name, address in addresses.items():
            if self._addresses.get(name) == address:
                continue
            if not self._context.set_tensor_address(name, address):
                raise with_log(f"the engine takes no address for {name}", self._log)
            self._addresses[name] = address
        if not self._context.execute_async_v3(stream):
            raise with_log("the engine failed to run", self._log)

    def layers(self) -> list[CompiledLayer]:
        """What was compiled, layer by layer."""
        inspector = self._engine.create_engine_inspector()
        return layers_from_json(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def close(self) -> None:
        """Free the GPU's memory, and keep the compiled kernels for the next start. A second call does nothing."""
        if self._context is None:
            return
        if self._cache is not None:
            self._cache.save()
        # In this order: an engine must outlive its contexts, a runtime its engines.
        self._context = None
        self._engine = None
        self._runtime = None


class _RuntimeCache:
    """The kernels that TensorRT-RTX compiled on this device, in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = b""
        self._cache: Any = None

    def attach(self, config: Any) -> None:
        self._cache = config.create_runtime_cache()
        if self._path is not None:
            with suppress(OSError):
                self._known = self._path.read_bytes()
        # One of another GPU, driver or version is refused, which leaves the new one empty.
        if self._known:
            self._cache.deserialize(self._known)
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        blob = self._cache.serialize()
        if self._path is None or blob is None or bytes(blob) == self._known:
            return
        keep(self._path, bytes(blob), "compiled kernels")


class TensorRTBackend:
    """Runs the graphs that one stored engine was built from; see `hsi_edge.backends.Backend`.

    Args:
        stored: An engine that is valid here (`hsi_edge.engine_choice`).
        cuda: The GPU, which stays open when this is closed; None for one of its own.

    Attributes:
        cuda: The GPU.

    Raises:
        EngineLoadError: There is no GPU to be used.
        MissingPackageError: cuda-bindings is not installed.
    """

    def __init__(self, stored: StoredEngine, cuda: Cuda | None = None) -> None:
        self.name: str = stored.facts.backend
        self.precision: str = stored.facts.precision
        self.fixed: FixedSizes = _fixed_sizes(stored.facts)
        self.cuda = Cuda() if cuda is None else cuda
        self.device = self.cuda.name
        self._owns_cuda = cuda is None
        self._stored = stored
        self._engines: dict[Form, TensorRTEngine] = {}
        self._sessions: list[DeviceSession] = []

    def compile(self, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        """Load the plan that was built of this graph for these shapes, to run it on images of the host.

        Raises:
            EngineLoadError: There is none, it was altered, it does not load, or its layers do not compute as asked.
        """
        session = DeviceSession(self.engine(graph, shapes), self.cuda)
        self._sessions.append(session)
        return session

    def engine(self, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> TensorRTEngine:
        """The same for a `hsi_edge.cuda.pipeline.DevicePipeline`; loaded once, and closed with this backend."""
        form = self._form(hashlib.sha256(graph).hexdigest(), shapes)
        if form not in self._engines:
            with self.cuda.active():
                self._engines[form] = self._loaded(form, graph, shapes)
        return self._engines[form]

    def _loaded(self, form: Form, graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> TensorRTEngine:
        facts = self._stored.facts
        kernels = cache_folder() / "kernels" / f"{facts.plans[form].sha256[:24]}.cache"
        engine = TensorRTEngine(facts.backend, self._stored.read_plan(form), shapes, kernels)
        if not facts.layers_checked:
            trt = load_tensorrt(facts.backend)
            parsed = parsed_network(trt, made(facts.backend, trt.Builder, library_log(trt)), graph)
            try:
                check_layers(convolution_types(trt, parsed.network), engine.layers())
            except EngineLoadError:
                engine.close()
                raise
        return engine

    def _form(self, graph_sha256: str, shapes: Mapping[str, tuple[int, ...]]) -> Form:
        name = self._stored.folder.name
        for form, plan in self._stored.facts.plans.items():
            if plan.graph_sha256 != graph_sha256:
                continue
            if dict(plan.shapes) != {key: tuple(shape) for key, shape in shapes.items()}:
                raise EngineLoadError(
                    f"the engine {name} runs {form} at {_in_words(plan.shapes)}; {_in_words(shapes)} was asked for: "
                    "build one for that tile with hsi-edge build"
                )
            return form
        raise EngineLoadError(f"the engine {name} was built of another graph; build it anew with hsi-edge build")

    def close(self) -> None:
        """Free what its engines and sessions hold; they must not be used after it."""
        with ExitStack() as stack:
            # A lost GPU takes no calls, but its library must still let go of it.
            with suppress(DeviceLostError):
                stack.enter_context(self.cuda.active())
            # In this order: a session uses its engine.
            while self._sessions:
                self._sessions.pop().close()
            while self._engines:
                self._engines.popitem()[1].close()
        if self._owns_cuda:
            self.cuda.close()


def _fixed_sizes(facts: EngineFacts) -> FixedSizes:
    if "given" not in facts.plans:
        return FixedSizes(facts.tile_lr)
    # Of each image, the sample has as many pixels per LR pixel as the tile.
    name, sample = next(iter(facts.plans["whole"].shapes.items()))
    tile = facts.plans["given"].shapes[name]
    rows, cols = (sample[axis] * facts.tile_lr[axis - 2] // tile[axis] for axis in (2, 3))
    return FixedSizes(facts.tile_lr, (rows, cols))


def _in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {'x'.join(str(side) for side in shape)}" for name, shape in shapes.items())
