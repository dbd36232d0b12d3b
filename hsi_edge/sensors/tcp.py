"""Frames from a program that speaks to the vendor's SDK, over TCP; docs/sensors.md documents the bytes."""

from __future__ import annotations

import errno
import logging
import re
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from hsi_edge.errors import InputError, SensorError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.framing import FrameReader
from hsi_edge.sensors.newest import Newest

_log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"(?:\[(?P<ip6>[^\[\]]+)\]|(?P<host>[^\[\]:\s]+)):(?P<port>\d{1,5})")
_DEPTH = 4
_POLL_S = 0.1
_MAX_FRAMES_PER_S = 1000
_CAUSES = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; use one of its own, such as 127.0.0.1",
    errno.EACCES: "ports below 1024 are the system's; choose a higher one",
}


@dataclass(frozen=True, kw_only=True)
class TcpSettings:
    """A spectral sensor behind TCP.

    Attributes:
        listen: Address and port to listen at; `[::1]:9100` for IPv6. Whoever can reach it can send frames.
        max_frame_mb: Largest frame to accept, in MiB.
        silence_s: A peer that completes no frame for so long is dropped.
    """

    source: Literal["tcp"]
    listen: str = "127.0.0.1:9100"
    max_frame_mb: int = 64
    silence_s: float = 10.0


class TcpSource:
    """Listens for one peer at a time. A peer that sends what is no frame, too slowly or too fast, is dropped.

    The next peer may then connect. Up to four frames wait for the reader; when it is slower, the newest ones win.

    Attributes:
        address: Where it listens, `(host, port)`; port 0 in the settings lets the system choose.
        refused: Peers that were dropped.
        error: Why the latest one was; empty if none.

    Raises:
        InputError: If the settings name no address and port, or no positive limits.
    """

    def __init__(self, settings: TcpSettings) -> None:
        match = _ADDRESS.fullmatch(settings.listen)
        if match is None or int(match["port"]) > 65535:
            raise InputError(f"listen is {settings.listen!r}; wanted address and port: '127.0.0.1:9100', '[::1]:9100'")
        if settings.max_frame_mb < 1 or not settings.silence_s > 0:
            raise InputError(
                f"max_frame_mb {settings.max_frame_mb} and silence_s {settings.silence_s} must be positive"
            )
        self._settings = settings
        self.address: tuple[str, int] = (match["ip6"] or match["host"], int(match["port"]))
        self._wanted = self.address
        self.refused = 0
        self.error = ""
        self._peer = "no peer is connected"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._frames: Newest[SensorFrame] = Newest(_DEPTH)
        self._frames.close(f"the sensor at {settings.listen} is not open; open it first")

    @property
    def dropped(self) -> int:
        """Frames that came and were not read, as newer ones pushed them out."""
        return self._frames.dropped

    def open(self) -> None:
        """Start to listen.

        Raises:
            SensorError: If the address is in use, not this machine's, or not allowed; says what to do.
        """
        self.close()
        listener = self._listener()
        self._frames = Newest(_DEPTH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listener,), name="tcp-source", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the next frame that a peer sent; see `Source`."""
        last = f"; {self.error}" if self.error else ""
        return self._frames.take(timeout_s, f"the sensor at {self._settings.listen} ({self._peer}{last})")

    def close(self) -> None:
        """Hang up and stop listening."""
        self._frames.close(f"the sensor at {self._settings.listen} is closed; open it first")
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _listener(self) -> socket.socket:
        host, port = self._wanted
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as err:
            raise SensorError(f"cannot listen at {self._settings.listen}: {err}; check the address") from err
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
        except OSError as err:
            listener.close()
            cause = _CAUSES.get(err.errno or 0, "the system refused; check the address")
            raise SensorError(f"cannot listen at {self._settings.listen}: {cause} ({err})") from err
        listener.settimeout(_POLL_S)
        self.address = listener.getsockname()[:2]
        return listener

    def _serve(self, listener: socket.socket) -> None:
        with listener:
            while not self._stop.is_set():
                try:
                    connection, address = listener.accept()
                except TimeoutError:
                    continue
                except OSError as err:
                    self._frames.fail(f"the sensor at {self._settings.listen} was lost: {err}")
                    return
                with connection:
                    self._peer = f"{address[0]} port {address[1]} is connected"
                    self._follow(connection, address)
                    self._peer = "no peer is connected"

    def _follow(self, connection: socket.socket, address: Any) -> None:
        try:
            self._receive(connection)
        except (SensorError, OSError) as err:
            self.refused += 1
            self.error = f"the peer {address[0]} port {address[1]} was dropped: {err}"
            _log.warning("%s", self.error)
            # Whoever connects again and again to send nonsense must not keep this machine busy.
            self._stop.wait(_POLL_S)

    def _receive(self, connection: socket.socket) -> None:
        connection.settimeout(min(_POLL_S, self._settings.silence_s))
        reader = FrameReader(self._settings.max_frame_mb * 2**20)
        completed_s = deque([time.monotonic()], _MAX_FRAMES_PER_S + 1)
        while not self._stop.is_set():
            if time.monotonic() - completed_s[-1] > self._settings.silence_s:
                raise SensorError(f"it completed no frame within {self._settings.silence_s:g} s")
            try:
                n_bytes = connection.recv_into(reader.space)
            except TimeoutError:
                continue
            if n_bytes == 0 and reader.is_inside_frame:
                raise SensorError("it hung up inside a frame")
            if n_bytes == 0:
                return
            frame = reader.received(n_bytes, host_time_ns())
            if frame is not None:
                completed_s.append(time.monotonic())
                self._frames.put(frame)
                if len(completed_s) > _MAX_FRAMES_PER_S and completed_s[-1] - completed_s[0] < 1:
                    raise SensorError(f"it sent more than {_MAX_FRAMES_PER_S} frames in a second")
