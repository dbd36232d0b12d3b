"""Arrays that already lie on the GPU: whatever has `__cuda_array_interface__` (PyCUDA, CuPy, torch), without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cuda.driver import DEFAULT_STREAM, Cuda
from hsi_edge.errors import InputError

KINDS = {"uint8": 0, "uint16": 1, "int16": 2, "float32": 3}
"""NumPy's names of the types that the kernels read, and the kernels' numbers for them."""


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A checked array on the GPU.

    Attributes:
        address: Of its first element.
        shape: `(rows, cols, bands)`.
        strides: In bytes.
        dtype: NumPy's name of its type.
        stream: The stream in which it is made: the default one where none is told.
        owner: Keeps it alive.
    """

    address: int
    shape: tuple[int, int, int]
    strides: tuple[int, int, int]
    dtype: str
    stream: int
    owner: object


def is_device_array(array: object) -> bool:
    """Whether an object says that it lies on a GPU."""
    return hasattr(array, "__cuda_array_interface__")


def device_array(name: str, array: Any, *, writeable: bool = False) -> DeviceArray:
    """Check what an object says of itself (version 2 or 3 of the protocol).

    Args:
        name: What messages call it.
        array: Has `__cuda_array_interface__`.
        writeable: Whether it is to be written to, and so must be float32.

    Raises:
        InputError: It is no array that can be read, or written to.
    """
    try:
        told: dict[str, Any] = array.__cuda_array_interface__
        shape, dtype = tuple(int(length) for length in told["shape"]), np.dtype(told["typestr"])
        address, read_only = told["data"]
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise InputError(
            f"{name} is a {type(array).__name__} with an unreadable __cuda_array_interface__: {err}"
        ) from err
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{name} has shape {shape}; wanted (rows, cols, bands) with at least one of each")
    wanted = ("float32",) if writeable else tuple(KINDS)
    if dtype.name not in wanted or not dtype.isnative:
        raise InputError(f"{name} lies on the GPU with dtype {dtype}; wanted {', '.join(wanted)}: convert it there")
    if writeable and read_only:
        raise InputError(f"{name} lies on the GPU and is read-only; wanted an array that can be written to")
    if told.get("mask") is not None:
        raise InputError(f"{name} lies on the GPU with a mask, which is not read; make invalid pixels NaN")
    strides = _strides(shape, dtype.itemsize, told.get("strides"))
    if any(step % dtype.itemsize for step in (*strides, int(address))):
        raise InputError(
            f"{name} lies on the GPU at {int(address):#x} with strides {strides}; wanted multiples of "
            f"{dtype.itemsize} bytes"
        )
    return DeviceArray(int(address), shape, strides, dtype.name, _stream(name, told.get("stream")), array)


def _strides(shape: tuple[int, ...], itemsize: int, given: Any) -> tuple[int, int, int]:
    _, cols, bands = shape
    row, col, band = (cols * bands * itemsize, bands * itemsize, itemsize) if given is None else given
    return int(row), int(col), int(band)


def _stream(name: str, stream: Any) -> int:
    # PyCUDA and torch tell none, and Numba none for the default stream, whatever is still to be done there.
    if stream is None:
        return DEFAULT_STREAM
    if stream == 0:
        raise InputError(f"{name} names stream 0, which the protocol of __cuda_array_interface__ forbids")
    # Its 1 and 2 for the two default streams are the driver's own handles of them.
    return int(stream)


def taken_to_host(name: str, image: Any, cuda: Cuda | None) -> tuple[Any, DeviceArray | None]:
    """An image for what is prepared on the host, and where it lies on the GPU, if it does.

    Args:
        name: What messages call it.
        image: Anything; what does not lie on a GPU is handed back as it is.
        cuda: The engine's GPU; None where it runs on the CPU.

    Raises:
        InputError: It lies on a GPU and cannot be read, or the engine runs on the CPU.
    """
    if not is_device_array(image):
        return image, None
    if cuda is None:
        raise _no_gpu(name)
    array = device_array(name, image)
    return _copied(cuda, array), array


def taken_output(out: Any, shape: tuple[int, int, int], cuda: Cuda | None) -> DeviceArray:
    """The caller's array on the GPU, to write the result to.

    Args:
        out: Has `__cuda_array_interface__`.
        shape: The result's.
        cuda: The engine's GPU; None where it runs on the CPU.

    Raises:
        InputError: It cannot be written to, has another shape, or the engine runs on the CPU.
    """
    if cuda is None:
        raise _no_gpu("out")
    array = device_array("out", out, writeable=True)
    if array.shape != shape:
        raise InputError(f"out lies on the GPU and is {array.shape}; wanted {shape}")
    return array


def _no_gpu(name: str) -> InputError:
    return InputError(
        f"{name} lies on a GPU, and this engine runs on the CPU; copy it to the host (PyCUDA and CuPy: .get(), "
        "torch: .cpu().numpy()), or open the model with a GPU's backend"
    )


def _copied(cuda: Cuda, array: DeviceArray) -> NDArray[Any]:
    # All between the first and the last element in one piece, whatever the strides.
    reach = [(length - 1) * step for length, step in zip(array.shape, array.strides, strict=True)]
    before = -sum(step for step in reach if step < 0)
    nbytes = before + sum(step for step in reach if step > 0) + np.dtype(array.dtype).itemsize
    with cuda.active():
        # In a stream of its own: another thread may be capturing the computing one.
        pinned, event, stream = cuda.allocate_pinned(nbytes), cuda.new_event(), cuda.new_stream()
        try:
            wait_for(cuda, stream, array, event)
            cuda.copy(pinned.address, array.address - before, nbytes, stream)
            cuda.record(event, stream)
            cuda.synchronize(event)
            return np.array(np.ndarray(array.shape, array.dtype, pinned.host, before, array.strides), order="C")
        finally:
            cuda.release(pinned.pointer, event, stream)


def wait_for(cuda: Cuda, stream: int, array: DeviceArray, event: int) -> None:
    """Let a stream wait until an array is made."""
    cuda.record(event, array.stream)
    cuda.wait(stream, event)
