"""An MCAP file that grows by whole chunks, and is readable up to its last one at every moment of its life."""

from __future__ import annotations

import os
import zlib
from dataclasses import asdict, dataclass
from io import FileIO

from hsi_edge.errors import require
from hsi_edge.live.mcap_index import MAGIC, Index, bytes_of, chunk_head, chunk_notes, mcap_records, message_head
from hsi_edge.live.setup import Setup

PROFILE = "hsi_edge"
"""What the header of our files says, and that of no others."""

# Level 3 takes longer for next to nothing on camera frames, whose noise does not compress.
_ZSTD_LEVEL = 1
_CHUNK_BYTES = 2**20
_UINT32 = 2**32


@dataclass(frozen=True, kw_only=True)
class Topic:
    """What messages of one kind are called, and how they are to be read.

    Attributes:
        name: Such as `/rgb`.
        encoding: Of the messages.
        schema_name, schema_encoding, schema: What describes them; a text.
        metadata: More for the reader.
    """

    name: str
    encoding: str
    schema_name: str
    schema_encoding: str
    schema: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One message: its topic, when it reached this host, its own time, its count, and its bytes."""

    topic: Topic
    log_time_ns: int
    publish_time_ns: int
    sequence: int
    data: bytes


class McapFile:
    """Writes one file.

    Args:
        file: Empty, opened for writing, without a buffer; it stays the caller's.
        setup: What stands at its beginning.
        created_ns: When it was begun.
    """

    def __init__(self, file: FileIO, setup: Setup, created_ns: int) -> None:
        self._file = file
        self._index = Index()
        self._topics: dict[Topic, int] = {}
        self._parts: list[bytes] = []
        self._times_ns: list[int] = []
        self._chunk_bytes = 0
        self._compressor = require("zstandard", feature="recording", extra="live").ZstdCompressor(level=_ZSTD_LEVEL)
        self.size = 0
        """Bytes of whole records; what the file has beyond was cut short by an error."""
        self._write(MAGIC + bytes_of(mcap_records().Header(PROFILE, f"hsi_edge {setup.version}")))
        self._write_setup(setup, created_ns)
        self.sync()

    def add(self, message: Stored) -> None:
        """Add a message; it is in the file after the next `sync`, or when its chunk is full.

        Raises:
            OSError: From the disk; the file is then as long as `size` says, and `finish` may still succeed.
        """
        channel_id = self._channel(message.topic)
        log_time_ns, publish_time_ns = max(0, message.log_time_ns), max(0, message.publish_time_ns)
        sequence = message.sequence % _UINT32
        self._append(message_head(channel_id, sequence, log_time_ns, publish_time_ns, len(message.data)))
        self._append(message.data)
        self._times_ns.append(log_time_ns)
        if self._chunk_bytes >= _CHUNK_BYTES:
            self._write_chunk()

    def sync(self) -> None:
        """Bring all that was added into the file, and the file onto the disk.

        Raises:
            OSError: From the disk.
        """
        self._write_chunk()
        os.fsync(self._file.fileno())

    def finish(self, *, drop_waiting: bool = False) -> None:
        """Write the end of the file; nothing can be added any more.

        Args:
            drop_waiting: Leave out what is not in the file yet, after an error of the disk.

        Raises:
            OSError: From the disk; `repair` can do it later.
        """
        if not drop_waiting:
            self._write_chunk()
        self._file.seek(self.size)
        self._file.truncate()
        self._write(self._index.end(self.size))
        os.fsync(self._file.fileno())

    def _write_setup(self, setup: Setup, created_ns: int) -> None:
        kinds = mcap_records()
        facts = [kinds.Metadata("hsi_edge", {"version": setup.version})]
        facts += [kinds.Metadata("bundle", asdict(bundle)) for bundle in setup.bundles]
        for metadata in facts:
            written = bytes_of(metadata)
            self._index.add_metadata(self.size, len(written), metadata)
            self._write(written)
        for name, content in setup.files.items():
            attachment = kinds.Attachment(created_ns, created_ns, name, "application/octet-stream", content)
            written = bytes_of(attachment)
            self._index.add_attachment(self.size, len(written), attachment)
            self._write(written)

    def _channel(self, topic: Topic) -> int:
        """The number of a topic; a new one is described in the chunk that is being made."""
        if topic not in self._topics:
            number = len(self._topics) + 1
            schema = mcap_records().Schema(number, topic.schema.encode(), topic.schema_encoding, topic.schema_name)
            channel = mcap_records().Channel(number, topic.name, topic.encoding, dict(topic.metadata), number)
            self._append(bytes_of(schema) + bytes_of(channel))
            self._topics[topic] = number
        return self._topics[topic]

    def _append(self, part: bytes) -> None:
        self._parts.append(part)
        self._chunk_bytes += len(part)

    def _write_chunk(self) -> None:
        if not self._times_ns:
            return
        content = b"".join(self._parts)
        chunk = mcap_records().Chunk(
            compression="zstd",
            data=self._compressor.compress(content),
            message_end_time=max(self._times_ns),
            message_start_time=min(self._times_ns),
            uncompressed_crc=zlib.crc32(content),
            uncompressed_size=len(content),
        )
        head = chunk_head(chunk)
        notes = chunk_notes(self.size, len(head) + len(chunk.data), chunk, content)
        self._write(head, chunk.data, notes.message_indexes)
        self._index.add_chunk(notes)
        self._parts, self._times_ns, self._chunk_bytes = [], [], 0

    def _write(self, *parts: bytes) -> None:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[self._file.write(view) :]
        self.size += sum(map(len, parts))
