"""The CUDA driver, as little of it as the runtime needs: the one place that knows `cuda-bindings`."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cuda.compiler import compiled_kernels
from hsi_edge.errors import DeviceLostError, EngineLoadError, require
from hsi_edge.machine import available_bytes

BLOCK = 128
"""Threads per block, all along x."""
GONE = (
    *("ILLEGAL_ADDRESS", "ILLEGAL_INSTRUCTION", "MISALIGNED_ADDRESS", "INVALID_ADDRESS_SPACE", "INVALID_PC"),
    *("LAUNCH_FAILED", "LAUNCH_TIMEOUT", "HARDWARE_STACK_ERROR", "ECC_UNCORRECTABLE", "NVLINK_UNCORRECTABLE"),
    *("CONTEXT_IS_DESTROYED", "DEVICE_UNAVAILABLE", "DEINITIALIZED", "CONTAINED", "UNKNOWN"),
)
"""Errors after which nothing works any more in this context."""
DEFAULT_STREAM = 1
"""The driver's own handle of the stream that work goes to where none is named."""


class CaptureRefusedError(EngineLoadError):
    """Some work cannot be captured as a CUDA graph; it can still be run."""


class Pinned:
    """Host memory that the GPU reaches.

    Attributes:
        host: Its bytes, uint8.
        address: Where copies, and on an integrated GPU kernels too, find it.
    """

    def __init__(self, pointer: int, address: int, nbytes: int) -> None:
        self.pointer = pointer
        self.address = address
        self.host: NDArray[np.uint8] = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(pointer))


