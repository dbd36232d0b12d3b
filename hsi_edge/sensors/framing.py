"""The bytes of a `SensorFrame`, as they go through sockets and into recordings; docs/sensors.md has the table.

A prefix of 24 bytes, all little endian (magic `HSIF`, u16 version, u16 zero, u32 length of the header, u64 length of
the payload, u32 CRC-32), a header in JSON, and the payload: the pixels in C order, then the mask, if any, as bits. The
checksum (CRC-32 of IEEE 802.3, as in zlib) runs over the first 20 bytes of the prefix, the header and the payload.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Quantity
from hsi_edge.errors import InputError, ManifestError, SensorError
from hsi_edge.records import record_from_plain
from hsi_edge.sensors.frame import SensorFrame

MAGIC = b"HSIF"
VERSION = 1
MAX_HEADER_BYTES = 2**20
_PREFIX = struct.Struct("<4sHHIQI")
_CHECKSUM = struct.Struct("<I")
_CHECKED_BYTES = _PREFIX.size - _CHECKSUM.size
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The JSON header: what `SensorFrame` says of the same names; `mask` tells whether one follows the pixels."""

    shape: tuple[int, ...]
    dtype: Literal["uint8", "uint16", "float32"]
    timestamp_ns: int
    sequence: int
    exposure_us: float | None = None
    gain: float | None = None
    wavelengths_nm: tuple[float, ...] | None = None
    quantity: Quantity = "dn"
    mask: bool = False

    @property
    def pixel_bytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def mask_bytes(self) -> int:
        return (self.shape[0] * self.shape[1] + 7) // 8 if self.mask else 0


def bytes_from_frame(frame: SensorFrame) -> bytes:
    """Write a frame as bytes; all but its `arrival_ns`, which is the receiver's to say.

    Raises:
        InputError: If its exposure, gain or a wavelength is not finite, or a number is too large for 64 bits.
    """
    header = _header_of(frame)
    pixels = np.ascontiguousarray(frame.data, frame.data.dtype.newbyteorder("<"))
    mask = b"" if frame.mask is None else np.packbits(frame.mask).tobytes()
    start = _PREFIX.pack(MAGIC, VERSION, 0, len(header), pixels.nbytes + len(mask), 0)[:_CHECKED_BYTES]
    view = pixels.reshape(-1).view(np.uint8).data
    return b"".join((start, _CHECKSUM.pack(_checksum(start, header, view, mask)), header, view, mask))


def frame_from_bytes(data: bytes | bytearray | memoryview, arrival_ns: int) -> SensorFrame:
    """Read the bytes of one whole frame; its arrays are copies.

    Args:
        data: What `bytes_from_frame` wrote, no more and no less.
        arrival_ns: When the frame reached the host.

    Raises:
        SensorError: If the bytes are damaged, cut short, of a newer version, or no frame; says which field.
    """
    view = memoryview(data)
    if len(view) < _PREFIX.size:
        raise SensorError(f"the frame is cut short: it has {len(view)} bytes; wanted a prefix of {_PREFIX.size}")
    header_bytes, payload_bytes = _lengths(view[: _PREFIX.size], len(view))
    end = _PREFIX.size + header_bytes
    if len(view) != end + payload_bytes:
        raise SensorError(f"the frame has {len(view)} bytes; its lengths at bytes 8 to 19 say {end + payload_bytes}")
    header = _parsed(view[_PREFIX.size : end], payload_bytes)
    _check(view[: _PREFIX.size], view[_PREFIX.size : end], view[end:])
    return _frame(header, bytearray(view[end:]), arrival_ns)


