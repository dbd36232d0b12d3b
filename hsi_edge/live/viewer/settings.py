"""Where the viewer listens, and to whom."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from hsi_edge.errors import InputError

SHORTEST_TOKEN = 16
_TOKEN_ADVICE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"  # noqa: S105
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:/\s]+)):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class ViewerSettings:
    """What a flight file says of the viewer.

    Attributes:
        address: `HOST:PORT` to listen at; port 0 takes a free one. Any other host than this machine itself (127.0.0.1,
            ::1, localhost) needs a token.
        token: What a visitor must know; None lets everybody on this machine in.
        fps: Pictures per second that a visitor is sent at most.
        clients: Pages that may be open at the same time.
    """

    address: str = "127.0.0.1:8080"
    token: str | None = None
    fps: float = 10.0
    clients: int = 8


@dataclass(frozen=True, kw_only=True)
class Place:
    """An address, taken apart."""

    host: str
    port: int
    loopback: bool


def checked_place(settings: ViewerSettings) -> Place:
    """Where to listen.

    Raises:
        InputError: The settings make no sense, or would let strangers in.
    """
    if not 0 < settings.fps <= 60:
        raise InputError(f"the viewer's fps is {settings.fps:g}; wanted more than 0 and at most 60")
    if not 1 <= settings.clients <= 64:
        raise InputError(f"the viewer's clients is {settings.clients}; wanted 1 to 64")
    place = _place(settings.address)
    if settings.token is None:
        if not place.loopback:
            raise InputError(
                f"the viewer at {settings.address} can be reached from other machines, so it needs a token; "
                f"{_TOKEN_ADVICE}, or listen at 127.0.0.1:{place.port}"
            )
    elif len(settings.token) < SHORTEST_TOKEN:
        raise InputError(
            f"the viewer's token has {len(settings.token)} characters; wanted {SHORTEST_TOKEN} or more: {_TOKEN_ADVICE}"
        )
    return place


def is_loopback(host: str) -> bool:
    """Whether a host name or address without its port can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _place(address: str) -> Place:
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 65535:
        raise InputError(f"the viewer's address is {address!r}; wanted HOST:PORT, as 127.0.0.1:8080 or [::1]:8080")
    host = found["v6"] or found["name"]
    return Place(host=host, port=int(found["port"]), loopback=is_loopback(host))
