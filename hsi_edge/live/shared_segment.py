"""A file in shared memory of which one process writes the newest of something, and others read it; never torn.

The layout is in docs/recording.md. Two slots are filled in turn, and the writer never waits for readers. A slot carries
the number of what it holds, which is 0 while it is written: a reader that finds the same number before and after it has
copied the content has all of it. A lock tells whether the writer lives. A new writer, or one whose content has grown,
puts a new file at the old one's place, and readers follow it there: nothing that a killed writer leaves is in the way.

Python's `multiprocessing.shared_memory` would not do: until Python 3.13, the first reader that ends removes it for all.
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import struct
import threading
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import SensorError
from hsi_edge.live.repair import lock

_MAGIC = b"HSIELIVE"
_VERSION = 1
_SLOTS = 2
_HEAD = struct.Struct("<8sIIQQ")
"""Magic, version, number of slots, room for the text and for the data of a slot."""
_NUMBER = struct.Struct("<Q")
_NEWEST_AT = _HEAD.size
_SLOT = struct.Struct("<QQQ")
"""Number, bytes of the text, bytes of the data."""
_BLOCK = 64
_FENCE = threading.Lock()


@dataclass(frozen=True)
class Layout:
    """Where things are in a segment: the head in one block, then the slots."""

    text_room: int
    data_room: int

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return _BLOCK + _SLOTS * self._slot_bytes

    def slot_at(self, number: int) -> int:
        """Where the slot of the n-th publication begins; its text is a block further on, its data behind the text."""
        return _BLOCK + number % _SLOTS * self._slot_bytes

    @property
    def _slot_bytes(self) -> int:
        return _BLOCK + self.text_room + self.data_room


class SegmentWriter:
    """Makes a segment, in the place of what is there.

    Args:
        path: Of its file.
        text_bytes, data_bytes: What there must be room for.

    Raises:
        OSError: If the system has no room or refuses; EBUSY if another process writes there.
    """

    def __init__(self, path: Path, text_bytes: int, data_bytes: int) -> None:
        _check_unused(path)
        self._layout = Layout(_in_blocks(text_bytes), _in_blocks(data_bytes))
        unfinished = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = FileIO(descriptor, "r+")
        try:
            # Allocated now, as a page that cannot be had later kills the process.
            os.posix_fallocate(descriptor, 0, self._layout.size)
            self._map = mmap.mmap(descriptor, self._layout.size)
            _HEAD.pack_into(self._map, 0, _MAGIC, _VERSION, _SLOTS, self._layout.text_room, self._layout.data_room)
            lock(self._file)
            unfinished.rename(path)
        except BaseException:
            self._file.close()
            unfinished.unlink(missing_ok=True)
            raise

    def fits(self, text_bytes: int, data_bytes: int) -> bool:
        """Whether there is room for that."""
        return text_bytes <= self._layout.text_room and data_bytes <= self._layout.data_room

    def publish(self, number: int, text: bytes, parts: tuple[NDArray[Any], ...]) -> None:
        """Make a text and arrays the newest content.

        Args:
            number: Counts publications, from 1.
            text: It and the arrays must fit.
            parts: In C order; one follows the other.
        """
        at = self._layout.slot_at(number)
        _NUMBER.pack_into(self._map, at, 0)
        _fence()
        self._map[at + _BLOCK : at + _BLOCK + len(text)] = text
        start = at + _BLOCK + self._layout.text_room
        for part in parts:
            room = np.frombuffer(self._map, part.dtype, part.size, start).reshape(part.shape)
            np.copyto(room, part)
            start += part.nbytes
        _SLOT.pack_into(self._map, at, 0, len(text), sum(part.nbytes for part in parts))
        _fence()
        _NUMBER.pack_into(self._map, at, number)
        _fence()
        _NUMBER.pack_into(self._map, _NEWEST_AT, number)

    def close(self) -> None:
        """Give back the memory; the file stays."""
        self._map.close()
        self._file.close()


class SegmentReader:
    """Opens a segment.

    Args:
        path: Of its file.

    Raises:
        OSError: If it is not there, or may not be read.
        SensorError: If it is of another version, or no segment.
    """

    def __init__(self, path: Path) -> None:
        self._file = FileIO(path, "r")
        self.inode = os.fstat(self._file.fileno()).st_ino
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._layout = _layout(self._map)
        except (ValueError, struct.error) as err:
            self._file.close()
            raise SensorError(f"{path} is of another version of this package, or of another program ({err})") from err

    def is_written(self) -> bool:
        """Whether its writer lives."""
        return not _claimed(self._file)

    def newest(self) -> int:
        """The number of the newest content; 0 before the first."""
        number: int = _NUMBER.unpack_from(self._map, _NEWEST_AT)[0]
        return number

    def content(self, number: int) -> tuple[bytes, NDArray[np.uint8]] | None:
        """Copies of the text and the data; None if the writer has gone on meanwhile."""
        at = self._layout.slot_at(number)
        _fence()
        before, text_bytes, data_bytes = _SLOT.unpack_from(self._map, at)
        if before != number:
            return None
        start = at + _BLOCK
        text = self._map[start : start + min(text_bytes, self._layout.text_room)]
        start += self._layout.text_room
        data = np.frombuffer(self._map, np.uint8, min(data_bytes, self._layout.data_room), start).copy()
        _fence()
        return (text, data) if _NUMBER.unpack_from(self._map, at)[0] == number else None

    def close(self) -> None:
        """Give back the memory."""
        self._map.close()
        self._file.close()


def _layout(content: mmap.mmap) -> Layout:
    magic, version, slots, text_room, data_room = _HEAD.unpack_from(content)
    layout = Layout(text_room, data_room)
    if (magic, version, slots) != (_MAGIC, _VERSION, _SLOTS) or layout.size != len(content):
        raise ValueError("another layout")
    return layout


def _check_unused(path: Path) -> None:
    try:
        file = FileIO(path, "r")
    except FileNotFoundError:
        return
    with file:
        # A reader that asks whether the writer lives holds the lock for a moment.
        for _ in range(20):
            if _claimed(file):
                return
            time.sleep(0.005)
    raise OSError(errno.EBUSY, "another process publishes by this name; stop it, or choose another name")


def _claimed(file: FileIO) -> bool:
    """Whether the lock was free."""
    import fcntl

    if not lock(file):
        return False
    fcntl.flock(file.fileno(), fcntl.LOCK_UN)
    return True


def _in_blocks(n_bytes: int) -> int:
    return -(-n_bytes // _BLOCK) * _BLOCK


def _fence() -> None:
    # Other cores see what was stored before it no later than what is stored after it, also where the processor may
    # reorder (ARM): the second lock cannot be taken before the first is given back, nor either moved across.
    with _FENCE:
        pass
    with _FENCE:
        pass
