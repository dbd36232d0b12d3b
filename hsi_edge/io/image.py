"""Photographs: PNG and JPEG, 8 and 16 bit, through OpenCV."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, require
from hsi_edge.io.window import reading

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"


def read_image(path: Path) -> Cube:
    """Read a PNG or JPEG as a cube of bands red, green, blue, or of one grey band; uint8 and uint16 stay as they are.

    A pixel of alpha 0 is invalid in the mask; other alpha values are ignored. Pixels are in the order of the file: a
    camera's note to turn the picture (EXIF orientation) is not applied, as it would turn it away from the other sensor.
    What the numbers mean (they are gamma-coded in most photographs) the file does not say, so `quantity` is None.

    Raises:
        InputError: If the file is damaged or of another format.
    """
    with reading(path):
        pixels = decode(path.read_bytes())
    valid = pixels[:, :, 3] != 0 if pixels.shape[2] == 4 else None
    colour = np.ascontiguousarray(pixels[:, :, :3])
    return Cube(
        data=colour,
        mask=None if valid is None or valid.all() else valid,
        band_names=("red", "green", "blue") if colour.shape[2] == 3 else ("grey",),
    )


def decode(content: bytes) -> NDArray[Any]:
    """Pixels of a PNG or JPEG file, `(rows, cols, 1, 3 or 4)`: grey, RGB or RGBA; uint8 or uint16.

    Raises:
        InputError: If the content is damaged or of another format.
    """
    cv2 = require("cv2", feature="reading PNG and JPEG files", extra="opencv")
    _check_complete(content)
    pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError("its pixels cannot be decoded: the file is damaged")
    if pixels.ndim == 2:
        return pixels[:, :, np.newaxis]
    return pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV has blue first


def _check_complete(content: bytes) -> None:
    """OpenCV hands out a half-decoded picture for many a damaged file, so damage is looked for before."""
    if content.startswith(_PNG_SIGNATURE):
        _check_png(content)
    elif not content.startswith(_JPEG_SIGNATURE):
        raise InputError("it is neither a PNG nor a JPEG file")
    elif content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        # A camera's preview inside the header has an end marker, too: it must come after the last start of a scan.
        raise InputError("the JPEG file is cut short: it has no end marker")


def _check_png(content: bytes) -> None:
    """Walk the chunks (length, kind, payload, CRC-32 of kind and payload) to the end marker."""
    start = len(_PNG_SIGNATURE)
    while start + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, start)
        body = content[start + 4 : start + 8 + length]
        start += 12 + length
        if start > len(content):
            break
        if struct.unpack_from(">I", content, start - 4) != (zlib.crc32(body),):
            raise InputError("the PNG file is damaged: a checksum is wrong")
        if body == b"IEND":
            return
    raise InputError("the PNG file is cut short: it has no end marker")
