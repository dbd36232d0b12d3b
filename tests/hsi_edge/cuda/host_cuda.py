"""A GPU that is the host: the same kernels, compiled by g++, and streams that keep only the order that events ask for.

What is put into streams runs when something is waited for, in a random order among all that CUDA would allow; memory
that was not written holds NaN. So a missing wait or an array that is read too early shows in the result. Kernels may
only touch what a GPU could: device memory, and pinned memory on an integrated one.
"""

from __future__ import annotations

import ctypes
import hashlib
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hsi_edge.cuda.driver import BLOCK, DEFAULT_STREAM, CaptureRefusedError, Pinned, packed
from hsi_edge.errors import DeviceLostError, EngineLoadError

SHIM = Path(__file__).with_name("host_cuda.h")


def host_kernels(folder: Path, source: str, names: list[str]) -> Path:
    """The library of kernels compiled for the host."""
    text = f'#include "{SHIM}"\n{source}\n' + "\n".join(f"ON_HOST({name})" for name in names)
    return compiled(folder, text)


def compiled(folder: Path, text: str, *options: str) -> Path:
    """A library of C++ text, compiled once."""
    key = hashlib.sha256((text + SHIM.read_text()).encode()).hexdigest()[:16]
    library = folder / f"{key}.so"
    if not library.exists():
        command = ["g++", "-O2", "-shared", "-fPIC", "-Wall", "-Werror", *options, "-x", "c++", "-", "-o", str(library)]
        subprocess.run(command, input=text.encode(), check=True)
    return library


def nothing() -> None:
    """What a marker in a stream does."""


class Work:
    """A node of what CUDA has been given: a function, and what must be done before."""

    def __init__(self, function: Callable[[], None], after: set[Work]) -> None:
        self.function = function
        self.after = after
        self.done = False
        self.at = 0.0


class Graph:
    def __init__(self, nodes: list[Work]) -> None:
        self.nodes = nodes


