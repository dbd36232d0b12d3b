"""The newest result for another program on this device; docs/recording.md has the layout for readers in C++."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError, OutputError, SensorError, SensorTimeout
from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.result import LiveResult
from hsi_edge.live.shared_segment import SegmentReader, SegmentWriter
from hsi_edge.live.telemetry import telemetry

FOLDER = Path("/dev/shm")  # noqa: S108 - Linux's shared memory
_POLL_S = 0.002


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedResult:
    """A result of another process.

    Attributes:
        published_ns: When, in the writer's host time.
        hr_hsi: `(rows, cols, bands)` float32; yours.
        mask: `(rows, cols)` bool, True where the pixel is valid; None if all are.
        wavelengths_nm: Of the bands; None if unknown.
        quantity: What the numbers are; None if unknown.
        telemetry: What is said of the result: `hsi_edge.live.telemetry.telemetry`.
    """

    published_ns: int
    hr_hsi: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    wavelengths_nm: NDArray[np.float64] | None
    quantity: str | None
    telemetry: dict[str, Any]


class SharedMemorySink:
    """Publishes each result; readers find the newest. One writer to a name.

    Args:
        name: Letters, digits, `.`, `_` and `-`; the file is `/dev/shm/hsi_edge.<name>`.

    Raises:
        InputError: If the name has other characters.
    """

    name = "shared_memory"

    def __init__(self, name: str) -> None:
        self._path = _path(name)
        self._segment: SegmentWriter | None = None
        self._published = 0

    def take(self, result: LiveResult) -> None:
        """Publish a result.

        Raises:
            OutputError: If the system has no such memory, it is used up, or another process publishes by this name.
        """
        cube = result.hr_hsi
        header = {
            "published_ns": host_time_ns(),
            "shape": list(cube.data.shape),
            "mask": cube.mask is not None,
            "wavelengths_nm": None if cube.wavelengths_nm is None else cube.wavelengths_nm.tolist(),
            "quantity": cube.quantity,
            "telemetry": telemetry(result),
        }
        text = json.dumps(header, allow_nan=False).encode()
        parts: tuple[NDArray[Any], ...] = (np.asarray(cube.data, np.float32),)
        parts += () if cube.mask is None else (cube.mask.view(np.uint8),)
        try:
            segment = self._fitting(len(text), sum(part.nbytes for part in parts))
        except OSError as err:
            raise OutputError(f"cannot publish to {self._path}: {err.strerror or err}") from err
        self._published += 1
        segment.publish(self._published, text, parts)

    def close(self) -> None:
        """Remove the memory; what readers have copied is theirs."""
        if self._segment is not None:
            self._path.unlink(missing_ok=True)
            self._segment.close()
            self._segment = None

    def _fitting(self, text_bytes: int, data_bytes: int) -> SegmentWriter:
        if self._segment is not None and not self._segment.fits(text_bytes, data_bytes):
            self._segment.close()
            self._segment = None
        if self._segment is None:
            # The text's length changes with its numbers and words.
            self._segment = SegmentWriter(self._path, 2 * text_bytes, data_bytes)
        return self._segment


class SharedMemoryReader:
    """Finds what a `SharedMemorySink` of the same name publishes in another process.

    Args:
        name: The sink's.

    Raises:
        InputError: If the name has characters that no sink's has.
    """

    def __init__(self, name: str) -> None:
        self._path = _path(name)
        self._segment: SegmentReader | None = None
        self._seen = 0

    def __enter__(self) -> SharedMemoryReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def newest(self, timeout_s: float) -> SharedResult:
        """Return the newest result that this reader has not returned yet.

        What a writer left that does not run any more is not returned.

        Raises:
            SensorTimeout: If none was published in that time.
            SensorError: If the memory is of another version of this package, or may not be read.
        """
        due_s = time.monotonic() + timeout_s
        while (found := self._look()) is None:
            if time.monotonic() >= due_s:
                raise SensorTimeout(f"nothing new was published to {self._path} within {timeout_s} s")
            time.sleep(_POLL_S)
        return found

    def close(self) -> None:
        """Give back the memory."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _look(self) -> SharedResult | None:
        segment = self._present()
        if segment is None or (number := segment.newest()) == self._seen:
            return None
        content = segment.content(number)
        if content is None:
            return None
        self._seen = number
        return _result(*content)

    def _present(self) -> SegmentReader | None:
        """The segment that lies there now; None where there is none whose writer lives."""
        try:
            if self._segment is not None and self._path.stat().st_ino == self._segment.inode:
                return self._segment
            self.close()
            segment = SegmentReader(self._path)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise SensorError(f"cannot read {self._path}: {err.strerror or err}") from err
        if not segment.is_written():
            segment.close()
            return None
        self._segment, self._seen = segment, 0
        return segment


def _path(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"shared memory cannot be called {name!r}; wanted letters, digits, '.', '_' and '-'")
    return FOLDER / f"hsi_edge.{name}"


def _result(text: bytes, data: NDArray[np.uint8]) -> SharedResult:
    header = json.loads(text)
    rows, cols, bands = header["shape"]
    pixel_bytes = prod((rows, cols, bands, np.dtype(np.float32).itemsize))
    wavelengths = header["wavelengths_nm"]
    return SharedResult(
        published_ns=header["published_ns"],
        hr_hsi=data[:pixel_bytes].view(np.float32).reshape(rows, cols, bands),
        mask=data[pixel_bytes:].view(np.bool_).reshape(rows, cols) if header["mask"] else None,
        wavelengths_nm=None if wavelengths is None else np.array(wavelengths),
        quantity=header["quantity"],
        telemetry=header["telemetry"],
    )
