"""Files of a recording whose end is missing, as the power went or the process was killed: read, and made whole."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from hsi_edge.errors import RecordingError, require
from hsi_edge.live import mcap_index as mcap
from hsi_edge.live.mcap_file import PROFILE

_FOOTER_BYTES = mcap.RECORD_HEAD.size + 20
# No frame is near it; a damaged length must not be taken for a wish for memory.
_MAX_CHUNK_BYTES = 2**31


@dataclass(frozen=True)
class Survey:
    """What a file holds that can be used.

    Attributes:
        whole_bytes: Up to the end of its last whole chunk, or attachment.
        end: What has to follow there to make it a finished file.
    """

    whole_bytes: int
    end: bytes


def finished(path: str | Path) -> bool:
    """Whether a file has its end, as a recorder leaves it that was stopped and not killed.

    Raises:
        RecordingError: If it cannot be read.
    """
    with _opened(Path(path), "rb") as file:
        return _has_end(file)


def repair(path: str | Path) -> bool:
    """Give a file its end: cut off what follows the last whole chunk, and write the summary that readers look for.

    Whole chunks are not touched, so that a second crash meanwhile leaves a file that can be repaired like the first.

    Returns:
        Whether there was something to repair.

    Raises:
        RecordingError: If it is no recording of this package, is being recorded, or cannot be written.
        MissingPackageError: If the package mcap is not installed.
    """
    path = Path(path)
    with _opened(path, "rb+") as file:
        if _has_end(file):
            return False
        if not lock(file):
            raise RecordingError(f"{path} is being recorded; stop the recorder first")
        found = survey(path, file)
        file.seek(found.whole_bytes)
        file.truncate()
        file.write(found.end)
        file.flush()
        os.fsync(file.fileno())
    return True


def lock(file: BinaryIO | io.FileIO) -> bool:
    """Claim a file for writing, until it is closed or the process ends; False if a recorder has claimed it.

    Where the system has no such locks, every claim succeeds.
    """
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a network's or a card reader's file system without locks
            return True
    return True


@contextmanager
def readable(path: Path) -> Iterator[BinaryIO]:
    """Open a file for a standard reader, finished or not; what is missing at its end is added in memory only.

    Raises:
        RecordingError: If it is no recording of this package, or cannot be read.
    """
    with _opened(path, "rb") as file:
        is_whole = _has_end(file)
        found = Survey(os.fstat(file.fileno()).st_size, b"") if is_whole else survey(path, file)
        yield cast(BinaryIO, _WithEnd(file, found))


def survey(path: Path, file: BinaryIO) -> Survey:
    """Read a file from its beginning, up to the last chunk that is whole and undamaged.

    Raises:
        RecordingError: If it is no recording of this package.
    """
    _check_start(path, file)
    index, offset, size = mcap.Index(), file.tell(), os.fstat(file.fileno()).st_size
    while (record := _next_record(file, size)) is not None:
        kind, body = record
        length = mcap.RECORD_HEAD.size + len(body)
        try:
            if kind == mcap.CHUNK:
                notes = _notes(offset, length, body)
                index.add_chunk(notes)
                offset += length
                if file.read(len(notes.message_indexes)) != notes.message_indexes:
                    return Survey(offset, notes.message_indexes + index.end(offset + len(notes.message_indexes)))
                length = len(notes.message_indexes)
            else:
                _add_other(index, kind, offset, length, body)
        except _damage():
            break
        offset += length
    return Survey(offset, index.end(offset))


def _check_start(path: Path, file: BinaryIO) -> None:
    file.seek(0)
    magic = file.read(len(mcap.MAGIC))
    record = _next_record(file, os.fstat(file.fileno()).st_size) if magic == mcap.MAGIC else None
    if record is None or record[0] != mcap.HEADER:
        raise RecordingError(f"{path} is no MCAP file, or has lost its beginning; nothing in it can be used")
    header = mcap.record_of(mcap.mcap_records().Header, record[1])
    if header.profile != PROFILE:
        raise RecordingError(
            f"{path} is an MCAP file of another program ({header.library or 'unnamed'}) and has no end; repair it with "
            "`mcap recover`"
        )


def _next_record(file: BinaryIO, size: int) -> tuple[int, bytes] | None:
    """Kind and body of the record at the file's position; None where no whole record of the data is left."""
    head = file.read(mcap.RECORD_HEAD.size)
    if len(head) < mcap.RECORD_HEAD.size:
        return None
    kind, length = mcap.RECORD_HEAD.unpack(head)
    if kind not in (mcap.HEADER, mcap.CHUNK, mcap.ATTACHMENT, mcap.METADATA) or length > size - file.tell():
        return None
    return kind, file.read(length)


def _notes(offset: int, length: int, body: bytes) -> mcap.ChunkNotes:
    chunk = mcap.record_of(mcap.mcap_records().Chunk, body)
    zstandard = require("zstandard", feature="reading recordings", extra="live")
    if not chunk.uncompressed_size == zstandard.frame_content_size(chunk.data) <= _MAX_CHUNK_BYTES:
        raise ValueError("no chunk of this package")
    content = zstandard.ZstdDecompressor().decompress(chunk.data, chunk.uncompressed_size)
    if zlib.crc32(content) != chunk.uncompressed_crc:
        raise ValueError("the chunk's checksum is wrong")
    return mcap.chunk_notes(offset, length, chunk, content)


def _add_other(index: mcap.Index, kind: int, offset: int, length: int, body: bytes) -> None:
    if kind == mcap.ATTACHMENT:
        index.add_attachment(offset, length, mcap.record_of(mcap.mcap_records().Attachment, body))
    elif kind == mcap.METADATA:
        index.add_metadata(offset, length, mcap.record_of(mcap.mcap_records().Metadata, body))


def _damage() -> tuple[type[Exception], ...]:
    """What reading damaged bytes raises: a power cut may leave a file with zeros, or old blocks of the disk."""
    zstandard = require("zstandard", feature="reading recordings", extra="live")
    exceptions = require("mcap.exceptions", feature="reading recordings", extra="live")
    return (ValueError, OverflowError, struct.error, zstandard.ZstdError, exceptions.McapError)


def _has_end(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    if size < _FOOTER_BYTES + 2 * len(mcap.MAGIC):
        return False
    file.seek(size - _FOOTER_BYTES - len(mcap.MAGIC))
    end = file.read()
    return end[0] == mcap.FOOTER and end.endswith(mcap.MAGIC)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[BinaryIO]:
    try:
        with path.open(mode) as file:
            yield file  # type: ignore[misc]
    except OSError as err:
        raise RecordingError(f"cannot use {path}: {err.strerror or err}") from err


class _WithEnd:
    """A file up to its last whole chunk, then the end that it lacks, as far as readers of MCAP ask for it.

    It reads no more than there is: a damaged length costs no memory.
    """

    def __init__(self, file: BinaryIO, found: Survey) -> None:
        self._file = file
        self._found = found
        self._size = found.whole_bytes + len(found.end)
        self._at = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, n_bytes: int) -> bytes:
        whole, data = self._found.whole_bytes, b""
        if self._at < whole:
            self._file.seek(self._at)
            data = self._file.read(min(n_bytes, whole - self._at))
            self._at += len(data)
        if self._at >= whole and len(data) < n_bytes:
            start = self._at - whole
            more = self._found.end[start : start + n_bytes - len(data)]
            self._at += len(more)
            data += more
        return data
