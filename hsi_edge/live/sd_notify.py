"""Word to systemd: that the service is up, what it does, that it is alive, that it stops.

The protocol is one datagram of `NAME=value` lines to the Unix socket that `$NOTIFY_SOCKET` names (sd_notify(3)); it
needs no package. Nothing is sent, and nothing is wrong, where the variable is not set.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class ServiceNotifier:
    """Speaks to the service manager, if there is one.

    Args:
        environment: With `NOTIFY_SOCKET`; None takes the process's.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        self._address = found.get("NOTIFY_SOCKET", "")

    def ready(self, status: str = "") -> None:
        """The service is up: units that wait for it may start."""
        self._send("READY=1", status)

    def alive(self, status: str = "") -> None:
        """The service does its work; without this in time, systemd restarts it."""
        self._send("WATCHDOG=1", status)

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send("", status)

    def stopping(self) -> None:
        """The service ends, as it was asked to."""
        self._send("STOPPING=1", "")

    def _send(self, word: str, status: str) -> None:
        line = f"STATUS={' '.join(status.split())}" if status.strip() else ""
        message = "\n".join(filter(None, (word, line)))
        if not self._address or not message:
            return
        # The flight goes on whether or not the manager listens; a full socket must not hold it up either.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)
            manager.sendto(message.encode(), _socket_name(self._address))


def _socket_name(address: str) -> str | bytes:
    """A leading @ stands for the zero byte of Linux's abstract names."""
    return b"\0" + address[1:].encode() if address.startswith("@") else address