class Cuda:
    """One GPU: its context, streams, events, memory and kernels. Handles and addresses are plain integers.

    Works in the calling thread's current context if there is one, else in the device's primary context.

    Args:
        device: Number of the GPU, where no context is current.
        stream: The caller's stream, for the computation; None for an own one.

    Raises:
        MissingPackageError: cuda-bindings is not installed.
        EngineLoadError: No driver, one too old, or no such GPU.
    """

    def __init__(self, *, device: int = 0, stream: int | None = None) -> None:
        self._lost: str | None = None
        self._own_device: Any = None
        self._held: dict[int, Callable[[], None]] = {}
        self._modules: dict[str, Any] = {}
        self._api: Any = require("cuda.bindings.driver", feature="the CUDA runtime", extra="cuda")
        self._start()
        self._context: Any = self._call("cuCtxGetCurrent")
        if not int(self._context):
            self._own_device = self._call("cuDeviceGet", device)
            self._context = self._call("cuDevicePrimaryCtxRetain", self._own_device)
        with self.active():
            handle = self._call("cuCtxGetDevice")
            attribute = self._api.CUdevice_attribute
            major = attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
            minor = attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
            self.name = self._call("cuDeviceGetName", 256, handle).split(b"\0")[0].decode()
            self.capability: tuple[int, int] = (
                self._call("cuDeviceGetAttribute", major, handle),
                self._call("cuDeviceGetAttribute", minor, handle),
            )
            integrated = self._call("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED, handle)
            self.integrated = bool(integrated)
            """Whether the GPU works in the host's memory (Jetson), so that copies between the two are not needed."""
            self.stream = self.new_stream() if stream is None else stream

    def _start(self) -> None:
        try:
            self._call("cuInit", 0)
            version = self._call("cuDriverGetVersion")
        # What cuda-bindings raises where libcuda is not there has no public class.
        except RuntimeError as err:
            raise EngineLoadError(
                f"there is no NVIDIA driver here ({err}); install it, or open the model with backend='openvino'"
            ) from err
        if version // 1000 < self._api.CUDA_VERSION // 1000:
            raise EngineLoadError(
                f"the NVIDIA driver is too old: it knows CUDA {_dotted(version)}, and the package cuda-bindings is of "
                f"CUDA {_dotted(self._api.CUDA_VERSION)}; update the driver, or install cuda-bindings "
                f"{version // 1000}.*"
            )

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call the driver.

        Raises:
            DeviceLostError: Now, or at an earlier call.
            CaptureRefusedError: The call cannot be captured.
            EngineLoadError: Any other failure.
        """
        if self._lost is not None:
            raise DeviceLostError(self._lost)
        status, *values = getattr(self._api, name)(*arguments)
        if status != self._api.CUresult.CUDA_SUCCESS:
            raise self._error(name, status)
        return values[0] if values else None

    def _error(self, name: str, status: Any) -> EngineLoadError:
        error = status.name.removeprefix("CUDA_ERROR_")
        what = f"{name}: {status.name}"
        if error in GONE:
            ours = "" if self._own_device is not None else ", in a new context, as this one is the caller's"
            self._lost = f"the GPU was lost ({what}); close this engine and open it again{ours}"
            return DeviceLostError(self._lost)
        if error.startswith("STREAM_CAPTURE"):
            return CaptureRefusedError(what)
        if error == "NO_DEVICE":
            return EngineLoadError(f"the NVIDIA driver finds no GPU ({what}); open the model with backend='openvino'")
        if error == "OUT_OF_MEMORY":
            return EngineLoadError(
                f"the GPU is out of memory ({what}); close what else uses it, or choose a smaller tile"
            )
        return EngineLoadError(f"the NVIDIA driver failed ({what})")

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the context current on the calling thread, for a while."""
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            with suppress(EngineLoadError):
                self._call("cuCtxPopCurrent")

    def new_stream(self) -> int:
        """A stream that no other waits for."""
        handle = self._call("cuStreamCreate", self._api.CUstream_flags.CU_STREAM_NON_BLOCKING)
        return self._hold(int(handle), "cuStreamDestroy", handle)

    def new_event(self, *, timed: bool = False) -> int:
        """An event, which has happened until it is recorded; `timed` for `elapsed_ms`."""
        flags = self._api.CUevent_flags
        untimed = flags.CU_EVENT_DEFAULT if timed else flags.CU_EVENT_DISABLE_TIMING
        handle = self._call("cuEventCreate", untimed | flags.CU_EVENT_BLOCKING_SYNC)
        return self._hold(int(handle), "cuEventDestroy", handle)

    def record(self, event: int, stream: int) -> None:
        """Let the event happen once the stream has done all that it was given so far."""
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        """Let the stream's further work wait for the event as it was last recorded."""
        self._call("cuStreamWaitEvent", stream, event, 0)

    def synchronize(self, event: int) -> None:
        """Wait here until the event has happened."""
        self._call("cuEventSynchronize", event)

    def elapsed_ms(self, first: int, last: int) -> float:
        """Milliseconds between two timed events that have both happened."""
        return float(self._call("cuEventElapsedTime", first, last))

    def allocate(self, nbytes: int) -> int:
        """Device memory, not initialised."""
        handle = self._call("cuMemAlloc", nbytes)
        return self._hold(int(handle), "cuMemFree", handle)

    def allocate_pinned(self, nbytes: int) -> Pinned:
        """Host memory, not initialised, from and to which copies are asynchronous."""
        pointer = int(self._call("cuMemHostAlloc", nbytes, self._api.CU_MEMHOSTALLOC_DEVICEMAP))
        self._hold(pointer, "cuMemFreeHost", pointer)
        return Pinned(pointer, int(self._call("cuMemHostGetDevicePointer", pointer, 0)), nbytes)

    def release(self, *handles: int) -> None:
        """Give back what `new_stream`, `new_event`, `allocate`, `allocate_pinned` (its `pointer`) or `capture` gave."""
        for handle in handles:
            self._held.pop(handle)()

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy between device and pinned memory, in any direction."""
        self._call("cuMemcpyAsync", target, source, nbytes, stream)

    def load(self, source: str, names: Sequence[str]) -> dict[str, Any]:
        """The kernels of a CUDA C++ source, by name; compiled once and remembered on this device."""
        if source not in self._modules:
            module = self._call("cuModuleLoadData", compiled_kernels(source, self.capability))
            self._hold(int(module), "cuModuleUnload", module)
            self._modules[source] = module
        return {name: self._call("cuModuleGetFunction", self._modules[source], name.encode()) for name in names}

    def launch(self, kernel: Any, items: tuple[int, int, int], stream: int, *arguments: float) -> None:
        """Run a kernel, one thread for each of `x * y * z` items (and some beyond along x)."""
        grid = -(-items[0] // BLOCK), items[1], items[2]
        values, pointers = packed(arguments)
        self._call("cuLaunchKernel", kernel, *grid, BLOCK, 1, 1, 0, stream, pointers.ctypes.data, 0)
        del values

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """A graph of what `work` puts into the stream and into those that it makes wait for it.

        Raises:
            CaptureRefusedError: Something in it cannot be captured; nothing of it was run.
        """
        self._call("cuStreamBeginCapture", stream, self._api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        try:
            try:
                work()
            except BaseException:
                # Always ended, or the stream would stay unusable; that this fails too says less than what failed first.
                with suppress(EngineLoadError):
                    self._call("cuGraphDestroy", self._call("cuStreamEndCapture", stream))
                raise
            graph = self._call("cuStreamEndCapture", stream)
            try:
                handle = self._call("cuGraphInstantiate", graph, 0)
            finally:
                self._call("cuGraphDestroy", graph)
        except DeviceLostError:
            raise
        except EngineLoadError as err:
            raise CaptureRefusedError(str(err)) from err
        return self._hold(int(handle), "cuGraphExecDestroy", handle)

    def launch_graph(self, graph: int, stream: int) -> None:
        """Run a captured graph."""
        self._call("cuGraphLaunch", graph, stream)

    def free_bytes(self) -> int:
        """Memory that is free on the GPU; on an integrated one, what Linux could give of the memory that they share."""
        status, free, _ = self._api.cuMemGetInfo()
        if status != self._api.CUresult.CUDA_SUCCESS:
            raise self._error("cuMemGetInfo", status)
        # There, the driver tells what lies idle, and takes the files that Linux keeps in memory for used.
        return max(int(free), available_bytes()) if self.integrated else int(free)

    def close(self) -> None:
        """Give back everything; what a lost device still holds is the driver's."""
        with suppress(EngineLoadError), self.active():
            self.release(*self._held)
        if self._own_device is not None:
            # A primary context with an error in it stays so until it is reset, for whoever opens it next.
            if self._lost is not None:
                self._api.cuDevicePrimaryCtxReset(self._own_device)
            # A reset does not release it.
            self._api.cuDevicePrimaryCtxRelease(self._own_device)
            self._own_device = None

    def _hold(self, key: int, destroy: str, handle: Any) -> int:
        self._held[key] = lambda: self._call(destroy, handle)
        return key


def packed(arguments: Sequence[float]) -> tuple[ctypes.Array[ctypes.c_char], NDArray[np.uint64]]:
    """A kernel's arguments, 8 bytes each, and the address of each, valid as long as the first is kept."""
    form = "=" + "".join("f4x" if isinstance(argument, float) else "q" for argument in arguments)
    values = ctypes.create_string_buffer(struct.pack(form, *arguments), 8 * len(arguments))
    first = ctypes.addressof(values)
    return values, np.arange(first, first + len(values), 8, dtype=np.uint64)


def kernel_names(source: str) -> list[str]:
    """The kernels that a source defines."""
    return [part.split("(")[0].strip() for part in source.split("__global__ void ")[1:]]


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
