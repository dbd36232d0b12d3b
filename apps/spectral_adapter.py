"""Hand a vendor SDK's frames to hsi_edge over TCP. Copy this file beside the SDK: it needs NumPy and nothing else.

Try it: `python apps/spectral_adapter.py 127.0.0.1 9100` sends synthetic frames; the bytes are those of docs/sensors.md.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import sys
import time
import zlib
from contextlib import suppress
from typing import Any

import numpy as np


class Adapter:
    """Give `on_frame` to the SDK as its callback."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._connection: socket.socket | None = None
        self._sequence = itertools.count()  # counts the frames that do not get through, too: hsi_edge sees the gaps

    def on_frame(self, pixels: np.ndarray[Any, Any], **facts: object) -> None:
        """Send one frame of uint8, uint16 or float32, `(rows, cols, bands)`; never raises for a broken connection."""
        header = {"shape": pixels.shape, "dtype": pixels.dtype.name, "sequence": next(self._sequence), **facts}
        text, payload = json.dumps(header).encode(), pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        start = struct.pack("<4sHHIQ", b"HSIF", 1, 0, len(text), len(payload))
        message = start + struct.pack("<I", zlib.crc32(start + text + payload)) + text + payload
        try:
            self._connection = self._connection or socket.create_connection(self._address, timeout=1.0)
            self._connection.sendall(message)
        except OSError as err:  # this frame is lost; the next one connects again
            print(f"not sent: {err}", file=sys.stderr)
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def main(host: str, port: str, n_frames: str = "1000000", fps: str = "5") -> None:
    """In place of the SDK: a bright bar that moves over 64 x 64 pixels of 31 bands."""
    adapter, wavelengths_nm = Adapter(host, int(port)), np.linspace(400, 700, 31).tolist()
    for index in range(int(n_frames)):
        pixels = np.full((64, 64, 31), 200, np.uint16)
        pixels[:, index % 64] += np.linspace(0, 3000, 31).astype(np.uint16)
        adapter.on_frame(pixels, timestamp_ns=time.monotonic_ns(), exposure_us=8000, wavelengths_nm=wavelengths_nm)
        time.sleep(1 / float(fps))
    adapter.close()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4, 5) or not all(word.isdecimal() for word in sys.argv[2:4]):
        print("wanted: spectral_adapter.py HOST PORT [FRAMES [FRAMES_PER_S]], such as 127.0.0.1 9100", file=sys.stderr)
        sys.exit(2)
    with suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
