"""What lazy readers share: an array that reads itself window by window, and the file handle behind it."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hsi_edge.errors import InputError, MissingPackageError

Handle = TypeVar("Handle")
Index = int | slice | EllipsisType
Key = Index | tuple[Index, ...]
ReadWindow = Callable[[slice, slice, slice], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class LazyArray:
    """A file's pixels, `(rows, cols, bands)`, that slice like an array; each access reads just its window.

    Indices are integers, slices and an ellipsis, counted as NumPy does. A slice with a step reads the whole extent that
    it steps over. What comes back is a new array, owned by the caller. It may be used from several threads, in forked
    processes, and can be pickled if `read` can.

    Attributes:
        shape: `(rows, cols, bands)`.
        dtype: Type of the pixels, in the byte order of this machine.
        read: Returns the pixels of three slices, each inside the array, not empty and without a step.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: ReadWindow

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    def __getitem__(self, key: Key) -> Any:
        axes = [_split(index, size) for index, size in zip(_three(key), self.shape, strict=True)]
        rows, cols, bands = (window for window, _ in axes)
        if rows.start == rows.stop or cols.start == cols.stop or bands.start == bands.stop:
            shape = tuple(window.stop - window.start for window, _ in axes)
            return np.empty(shape, self.dtype)[tuple(rest for _, rest in axes)]
        return self.read(rows, cols, bands)[tuple(rest for _, rest in axes)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the pixels lie in a file: they cannot become an array without a copy")
        return np.asarray(self[...], dtype)


def _three(key: Key) -> tuple[int | slice, ...]:
    """The key as exactly three indices."""
    given = key if isinstance(key, tuple) else (key,)
    if sum(index is ... for index in given) > 1:
        raise IndexError("an index holds at most one ellipsis")
    place = next((i for i, index in enumerate(given) if index is ...), len(given))
    before, after = given[:place], given[place + 1 :]
    missing = 3 - len(before) - len(after)
    if missing < 0:
        raise IndexError(f"{len(before) + len(after)} indices for an array of 3 axes (rows, cols, bands)")
    indices = (*before, *[slice(None)] * missing, *after)
    return tuple(index for index in indices if not isinstance(index, EllipsisType))


def _split(index: int | slice, size: int) -> tuple[slice, int | slice]:
    """One axis: the window to read, and what is left to index in it."""
    if isinstance(index, slice):
        steps = range(*index.indices(size))
        if not steps:
            return slice(0, 0), slice(None)
        return slice(min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1), slice(None, None, steps.step)
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise IndexError(f"{index!r} cannot index a file: use integers, slices and an ellipsis, or read it whole first")
    place = operator.index(index)
    if not -size <= place < size:
        raise IndexError(f"index {place} is out of range for an axis of {size}")
    return slice(place % size, place % size + 1), 0


class FileHandle(Generic[Handle]):
    """An open file, kept open between accesses so that its library's block cache serves overlapping windows.

    The libraries behind it are not safe across threads, and a forked process would share the file's position: so each
    thread of each process opens its own, on first use. It is closed when the thread or the last array over it goes.
    """

    def __init__(self, open_file: Callable[[Path], Handle], path: Path) -> None:
        self.path = path
        self._open_file = open_file
        self._local = threading.local()

    def get(self) -> Handle:
        """This thread's handle."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.handle = self._open_file(self.path)
            self._local.pid = os.getpid()
        handle: Handle = self._local.handle
        return handle

    def __reduce__(self) -> tuple[type[FileHandle[Handle]], tuple[Callable[[Path], Handle], Path]]:
        return FileHandle, (self._open_file, self.path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into an `InputError` that names the file and the cause.

    Every exception is meant, not a list: on damaged bytes the decoding libraries raise nearly all there are.
    """
    try:
        yield
    except MissingPackageError:
        raise
    except Exception as err:
        cause = str(err) or type(err).__name__
        raise InputError(f"cannot read {path}: {cause}") from err


def row_blocks(rows: int, rows_per_block: int) -> Iterator[slice]:
    """Slices of at most `rows_per_block` rows that cover `rows`, so that a lazy cube is written piece by piece."""
    for start in range(0, rows, rows_per_block):
        yield slice(start, min(start + rows_per_block, rows))
