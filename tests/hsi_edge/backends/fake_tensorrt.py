"""TensorRT 10, 11 and TensorRT-RTX without a GPU: their Python API as far as the backend uses it.

It behaves as the real libraries do: failures are None, False or -1 with lines in the log, only the first logger of a
process is used, what a callback raises is swallowed. What was recorded of TensorRT-RTX 1.7.1 on a machine without a GPU
is compared with the real module in `test_tensorrt_fake.py`; 10 and 11 follow NVIDIA's documentation of their API.

A plan is JSON. A run computes the graph with ONNX Runtime at host addresses, in place of device pointers.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import sys
import warnings
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

VARIANTS = {
    "10": ("tensorrt", "10.3.0"),
    "11": ("tensorrt", "11.1.0.106"),
    "rtx": ("tensorrt_rtx_bindings", "1.7.1.116"),
}
"""Name of the module and version, by variant."""
KINDS = {"10": "tensorrt", "11": "tensorrt", "rtx": "tensorrt-rtx"}

NO_DRIVER = "cudaError 35: CUDA driver version is insufficient for CUDA runtime version"


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity
    Severity = Severity


class IProgressMonitor:
    pass


def enum(name: str, **members: int) -> type[IntEnum]:
    return IntEnum(name, members)


LayerType = enum("LayerType", CONVOLUTION=0, CAST=1, ACTIVATION=2, DECONVOLUTION=7, QUANTIZE=32, DEQUANTIZE=33)
DataType = enum("DataType", FLOAT=0, HALF=1, INT8=2, INT32=3, BF16=7, INT64=8)
TensorIOMode = enum("TensorIOMode", NONE=0, INPUT=1, OUTPUT=2)
ComputeCapability = enum(
    "ComputeCapability", NONE=0, CURRENT=1, SM75=75, SM80=80, SM86=86, SM89=89, SM120=120, SM121=121
)

_TYPES = {
    TensorProto.FLOAT: DataType.FLOAT,
    TensorProto.FLOAT16: DataType.HALF,
    TensorProto.INT8: DataType.INT8,
    TensorProto.INT64: DataType.INT64,
    TensorProto.INT32: DataType.INT32,
}
_LAYERS = {
    "Conv": LayerType.CONVOLUTION,
    "ConvTranspose": LayerType.DECONVOLUTION,
    "QuantizeLinear": LayerType.QUANTIZE,
    "DequantizeLinear": LayerType.DEQUANTIZE,
    "Cast": LayerType.CAST,
}
_WORDS = {DataType.FLOAT: ("Float", "FP32"), DataType.HALF: ("Half", "FP16"), DataType.INT8: ("Int8", "Int8")}


class HostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


def make_tensorrt(variant: str, *, gpu: bool = True) -> ModuleType:
    """A module that behaves as one of `VARIANTS`; it also has `fake`, to make it fail.

    Attributes of `fake`:
        gpu: Whether there is one.
        build_error, context_error, run_error: What the log says when that step fails; None for success.
        compiled: Types that the builder takes instead of those that the graph asks for, by the convolution's name.
        lists_layers: Whether the builder's log lists the compiled layers (RTX).
        log: The registered logger, once there is one.
        timings, kernels: What was given to `create_timing_cache` and `IRuntimeCache.deserialize`.
        cuda_graph: What the run-time configuration said.
        put: Puts a run into a stream; at once, unless a `HostCuda` does it.
    """
    name, version = VARIANTS[variant]
    trt = ModuleType(name)
    trt.__version__ = version
    trt.fake = SimpleNamespace(
        gpu=gpu,
        build_error=None,
        context_error=None,
        run_error=None,
        compiled={},
        lists_layers=True,
        log=None,
        timings=[],
        kernels=[],
        cuda_graph=None,
        put=lambda work, stream: work(),
    )
    trt.ILogger, trt.IProgressMonitor = ILogger, IProgressMonitor
    trt.LayerType, trt.DataType, trt.TensorIOMode = LayerType, DataType, TensorIOMode
    trt.ProfilingVerbosity = enum("ProfilingVerbosity", LAYER_NAMES_ONLY=0, NONE=1, DETAILED=2)
    trt.LayerInformationFormat = enum("LayerInformationFormat", ONELINE=0, JSON=1)
    flags = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1} if variant == "10" else {"STRONGLY_TYPED": 0}
    trt.NetworkDefinitionCreationFlag = enum("NetworkDefinitionCreationFlag", **flags)
    # TensorRT 11 removed the flags that change the precision.
    weak = {"FP16": 0, "INT8": 1} if variant == "10" else {}
    trt.BuilderFlag = enum("BuilderFlag", **weak, REFIT=4, TF32=7 if variant == "10" else 6)
    trt.Builder = type("Builder", (_Builder,), {"trt": trt, "variant": variant})
    trt.OnnxParser = type("OnnxParser", (_OnnxParser,), {"trt": trt})
    trt.Runtime = type("Runtime", (_Runtime,), {"trt": trt, "variant": variant})
    if variant == "rtx":
        trt.ComputeCapability = ComputeCapability
        trt.CudaGraphStrategy = enum("CudaGraphStrategy", DISABLED=0, WHOLE_GRAPH_CAPTURE=1)
    return trt


def install(monkeypatch: pytest.MonkeyPatch, variant: str, *, gpu: bool = True) -> ModuleType:
    """Put such a module in the place of the real one for a test."""
    trt = make_tensorrt(variant, gpu=gpu)
    monkeypatch.setitem(sys.modules, trt.__name__, trt)
    return trt


def _register(trt: ModuleType, logger: ILogger) -> None:
    if trt.fake.log is None:
        trt.fake.log = logger
    elif trt.fake.log is not logger:
        _say(trt, Severity.WARNING, "The logger passed into createInferBuilder differs from one already registered")


def _say(trt: ModuleType, severity: Severity, text: str) -> None:
    with contextlib.suppress(BaseException):
        trt.fake.log.log(severity, text)


class _Builder:
    trt: ModuleType
    variant: str

    def __init__(self, logger: ILogger) -> None:
        _register(self.trt, logger)
        # TensorRT needs its GPU from the start; TensorRT-RTX only to build for it.
        if self.variant != "rtx" and not self.trt.fake.gpu:
            _say(self.trt, Severity.ERROR, f"CUDA initialization failure ({NO_DRIVER})")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> _Network:
        strongly = self.variant != "10" or bool(flags & 1 << self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return _Network(strongly)

    def create_builder_config(self) -> _Config:
        kind = {"rtx": _RTXConfig}.get(self.variant, _Config)
        return kind(self.trt)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> HostMemory | None:
        error = self.trt.fake.build_error or self._refusal(network, config)
        if error is None and not _report_progress(config.progress_monitor):
            error = "Error Code 7: BuildCanceled (Build canceled by user)"
        if error is not None:
            _say(self.trt, Severity.ERROR, f"IBuilder::buildSerializedNetwork: {error}")
            return None
        layers = [_compiled(layer, self.trt.fake.compiled, network.strongly) for layer in network.convolutions()]
        if self.variant == "rtx" and self.trt.fake.lists_layers:
            _say(self.trt, Severity.VERBOSE, "Layers:\n" + "\n".join(_as_text(*layer) for layer in layers))
        plan = {
            "version": self.trt.__version__,
            "graph": base64.b64encode(network.graph).decode(),
            "shapes": config.profiles[0].shapes,
            "layers": [_as_json(self.variant, *layer) for layer in layers],
            "detailed": config.profiling_verbosity == self.trt.ProfilingVerbosity.DETAILED,
            "tf32": "TF32" in config.flags,
            "capabilities": getattr(config, "capabilities", []),
        }
        return HostMemory(json.dumps(plan).encode())

    def _refusal(self, network: _Network, config: _Config) -> str | None:
        if not network.graph:
            return "Error Code 4: API Usage Error (Network must have at least one output.)"
        if not config.profiles:
            return "Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no optimization profile)"
        if ComputeCapability.CURRENT in getattr(config, "capabilities", []) and not self.trt.fake.gpu:
            return f"Error Code 1: Cuda Runtime (In generateForCurrent ({NO_DRIVER}))"
        return None


def _report_progress(monitor: IProgressMonitor | None) -> bool:
    """Two phases, one within the other; False where the user cancels."""
    if monitor is None:
        return True
    try:
        monitor.phase_start("Building engine", None, 2)
        going = monitor.step_complete("Building engine", 0)
        monitor.phase_start("Optimizing graph", "Building engine", 4)
        for step in range(4):
            going = going and monitor.step_complete("Optimizing graph", step)
        monitor.phase_finish("Optimizing graph")
        going = going and monitor.step_complete("Building engine", 1)
        monitor.phase_finish("Building engine")
    except BaseException:
        return False
    return going


class _Config:
    def __init__(self, trt: ModuleType) -> None:
        self._trt = trt
        self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.progress_monitor: IProgressMonitor | None = None
        self.flags = {"TF32"}
        self.profiles: list[_Profile] = []
        self._cache: _TimingCache | None = None

    def clear_flag(self, flag: IntEnum) -> None:
        self.flags.discard(flag.name)

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> _TimingCache:
        self._trt.fake.timings.append(data)
        return _TimingCache(data)

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        if cache.data not in (b"", b"timings"):
            _say(self._trt, Severity.WARNING, "The timing cache will not be used, it was made on another device")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> _TimingCache | None:
        return self._cache


class _RTXConfig(_Config):
    num_compute_capabilities = 0

    def __init__(self, trt: ModuleType) -> None:
        super().__init__(trt)
        self.capabilities: list[int] = []

    def set_compute_capability(self, capability: IntEnum, index: int) -> bool:
        if index >= self.num_compute_capabilities or capability == ComputeCapability.NONE:
            return False
        self.capabilities.append(int(capability))
        return True

    def create_timing_cache(self, data: bytes) -> _TimingCache:
        warnings.warn("Timing cache operations are no-ops in TensorRT-RTX.", DeprecationWarning, stacklevel=2)
        return super().create_timing_cache(data)


class _TimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> HostMemory:
        return HostMemory(b"timings")


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, least: tuple[int, ...], best: tuple[int, ...], most: tuple[int, ...]) -> None:
        assert least == best == most, "the backend builds for static shapes"
        self.shapes[name] = tuple(best)


class _Network:
    """What the parser made; layers of kinds that no test looks at are activations."""

    def __init__(self, strongly: bool) -> None:
        self.strongly = strongly
        self.graph = b""
        self._inputs: list[SimpleNamespace] = []
        self._layers: list[_Layer] = []

    def read(self, graph: bytes) -> None:
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True)
        self.graph = graph
        values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
        types = {value.name: _TYPES[value.type.tensor_type.elem_type] for value in values}
        constants = {value.name: _TYPES[value.data_type] for value in model.graph.initializer}
        self._inputs = [
            SimpleNamespace(
                name=value.name,
                dtype=types[value.name],
                shape=tuple(side.dim_value or -1 for side in value.type.tensor_type.shape.dim),
            )
            for value in model.graph.input
        ]
        self._layers = [_Layer(node, types, constants) for node in model.graph.node]

    def convolutions(self) -> list[_Layer]:
        wanted = (LayerType.CONVOLUTION, LayerType.DECONVOLUTION)
        producers = {layer.get_output(0).name: layer for layer in self._layers}
        found = [layer for layer in self._layers if layer.type in wanted]
        for layer in found:
            maker = producers.get(layer.get_input(0).name)
            layer.quantized = maker is not None and maker.type == LayerType.DEQUANTIZE
        return found

    num_inputs = property(lambda self: len(self._inputs))
    num_layers = property(lambda self: len(self._layers))

    def get_input(self, index: int) -> SimpleNamespace:
        return self._inputs[index]

    def get_layer(self, index: int) -> _Layer:
        return self._layers[index]


class _Layer:
    quantized = False

    def __init__(self, node: onnx.NodeProto, types: dict, constants: dict) -> None:
        self.name = node.name or f"node_of_{node.output[0]}"
        self.type = _LAYERS.get(node.op_type, LayerType.ACTIVATION)
        # Constant weights of a convolution are no inputs of its layer.
        inputs = [name for name in node.input if name in types or (name in constants and self.type > 7)]
        self._inputs = [SimpleNamespace(name=name, dtype=types.get(name, constants.get(name))) for name in inputs]
        self._outputs = [SimpleNamespace(name=name, dtype=types[name]) for name in node.output if name in types]

    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))

    def get_input(self, index: int) -> SimpleNamespace:
        return self._inputs[index]

    def get_output(self, index: int) -> SimpleNamespace:
        return self._outputs[index]


def _compiled(layer: _Layer, compiled: dict, strongly: bool) -> tuple[str, DataType]:
    asked = DataType.INT8 if layer.quantized else layer.get_input(0).dtype
    # A weakly typed network without precision flags is compiled in FP32, whatever the graph says.
    return layer.name, compiled.get(layer.name, asked if strongly else DataType.FLOAT)


def _as_json(variant: str, name: str, kind: DataType) -> dict:
    datatype, short = _WORDS[kind]
    common = {"Name": f"{name}_myl0_1", "Metadata": f"[ONNX Layer: {name}]\x1f[ONNX Layer: after_{name}]"}
    if variant == "10":
        tensor = {"Name": "in", "Dimensions": [1, 4, 8, 8], "Format/Datatype": f"Row major linear {short} format"}
        return common | {"LayerType": "CaskConvolution", "Inputs": [tensor], "Weights": {"Type": datatype, "Count": 9}}
    constants = [
        {"Name": "scale", "Dimensions": [1, 4, 1, 1], "Datatype": "Float", "Format": "(NHWC) Channel major format"},
        {"Name": "w", "Dimensions": [4, 4, 3, 3], "Datatype": datatype, "Format": "(NHWC) Channel major format"},
    ]
    tensor = {"Name": "in", "Dimensions": [1, 4, 8, 8], "Datatype": datatype, "Format": "(NHWC) Channel major format"}
    return common | {"LayerType": "correlation", "Inputs": [tensor], "Constants": constants}


def _as_text(name: str, kind: DataType) -> str:
    """A line as TensorRT-RTX 1.7.1 wrote it into its log."""
    word = _WORDS[kind][0]
    end = f"Datatype: {word}, Format: (NHWC) Channel major format }}"
    return (
        f"Name: {name}_myl0_1, LayerType: correlation, "
        "Inputs: [ { Name: __myln_k_arg__bb1_3_myl0, Dimensions: [1,8,16,16], Strides: [2048,1,128,8], "
        f"StrideOrder: [3,0,2,1], {end}], "
        "Constants: [ { Name: __mye124dconst_myl0, Dimensions: [16,8,3,3], Strides: [72,1,24,8], "
        f"StrideOrder: [3,0,2,1], {end}, {{ Name: __mye164_const_myl0, Dimensions: [1], Strides: [1], "
        "StrideOrder: [0], Datatype: Float, Format: (Linear) Row major linear format }], "
        "Outputs: [ { Name: __myln_k_arg__bb1_5_myl0, Dimensions: [1,16,16,16], Strides: [4096,1,256,16], "
        f"StrideOrder: [3,0,2,1], {end}], TacticName: __myelin_CASK_STUB, StreamId: 0, "
        f"Metadata: [ONNX Layer: {name}]\x1f[ONNX Layer: after_{name}]"
    )


class _OnnxParser:
    trt: ModuleType

    def __init__(self, network: _Network, logger: ILogger) -> None:
        _register(self.trt, logger)
        self._network = network
        self._errors: list[_ParserError] = []

    def parse(self, graph: bytes) -> bool:
        if not graph:
            return True
        try:
            nodes = onnx.load_from_string(graph).graph.node
        except Exception:
            self._errors.append(_ParserError("", "", "Failed to parse the ONNX model."))
            return False
        self._errors += [
            _ParserError(node.name, node.op_type, f"No importer registered for op: {node.op_type}.")
            for node in nodes
            if node.op_type.startswith("Unknown")
        ]
        if not self._errors:
            self._network.read(graph)
        return not self._errors

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, index: int) -> _ParserError:
        return self._errors[index]


class _ParserError:
    def __init__(self, name: str, operator: str, text: str) -> None:
        self._fields = name, operator, text

    def node_name(self) -> str:
        return self._fields[0]

    def node_operator(self) -> str:
        return self._fields[1]

    def desc(self) -> str:
        return self._fields[2]


class _Runtime:
    trt: ModuleType
    variant: str

    def __init__(self, logger: ILogger) -> None:
        _register(self.trt, logger)
        if self.variant != "rtx" and not self.trt.fake.gpu:
            _say(self.trt, Severity.ERROR, f"CUDA initialization failure ({NO_DRIVER})")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        error = None
        if not self.trt.fake.gpu:
            error = f"Error Code 1: Cuda Runtime ({NO_DRIVER})"
        try:
            read = json.loads(plan)
        except ValueError:
            error = "Error Code 1: Serialization (Serialization assertion plan.header.size == blobSize failed.)"
        else:
            if read["version"] != self.trt.__version__:
                error = "Error Code 1: Serialization (Version tag does not match.)"
        if error is not None:
            _say(self.trt, Severity.ERROR, f"IRuntime::deserializeCudaEngine: {error}")
            return None
        kind = _RTXEngine if self.variant == "rtx" else _Engine
        return kind(self.trt, read)


class _Engine:
    device_memory_size_v2 = 8192

    def __init__(self, trt: ModuleType, plan: dict) -> None:
        self.trt = trt
        self.plan = plan
        self.session = onnxruntime.InferenceSession(base64.b64decode(plan["graph"]), providers=["CPUExecutionProvider"])
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.outputs = [value.name for value in self.session.get_outputs()]

    num_io_tensors = property(lambda self: len(self.inputs) + len(self.outputs))

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        values = [*self.session.get_inputs(), *self.session.get_outputs()]
        types = {value.name: value.type for value in values}
        return DataType.FLOAT if types[name] == "tensor(float)" else DataType.HALF

    def create_engine_inspector(self) -> SimpleNamespace:
        names = [layer["Name"] for layer in self.plan["layers"]]
        layers = self.plan["layers"] if self.plan["detailed"] else names
        return SimpleNamespace(get_engine_information=lambda _: json.dumps({"Layers": layers}))

    def create_execution_context(self, config: object = None) -> _Context | None:
        assert config is None, "without a run-time configuration here"
        return self._context()

    def _context(self) -> _Context | None:
        if self.trt.fake.context_error is not None:
            _say(self.trt, Severity.ERROR, self.trt.fake.context_error)
            return None
        return _Context(self)


class _RTXEngine(_Engine):
    def create_runtime_config(self) -> _RuntimeConfig:
        return _RuntimeConfig(self.trt)

    def create_execution_context(self, config: object = None) -> _Context | None:
        if isinstance(config, _RuntimeConfig):
            self.trt.fake.cuda_graph = config.cuda_graph_strategy
        return self._context()


class _RuntimeConfig:
    def __init__(self, trt: ModuleType) -> None:
        self._trt = trt
        self.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE

    def create_runtime_cache(self) -> _RuntimeCache:
        return _RuntimeCache(self._trt)

    def set_runtime_cache(self, cache: _RuntimeCache) -> bool:
        return True


class _RuntimeCache:
    def __init__(self, trt: ModuleType) -> None:
        self._trt = trt

    def deserialize(self, blob: bytes) -> bool:
        self._trt.fake.kernels.append(blob)
        return blob == b"kernels"

    def serialize(self) -> HostMemory:
        return HostMemory(b"kernels")


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if tuple(self._engine.plan["shapes"][name]) != tuple(shape):
            _say(self._engine.trt, Severity.ERROR, "IExecutionContext::setInputShape: Static dimension mismatch")
            return False
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._engine.inputs:
            return self._shapes[name]
        # ONNX Runtime tells the outputs' shapes by running.
        zeros = {key: np.zeros(self._shapes[key], np.float32) for key in self._engine.inputs}
        return self._engine.session.run([name], zeros)[0].shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        if name not in (*self._engine.inputs, *self._engine.outputs):
            _say(self._engine.trt, Severity.ERROR, f"Given invalid tensor name: {name}")
            return False
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        error = self._engine.trt.fake.run_error
        missing = [n for n in (*self._engine.inputs, *self._engine.outputs) if n not in self._addresses]
        if error is not None or missing:
            _say(self._engine.trt, Severity.ERROR, error or f"Address is not set for {missing}")
            return False
        arrays = {name: self._array(name) for name in self._addresses}
        self._engine.trt.fake.put(lambda: self._compute(arrays), stream)
        return True

    def _compute(self, arrays: dict[str, np.ndarray]) -> None:
        inputs = {name: arrays[name] for name in self._engine.inputs}
        for name, value in zip(self._engine.outputs, self._engine.session.run(None, inputs), strict=True):
            arrays[name][...] = value

    def _array(self, name: str) -> np.ndarray:
        shape = self.get_tensor_shape(name)
        count = int(np.prod(shape))
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self._addresses[name])).reshape(shape)
