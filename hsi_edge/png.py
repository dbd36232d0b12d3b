"""A PNG writer for pictures in reports: needs nothing but the standard library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError

_UP = 2  # the filter that predicts a pixel by the one above: best of the simple ones on magnified pixels


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """Return an 8-bit RGB picture as the bytes of a PNG file (ISO/IEC 15948).

    Args:
        rgb: `(rows, cols, 3)` uint8, at least one pixel.

    Raises:
        InputError: If the array is of another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise InputError(f"a PNG picture is (rows, cols, 3) of uint8, not empty; got {rgb.shape} of {rgb.dtype}")
    rows, cols, _ = rgb.shape
    header = struct.pack(">IIBBBBB", cols, rows, 8, 2, 0, 0, 0)
    pixels = zlib.compress(_filtered(rgb).tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _filtered(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lines = np.ascontiguousarray(rgb).reshape(rgb.shape[0], -1)
    filtered = np.empty((lines.shape[0], lines.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = lines[0]
    filtered[1:, 1:] = lines[1:] - lines[:-1]  # modulo 256, as the standard wants
    return filtered


def _chunk(kind: bytes, payload: bytes) -> bytes:
    body = kind + payload
    return struct.pack(">I", len(payload)) + body + struct.pack(">I", zlib.crc32(body))
