"""A recording, read back: what it was made with, its raw frames in order, its telemetry, outputs and tags."""

from __future__ import annotations

import heapq
import json
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from hsi_edge.errors import ManifestError, RecordingError, SensorError, require
from hsi_edge.live.mcap_file import PROFILE
from hsi_edge.live.recording_files import ENDING
from hsi_edge.live.repair import finished, readable
from hsi_edge.live.setup import BundleFacts, Setup
from hsi_edge.live.topics import FRAMES, OUTPUT, TELEMETRY
from hsi_edge.records import record_from_plain
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.framing import frame_from_bytes
from hsi_edge.sensors.stream import Stream

_STREAMS: dict[str, Stream] = {topic.name: stream for stream, topic in FRAMES.items()}

# What the package mcap runs into where bytes are not what they should be.
_DAMAGE = (ValueError, KeyError, struct.error, MemoryError, OverflowError, ManifestError)


@dataclass(frozen=True, kw_only=True)
class FrameKey:
    """Which raw frame of its stream it was: the sensor's count, and when it arrived, in the host's time."""

    sequence: int
    arrival_ns: int


@dataclass(frozen=True, kw_only=True)
class ProcessedPair:
    """A pair that a result was made of.

    Attributes:
        spectral, rgb: Its frames; no RGB frame where there was none.
        digest: Of the result (`hsi_edge.live.digest`).
    """

    spectral: FrameKey
    rgb: FrameKey | None
    digest: int


@dataclass(frozen=True)
class _Part:
    """One file: its path, and when its first message was logged."""

    path: Path
    start_ns: int


