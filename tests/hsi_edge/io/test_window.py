from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError, MissingPackageError, require
from hsi_edge.io.window import FileHandle, LazyArray, reading, row_blocks

SHAPE = (5, 4, 3)
PIXELS = np.arange(60, dtype=np.int16).reshape(SHAPE)


def lazy(reads: list[tuple[slice, slice, slice]] | None = None) -> LazyArray:
    def read(*window: slice) -> np.ndarray:
        if reads is not None:
            reads.append(window)
        assert all(
            0 <= part.start < part.stop <= size and part.step is None for part, size in zip(window, SHAPE, strict=True)
        )
        return PIXELS[window].copy()

    return LazyArray(SHAPE, PIXELS.dtype, read)


def an_index(size: int) -> st.SearchStrategy[int | slice]:
    return st.integers(-size, size - 1) | st.slices(size)


@given(st.tuples(*map(an_index, SHAPE)), st.integers(0, 3))
def test_every_index_gives_what_numpy_gives(indices, kept):
    key = indices[:kept]
    result = lazy()[key]
    assert np.array_equal(result, PIXELS[key])
    assert np.shape(result) == PIXELS[key].shape
    assert result.dtype == PIXELS.dtype


@given(an_index(5), an_index(3))
def test_an_ellipsis_stands_for_the_axes_left_out(row, band):
    assert np.array_equal(lazy()[row, ..., band], PIXELS[row, ..., band])
    assert np.array_equal(lazy()[..., band], PIXELS[..., band])
    assert np.array_equal(lazy()[row, ...], PIXELS[row, ...])


def test_only_the_window_is_read():
    reads: list[tuple[slice, slice, slice]] = []
    lazy(reads)[1:3, -1, ::2]
    assert reads == [(slice(1, 3), slice(3, 4), slice(0, 3))]


def test_an_empty_window_reads_nothing():
    reads: list[tuple[slice, slice, slice]] = []
    assert lazy(reads)[4:2].shape == (0, 4, 3)
    assert lazy(reads)[2, 9:, 0].shape == (0,)
    assert reads == []


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (5, "index 5 is out of range for an axis of 5"),
        ((0, -5), "index -5 is out of range for an axis of 4"),
        ((0, 0, 0, 0), "4 indices for an array of 3 axes"),
        ((..., ...), "at most one ellipsis"),
        ([0, 1], "use integers, slices and an ellipsis"),
        (None, "use integers, slices and an ellipsis"),
        (True, "use integers, slices and an ellipsis"),
    ],
)
def test_what_cannot_be_indexed_lazily_is_an_index_error(key, message):
    with pytest.raises(IndexError, match=message):
        lazy()[key]


def test_it_becomes_an_array_by_numpy_and_never_without_a_copy():
    assert np.array_equal(np.asarray(lazy()), PIXELS)
    assert np.asarray(lazy(), np.float32).dtype == np.float32
    assert lazy().ndim == 3
    with pytest.raises(ValueError, match="without a copy"):
        lazy().__array__(copy=False)


def open_counted(opened: list[Path], path: Path) -> object:
    opened.append(path)
    return object()


def test_each_thread_opens_a_file_once():
    opened: list[Path] = []
    handle = FileHandle(partial(open_counted, opened), Path("scene"))
    assert handle.get() is handle.get()
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(handle.get).result()
    assert elsewhere is not handle.get()
    assert len(opened) == 2


def open_position(path: Path) -> object:
    return path.open("rb")


def read_all_in_child(handle: FileHandle, queue: multiprocessing.SimpleQueue) -> None:
    queue.put(handle.get().read())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_share_the_position_in_the_file(tmp_path):
    path = tmp_path / "scene"
    path.write_bytes(b"pixels")
    handle = FileHandle(open_position, path)
    with handle.get() as file:
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=read_all_in_child, args=(handle, queue))
        child.start()
        assert queue.get() == b"pixels"
        child.join()
        assert file.read() == b"pixels"


def test_a_handle_survives_pickling(tmp_path):
    path = tmp_path / "scene"
    path.write_bytes(b"pixels")
    copy = pickle.loads(pickle.dumps(FileHandle(open_position, path)))
    with copy.get() as file:
        assert file.read() == b"pixels"


def test_what_goes_wrong_while_reading_names_the_file_and_the_cause():
    with (
        pytest.raises(InputError, match=r"cannot read scene\.tif: .no such block") as caught,
        reading(Path("scene.tif")),
    ):
        raise KeyError("no such block")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(InputError, match="cannot read scene: MemoryError"), reading(Path("scene")):
        raise MemoryError


def test_a_missing_package_is_not_taken_for_a_damaged_file():
    with pytest.raises(MissingPackageError, match=r"hsi-edge\[zarr\]"), reading(Path("scene")):
        require("no_such_package", feature="reading", extra="zarr")


@given(st.integers(0, 50), st.integers(1, 20))
def test_row_blocks_cover_each_row_once(rows, block):
    blocks = list(row_blocks(rows, block))
    assert [row for part in blocks for row in range(rows)[part]] == list(range(rows))
    assert all(part.stop - part.start <= block for part in blocks)