class FrameReader:
    """Puts frames together from a stream of bytes, such as a socket's, with memory for one frame and no more.

    Receive into `space`, then say how many bytes came to `received`. A frame's pixels are allocated when its header
    has been checked, and the frame takes that memory with it. After an error the stream cannot be followed any more.

    Args:
        limit_bytes: The largest frame to accept, with its header.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._restart()

    def _restart(self) -> None:
        self._prefix = bytearray(_PREFIX.size)
        self._header_bytes = bytearray()
        self._header: _Header | None = None
        self._payload_bytes = 0
        self._part, self._filled = self._prefix, 0

    @property
    def space(self) -> memoryview:
        """Where the next bytes belong; never empty, and never beyond the end of the present frame."""
        return memoryview(self._part)[self._filled :]

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return self._part is not self._prefix or self._filled > 0

    def received(self, n_bytes: int, arrival_ns: int) -> SensorFrame | None:
        """Take note of bytes that were put into `space`; return the frame that they completed, if they did.

        Raises:
            SensorError: If the bytes are no frame, are damaged, or announce more than the limit; says which field.
        """
        self._filled += n_bytes
        if self._filled < len(self._part):
            return None
        if self._part is self._prefix:
            length, self._payload_bytes = _lengths(self._prefix, self._limit_bytes)
            self._header_bytes = bytearray(length)
            self._part, self._filled = self._header_bytes, 0
            return None
        if self._header is None:
            self._header = _parsed(self._header_bytes, self._payload_bytes)
            self._part, self._filled = bytearray(self._payload_bytes), 0
            return None
        _check(self._prefix, self._header_bytes, self._part)
        frame = _frame(self._header, self._part, arrival_ns)
        self._restart()
        return frame


def _header_of(frame: SensorFrame) -> bytes:
    wavelengths = frame.wavelengths_nm
    fields = {
        "shape": list(frame.data.shape),
        "dtype": frame.data.dtype.name,
        "timestamp_ns": int(frame.timestamp_ns),
        "sequence": int(frame.sequence),
        "exposure_us": None if frame.exposure_us is None else float(frame.exposure_us),
        "gain": None if frame.gain is None else float(frame.gain),
        "wavelengths_nm": None if wavelengths is None else np.asarray(wavelengths, np.float64).tolist(),
        "quantity": frame.quantity,
        "mask": frame.mask is not None,
    }
    if frame.timestamp_ns not in _INT64 or frame.sequence not in _INT64:
        raise InputError(f"timestamp_ns {frame.timestamp_ns} and sequence {frame.sequence} must fit into 64 bits")
    try:
        return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as err:
        raise InputError("exposure_us, gain and wavelengths_nm of a frame must be finite; None is unknown") from err


def _lengths(prefix: bytearray | memoryview, limit_bytes: int) -> tuple[int, int]:
    """Lengths of the header and the payload."""
    magic, version, zero, header_bytes, payload_bytes, _ = _PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise SensorError(f"bytes 0 to 3 are {magic!r}; a frame starts with {MAGIC!r}: this is something else")
    if version != VERSION or zero != 0:
        raise SensorError(f"bytes 4 to 7 say version {version} and {zero}; wanted version {VERSION} and 0")
    if not 2 <= header_bytes <= MAX_HEADER_BYTES:
        raise SensorError(f"bytes 8 to 11: a header of {header_bytes} bytes; wanted 2 to {MAX_HEADER_BYTES}")
    if payload_bytes == 0 or _PREFIX.size + header_bytes + payload_bytes > limit_bytes:
        raise SensorError(f"bytes 12 to 19: a payload of {payload_bytes} bytes; wanted 1 to {limit_bytes} in all")
    return header_bytes, payload_bytes


def _parsed(data: bytearray | memoryview, payload_bytes: int) -> _Header:
    try:
        header = record_from_plain(_Header, json.loads(bytes(data)))
    except (ValueError, RecursionError) as err:
        raise SensorError(f"the header, from byte {_PREFIX.size} on, is no JSON in UTF-8: {err}") from err
    except ManifestError as err:
        raise SensorError(f"the header, from byte {_PREFIX.size} on: {err}") from err
    if len(header.shape) != 3 or min(header.shape) < 1:
        raise SensorError(f"the header's shape is {list(header.shape)}; wanted [rows, cols, channels], each 1 or more")
    if header.timestamp_ns not in _INT64 or header.sequence not in _INT64:
        raise SensorError("the header's timestamp_ns and sequence must fit into 64 bits")
    if header.wavelengths_nm is not None and len(header.wavelengths_nm) != header.shape[2]:
        raise SensorError(
            f"the header has {len(header.wavelengths_nm)} wavelengths_nm for {header.shape[2]} channels; wanted as many"
        )
    if header.pixel_bytes + header.mask_bytes != payload_bytes:
        raise SensorError(
            f"the payload's length at bytes 12 to 19 is {payload_bytes}; the header's shape, dtype and mask make "
            f"{header.pixel_bytes + header.mask_bytes}"
        )
    return header


def _checksum(*parts: bytes | bytearray | memoryview) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value


def _check(prefix: bytearray | memoryview, header: bytearray | memoryview, payload: bytearray | memoryview) -> None:
    (wanted,) = _CHECKSUM.unpack(prefix[_CHECKED_BYTES:])
    found = _checksum(prefix[:_CHECKED_BYTES], header, payload)
    if found != wanted:
        raise SensorError(f"the frame is damaged: bytes 20 to 23 say CRC-32 {wanted:08x}, its bytes have {found:08x}")


def _frame(header: _Header, payload: bytearray, arrival_ns: int) -> SensorFrame:
    dtype = np.dtype(header.dtype)
    pixels: NDArray[Any] = np.frombuffer(payload, dtype.newbyteorder("<"), prod(header.shape))
    mask = None
    if header.mask:
        bits = np.frombuffer(payload, np.uint8, offset=header.pixel_bytes)
        rows, cols, _ = header.shape
        mask = np.unpackbits(bits, count=rows * cols).astype(np.bool_).reshape(rows, cols)
    return SensorFrame(
        data=pixels.astype(dtype, copy=False).reshape(header.shape),
        timestamp_ns=header.timestamp_ns,
        sequence=header.sequence,
        arrival_ns=arrival_ns,
        exposure_us=header.exposure_us,
        gain=header.gain,
        mask=mask,
        wavelengths_nm=None if header.wavelengths_nm is None else np.array(header.wavelengths_nm),
        quantity=header.quantity,
    )