class Recording:
    """A recording of one or more files; only what is being looked at is in memory.

    A file whose end is missing is read up to its last whole chunk, and stays as it is. The iterators can be used one
    after the other, or several at once.

    Attributes:
        setup: What it was made with.
        files: In order.
        damage: What is missing, in words.
    """

    def __init__(self, setup: Setup, parts: tuple[_Part, ...], damage: tuple[str, ...]) -> None:
        self.setup = setup
        self._parts = parts
        self.files = tuple(part.path for part in parts)
        self.damage = damage

    @classmethod
    def open(cls, path: str | Path) -> Recording:
        """Open a recording.

        Args:
            path: One of its files, which is then read alone, or the folder of all its files and of no others.

        Raises:
            RecordingError: If there is none or more than one, or a file is damaged or of another program.
            MissingPackageError: If a package is not installed.
        """
        files = _files(Path(path))
        opened = [_opened(file) for file in files]
        parts = sorted((part for part, _ in opened), key=lambda part: part.start_ns)
        return cls(opened[0][1], tuple(parts), (*_unfinished(files), *_gaps(files)))

    def arrivals(self) -> Iterator[tuple[Stream, SensorFrame]]:
        """Every raw frame with its stream, by arrival; those of the same moment in the order in which they were added.

        Raises:
            RecordingError: If what is read is damaged.
        """
        for topic, message in self._messages(*_STREAMS):
            yield _STREAMS[topic], _frame(message)

    def frames(self, stream: Stream) -> Iterator[SensorFrame]:
        """The raw frames of one stream, by arrival.

        Raises:
            RecordingError: If what is read is damaged.
        """
        for _, message in self._messages(FRAMES[stream].name):
            yield _frame(message)

    def results(self) -> Iterator[dict[str, Any]]:
        """What was said of each result, in order: `hsi_edge.live.telemetry.telemetry`.

        Raises:
            RecordingError: If what is read is damaged.
        """
        for _, message in self._messages(TELEMETRY.name):
            yield _mapping(message)

    def processed(self) -> Iterator[ProcessedPair]:
        """The pairs that results were made of, in order.

        Raises:
            RecordingError: If what is read is damaged.
        """
        yield from map(_processed, self.results())

    def outputs(self) -> Iterator[SensorFrame]:
        """The results' pixels as float32, where they were recorded; `sequence` is the result's number.

        Raises:
            RecordingError: If what is read is damaged.
        """
        for _, message in self._messages(OUTPUT.name):
            frame = _frame(message)
            is_half = frame.data.dtype == np.uint16
            yield replace(frame, data=frame.data.view(np.float16).astype(np.float32)) if is_half else frame

    def tags(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The tags of one kind: their time in nanoseconds, and values.

        Raises:
            RecordingError: If what is read is damaged.
        """
        for _, message in self._messages(f"/{name}"):
            yield message.log_time, _mapping(message)

    def _messages(self, *topics: str) -> Iterator[tuple[str, Any]]:
        """Topic and message of all files, by time; a file is opened when its time has come."""
        waiting = deque(enumerate(self._parts))
        heads: list[tuple[int, int, Any, Iterator[Any]]] = []
        while waiting or heads:
            while waiting and (not heads or waiting[0][1].start_ns <= heads[0][0]):
                number, part = waiting.popleft()
                _push(heads, number, _messages_of(part.path, topics))
            if heads:
                _, number, (topic, message), rest = heapq.heappop(heads)
                yield topic, message
                _push(heads, number, rest)


def _push(heads: list[tuple[int, int, Any, Iterator[Any]]], number: int, messages: Iterator[Any]) -> None:
    if (head := next(messages, None)) is not None:
        # No two heads have the same number, so nothing beyond it is compared.
        heapq.heappush(heads, (head[1].log_time, number, head, messages))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise RecordingError(f"cannot read {path}: there is no such file or folder; check the path")
    files = sorted(path.glob(f"*{ENDING}"))
    if not files:
        raise RecordingError(f"{path} has no recording; wanted files that end in {ENDING}")
    names = sorted({_series(file) for file in files})
    if len(names) > 1:
        raise RecordingError(
            f"{path} has {len(names)} recordings ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}); "
            "give the path of one file, or put the files of one recording into a folder of their own"
        )
    return files


def _series(file: Path) -> str:
    return file.stem.rpartition("-")[0] or file.stem


def _unfinished(files: list[Path]) -> Iterator[str]:
    for file in files:
        if not finished(file):
            yield f"{file.name} has no end: the recorder was killed, or is still at it; what came last may be missing"


def _gaps(files: list[Path]) -> Iterator[str]:
    if len(files) == 1:
        return
    for number, file in enumerate(files, 1):
        if not file.stem.endswith(f"-{number:04d}"):
            yield f"there is {file.name} where number {number} should be: a file is missing"
            return


def _opened(path: Path) -> tuple[_Part, Setup]:
    with _reader(path) as reader:
        summary = reader.get_summary()
        if summary is None or summary.statistics is None:
            raise RecordingError(f"{path} has no summary, so it is not of this package; make one with `mcap recover`")
        if reader.get_header().profile != PROFILE:
            raise RecordingError(f"{path} is an MCAP file of another program; wanted one that hsi-edge has recorded")
        facts = [(metadata.name, metadata.metadata) for metadata in reader.iter_metadata()]
        setup = Setup(
            files={attachment.name: attachment.data for attachment in reader.iter_attachments()},
            bundles=tuple(record_from_plain(BundleFacts, plain) for name, plain in facts if name == "bundle"),
            version=next((plain.get("version", "") for name, plain in facts if name == "hsi_edge"), ""),
        )
        return _Part(path, summary.statistics.message_start_time), setup


def _messages_of(path: Path, topics: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    with _reader(path) as reader:
        for _, channel, message in reader.iter_messages(topics):
            yield channel.topic, message


@contextmanager
def _reader(path: Path) -> Iterator[Any]:
    readers = require("mcap.reader", feature="reading recordings", extra="live")
    with readable(path) as file, _damage_named(path):
        yield readers.SeekingReader(file, validate_crcs=True)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    zstandard = require("zstandard", feature="reading recordings", extra="live")
    exceptions = require("mcap.exceptions", feature="reading recordings", extra="live")
    try:
        yield
    except (*_DAMAGE, zstandard.ZstdError, exceptions.McapError) as err:
        raise RecordingError(f"{path} is damaged ({err}); save what is whole in it with `mcap recover`") from err


def _frame(message: Any) -> SensorFrame:
    try:
        return frame_from_bytes(message.data, message.log_time)
    except SensorError as err:
        raise RecordingError(f"a recorded frame is damaged: {err}") from err


def _mapping(message: Any) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], dict(json.loads(message.data)))
    except (ValueError, TypeError) as err:
        raise RecordingError(f"a recorded message is no JSON: {err}") from err


def _key(frame: dict[str, int]) -> FrameKey:
    return FrameKey(sequence=frame["sequence"], arrival_ns=frame["arrival_ns"])


def _processed(told: dict[str, Any]) -> ProcessedPair:
    try:
        pair, rgb = told["pair"], told["pair"]["rgb"]
        return ProcessedPair(
            spectral=_key(pair["spectral"]),
            rgb=None if rgb is None else _key(rgb),
            digest=told["digest"],
        )
    except (KeyError, TypeError) as err:
        raise RecordingError(f"the recording's telemetry does not say which pairs were used: {err}") from err