class HostCuda:
    """Has the members of `hsi_edge.cuda.driver.Cuda`."""

    name = "host"
    capability = (8, 7)

    def __init__(self, folder: Path, *, integrated: bool = False, free: int = 1 << 30, seed: int = 0) -> None:
        self.integrated = integrated
        self.refuses_capture = False
        self.lost = False
        self.copies: list[int] = []
        self.launches = 0
        self.graph_launches = 0
        self.captures = 0
        self._folder = folder
        self._free = free
        self._random = random.Random(seed)
        self._blocks: dict[int, np.ndarray] = {}
        self._pinned: dict[int, np.ndarray] = {}
        self._handles = iter(range(DEFAULT_STREAM + 1, 1 << 30))
        self._held: set[int] = set()
        self._last: dict[int, Work | None] = {DEFAULT_STREAM: None}
        self._events: dict[int, Work | None] = {}
        self._timed: set[int] = set()
        self._pending: list[Work] = []
        self._captured: list[Work] | None = None
        self._joined: set[int] = set()
        self._graphs: dict[int, Graph] = {}
        self.stream = self.new_stream()

    @contextmanager
    def active(self) -> Iterator[None]:
        if self.lost:
            raise DeviceLostError("the GPU was lost (told by the test); close this engine and open it again")
        yield

    def new_stream(self) -> int:
        return self._new(self._last)

    def new_event(self, *, timed: bool = False) -> int:
        event = self._new(self._events)
        if timed:
            self._timed.add(event)
        return event

    def _new(self, where: dict[int, Work | None]) -> int:
        handle = next(self._handles)
        where[handle] = None
        self._held.add(handle)
        return handle

    def put(self, function: Callable[[], None], stream: int) -> None:
        """Let a stream do something; engines use it."""
        previous = self._last[stream]
        if self._captured is not None and stream in self._joined:
            if previous is not None and previous not in self._captured:
                previous = None
            node = Work(function, set() if previous is None else {previous})
            self._captured.append(node)
        else:
            node = Work(function, set() if previous is None else {previous})
            self._pending.append(node)
        self._last[stream] = node

    def record(self, event: int, stream: int) -> None:
        # A marker, so that a wait is for all that the stream was given.
        self.put(nothing, stream)
        self._events[event] = self._last[stream]

    def wait(self, stream: int, event: int) -> None:
        node = self._events[event]
        if node is None:
            return
        if self._captured is not None:
            inside = node in self._captured
            if not inside and stream in self._joined:
                raise CaptureRefusedError("STREAM_CAPTURE_ISOLATION: a captured stream waits for what is not captured")
            if inside:
                self._joined.add(stream)
        self.put(nothing, stream)
        self._last[stream].after.add(node)

    def synchronize(self, event: int) -> None:
        if self._captured is not None:
            raise CaptureRefusedError("STREAM_CAPTURE_UNSUPPORTED: waiting on the host")
        node = self._events[event]
        while node is not None and not node.done:
            ready = [work for work in self._pending if all(before.done for before in work.after)]
            work = self._random.choice(ready)
            self._pending.remove(work)
            work.function()
            work.done = True
            work.at = time.perf_counter()
            work.after = set()

    def elapsed_ms(self, first: int, last: int) -> float:
        assert {first, last} <= self._timed, "CUDA times only events that were made for it"
        began, ended = self._events[first], self._events[last]
        assert began is not None
        assert ended is not None
        assert began.done, "the first event has not happened yet"
        assert ended.done, "the last event has not happened yet"
        return (ended.at - began.at) * 1000

    def allocate(self, nbytes: int) -> int:
        block = np.full(nbytes, 0xFF, np.uint8)
        if nbytes > self.free_bytes():
            raise EngineLoadError("the GPU is out of memory (told by the test)")
        self._blocks[block.ctypes.data] = block
        self._held.add(block.ctypes.data)
        return block.ctypes.data

    def allocate_pinned(self, nbytes: int) -> Pinned:
        block = np.full(nbytes, 0xFF, np.uint8)
        address = block.ctypes.data
        self._pinned[address] = block
        self._held.add(address)
        return Pinned(address, address, nbytes)

    def release(self, *handles: int) -> None:
        for handle in handles:
            self._held.remove(handle)
            if handle in self._blocks or handle in self._pinned:
                assert all(work.function is nothing for work in self._pending), "memory is released under running work"
            for where in (self._blocks, self._pinned, self._last, self._events, self._graphs):
                where.pop(handle, None)

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self.copies.append(nbytes)
        assert nbytes > 0
        assert self._inside(target, self._blocks, self._pinned)
        assert self._inside(source, self._blocks, self._pinned)
        self.put(lambda: ctypes.memmove(target, source, nbytes) and None, stream)

    def load(self, source: str, names: list[str]) -> dict[str, object]:
        loaded = ctypes.CDLL(str(host_kernels(self._folder, source, names)))
        return {name: loaded[f"{name}_on_host"] for name in names}

    def launch(self, kernel: object, items: tuple[int, int, int], stream: int, *arguments: float) -> None:
        self.launches += 1
        assert all(count > 0 for count in items)
        for argument in arguments:
            assert self.integrated or not self._inside(argument, self._pinned), "a kernel is given pinned memory"
        values, pointers = packed(arguments)

        def work() -> None:
            grid = -(-items[0] // BLOCK), items[1], items[2]
            kernel(*grid, BLOCK, ctypes.c_void_p(pointers.ctypes.data))
            assert values

        self.put(work, stream)

    def _inside(self, address: float, *where: dict[int, np.ndarray]) -> bool:
        return any(start <= address < start + block.nbytes for blocks in where for start, block in blocks.items())

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        if self.refuses_capture:
            raise CaptureRefusedError("STREAM_CAPTURE_UNSUPPORTED (told by the test)")
        self.captures += 1
        before = dict(self._last)
        self._captured, self._joined = [], {stream}
        try:
            work()
            nodes = self._captured
            reached: set[Work] = set()
            self._reach(self._last[stream], reached)
            if loose := [node for node in nodes if node not in reached]:
                raise CaptureRefusedError(f"STREAM_CAPTURE_UNJOINED: {len(loose)} pieces of work are not waited for")
        except EngineLoadError as err:
            raise CaptureRefusedError(str(err)) from err
        finally:
            self._captured = None
            # What was captured has not run: the streams are as before.
            self._last = before
            for event, node in self._events.items():
                if node is not None and node not in self._pending and not node.done:
                    self._events[event] = None
        return self._new_graph(Graph(nodes))

    def _new_graph(self, graph: Graph) -> int:
        handle = next(self._handles)
        self._graphs[handle] = graph
        self._held.add(handle)
        return handle

    def _reach(self, node: Work | None, reached: set[Work]) -> None:
        stack = [node]
        while stack:
            work = stack.pop()
            if work is not None and work not in reached:
                reached.add(work)
                stack.extend(work.after)

    def launch_graph(self, graph: int, stream: int) -> None:
        self.graph_launches += 1
        self.put(nothing, stream)
        start = self._last[stream]
        copies: dict[Work, Work] = {}
        for node in self._graphs[graph].nodes:
            copies[node] = Work(node.function, {copies[before] for before in node.after if before in copies} | {start})
        self._pending.extend(copies.values())
        end = Work(nothing, {start, *copies.values()})
        self._pending.append(end)
        self._last[stream] = end

    def memory_at(self, address: int) -> np.ndarray:
        """A block of device memory, for tests to write to and look at."""
        return self._blocks[address]

    def free_bytes(self) -> int:
        return self._free - sum(block.nbytes for block in self._blocks.values())

    def close(self) -> None:
        self._held.clear()

    @property
    def held(self) -> int:
        """Number of handles that were not given back."""
        return len(self._held)


class HostEngine:
    """A `DeviceEngine` that runs an ONNX graph by a session of a CPU backend."""

    def __init__(
        self, cuda: HostCuda, session: object, shapes: Mapping[str, tuple[int, ...]], outputs: list[str]
    ) -> None:
        self.shapes = shapes
        self.workspace_bytes = 1000
        self.runs = 0
        self._cuda = cuda
        self._session = session
        self._outputs = outputs

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        wanted = dict(addresses)
        assert wanted.keys() == self.shapes.keys()
        self._cuda.put(lambda: self._run(wanted), stream)

    def _run(self, addresses: Mapping[str, int]) -> None:
        self.runs += 1
        arrays = {name: array_at(address, self.shapes[name]) for name, address in addresses.items()}
        inputs = {name: array for name, array in arrays.items() if name not in self._outputs}
        outputs = self._session.run(inputs)
        for name in self._outputs:
            arrays[name][:] = outputs[name]


class OnDevice:
    """An array in the stand-in's device memory, as PyCUDA, CuPy and torch show theirs."""

    def __init__(self, cuda, array, *, stream=None, read_only=False):
        base = array if array.base is None else array.base
        self._block = cuda.allocate(base.nbytes)
        cuda.memory_at(self._block)[:] = np.frombuffer(base.tobytes(), np.uint8)
        offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self._block + offset, read_only),
            "version": 3,
            "strides": array.strides,
            "stream": stream,
        }
        self.array = np.ndarray(array.shape, array.dtype, cuda.memory_at(self._block), offset, array.strides)


def array_at(address: int, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 array at an address."""
    count = int(np.prod(shape))
    return np.frombuffer((ctypes.c_float * count).from_address(address), np.float32).reshape(shape)
