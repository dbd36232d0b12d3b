"""What stands where in an MCAP file, and the end of the file that is made of it.

Format: the MCAP specification, version 0 (https://mcap.dev/spec). Files are written here record by record, with the
records of the package `mcap` and not by its `Writer`: the end of a file is then made by the same `Index` after a clean
stop and after a crash, and the level of compression can be chosen.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hsi_edge.errors import require

MAGIC = b"\x89MCAP0\r\n"
RECORD_HEAD = struct.Struct("<BQ")
"""What each record begins with: its kind and the length of what follows."""
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, ATTACHMENT, METADATA = 1, 2, 3, 4, 5, 6, 9, 12
"""Kinds of records."""
_MESSAGE = struct.Struct("<HIQQ")
"""Channel, sequence, time of logging, time of publishing; the data follow."""


def mcap_records() -> Any:
    """The module of MCAP's records.

    Raises:
        MissingPackageError: If the package is not installed.
    """
    return require("mcap.records", feature="recording", extra="live")


def bytes_of(record: Any) -> bytes:
    """A record as it stands in the file."""
    builder = require("mcap.data_stream", feature="recording", extra="live").RecordBuilder()
    record.write(builder)
    written: bytes = builder.end()
    return written


def message_head(channel_id: int, sequence: int, log_time_ns: int, publish_time_ns: int, n_bytes: int) -> bytes:
    """What stands before the data of a message; a frame is too large to be copied for it."""
    fields = _MESSAGE.pack(channel_id, sequence, log_time_ns, publish_time_ns)
    return RECORD_HEAD.pack(MESSAGE, len(fields) + n_bytes) + fields


def chunk_head(chunk: Any) -> bytes:
    """What stands before the data of a chunk."""
    compression = chunk.compression.encode()
    fields = struct.pack(
        f"<QQQII{len(compression)}sQ",
        chunk.message_start_time,
        chunk.message_end_time,
        chunk.uncompressed_size,
        chunk.uncompressed_crc,
        len(compression),
        compression,
        len(chunk.data),
    )
    return RECORD_HEAD.pack(CHUNK, len(fields) + len(chunk.data)) + fields


def record_of(kind: Any, body: bytes | memoryview) -> Any:
    """Read a record of a kind of the package `mcap` from what follows its head."""
    streams = require("mcap.data_stream", feature="recording", extra="live")
    return kind.read(streams.ReadDataStream(io.BytesIO(body)))


def records_in(content: bytes) -> Iterator[tuple[int, int, memoryview]]:
    """Where each record of a chunk begins, its kind, and what follows its head."""
    view, at = memoryview(content), 0
    while at < len(view):
        kind, length = RECORD_HEAD.unpack_from(view, at)
        body = at + RECORD_HEAD.size
        yield at, kind, view[body : body + length]
        at = body + length


@dataclass(frozen=True, kw_only=True)
class ChunkNotes:
    """What is in a chunk.

    Attributes:
        schemas, channels: That are described in it, by number.
        counts: Its messages, by channel.
        index: Its record in the summary.
        message_indexes: What follows it in the file.
    """

    schemas: dict[int, Any]
    channels: dict[int, Any]
    counts: dict[int, int]
    index: Any
    message_indexes: bytes


def chunk_notes(offset: int, length: int, chunk: Any, content: bytes) -> ChunkNotes:
    """Look through a chunk.

    Args:
        offset: Where it begins in the file.
        length: Of the whole record.
        chunk: Its record.
        content: It, not compressed.

    Raises:
        ValueError, struct.error, McapError: If the content is no series of whole records.
    """
    kinds = mcap_records()
    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    found: dict[int, Any] = {}
    for at, kind, body in records_in(content):
        if kind == SCHEMA:
            schema = record_of(kinds.Schema, body)
            schemas[schema.id] = schema
        elif kind == CHANNEL:
            channel = record_of(kinds.Channel, body)
            channels[channel.id] = channel
        elif kind == MESSAGE:
            channel_id, _, log_time, _ = _MESSAGE.unpack_from(body)
            found.setdefault(channel_id, kinds.MessageIndex(channel_id, [])).records.append((log_time, at))
    written = {channel_id: bytes_of(index) for channel_id, index in found.items()}
    ends = itertools.accumulate(map(len, written.values()), initial=offset + length)
    index = kinds.ChunkIndex(
        chunk_length=length,
        chunk_start_offset=offset,
        compression=chunk.compression,
        compressed_size=len(chunk.data),
        message_end_time=chunk.message_end_time,
        message_index_length=sum(map(len, written.values())),
        message_index_offsets=dict(zip(written, ends, strict=False)),
        message_start_time=chunk.message_start_time,
        uncompressed_size=chunk.uncompressed_size,
    )
    return ChunkNotes(
        schemas=schemas,
        channels=channels,
        counts={channel_id: len(index.records) for channel_id, index in found.items()},
        index=index,
        message_indexes=b"".join(written.values()),
    )


class Index:
    """What the end of a file says of all that stands before it."""

    def __init__(self) -> None:
        self.schemas: dict[int, Any] = {}
        self.channels: dict[int, Any] = {}
        self._chunks: list[Any] = []
        self._attachments: list[Any] = []
        self._metadata: list[Any] = []
        self._counts: Counter[int] = Counter()

    def add_chunk(self, chunk: ChunkNotes) -> None:
        """Take note of a chunk that is in the file, with its message indexes."""
        self.schemas |= chunk.schemas
        self.channels |= chunk.channels
        self._counts.update(chunk.counts)
        self._chunks.append(chunk.index)

    def add_attachment(self, offset: int, length: int, attachment: Any) -> None:
        """Take note of a file inside the file."""
        self._attachments.append(
            mcap_records().AttachmentIndex(
                offset=offset,
                length=length,
                log_time=attachment.log_time,
                create_time=attachment.create_time,
                data_size=len(attachment.data),
                name=attachment.name,
                media_type=attachment.media_type,
            )
        )

    def add_metadata(self, offset: int, length: int, metadata: Any) -> None:
        """Take note of a set of keys and values."""
        self._metadata.append(mcap_records().MetadataIndex(offset=offset, length=length, name=metadata.name))

    def end(self, offset: int) -> bytes:
        """All that follows the data, which end at `offset`: end of data, summary, footer, magic."""
        data_end = bytes_of(mcap_records().DataEnd(0))
        start = offset + len(data_end)
        groups = (
            list(self.schemas.values()),
            list(self.channels.values()),
            [self._statistics()],
            self._chunks,
            self._attachments,
            self._metadata,
        )
        summary, offsets = b"", b""
        for group in filter(None, groups):
            written = b"".join(map(bytes_of, group))
            offsets += bytes_of(mcap_records().SummaryOffset(written[0], start + len(summary), len(written)))
            summary += written
        return data_end + summary + offsets + _footer(start, start + len(summary), summary + offsets) + MAGIC

    def _statistics(self) -> Any:
        return mcap_records().Statistics(
            attachment_count=len(self._attachments),
            channel_count=len(self.channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._chunks),
            message_count=self._counts.total(),
            message_end_time=max((chunk.message_end_time for chunk in self._chunks), default=0),
            message_start_time=min((chunk.message_start_time for chunk in self._chunks), default=0),
            metadata_count=len(self._metadata),
            schema_count=len(self.schemas),
        )


def _footer(summary_start: int, offsets_start: int, summary: bytes) -> bytes:
    # The checksum runs over the summary and the footer up to the checksum itself.
    without = bytes_of(mcap_records().Footer(summary_start, offsets_start, 0))[:-4]
    return without + struct.pack("<I", zlib.crc32(without, zlib.crc32(summary)))
