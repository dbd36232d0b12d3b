"""Who may talk to the viewer: a token, no other site's pages, no name that somebody else's DNS points at us.

Every answer forbids the page to load anything from elsewhere (Content-Security-Policy), and other sites to read it
(there are no CORS headers). The Host header is checked against DNS rebinding, the Origin header against other sites'
pages that open a WebSocket or press the record button: browsers guard neither of the two by themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from hsi_edge.live.viewer.settings import Place, is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "hsi_edge_viewer"

_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Gate:
    """Lets through to `app` what may pass, and sets the headers of every answer.

    Args:
        app: What is guarded.
        place: Where it listens.
        token: What a visitor must know; None lets everybody in who reaches us by a right name.
    """

    def __init__(self, app: App, place: Place, token: str | None) -> None:
        self._app = app
        self._place = place
        self._token = None if token is None else _digest(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        cookie = b""
        if refusal := self._refusal(scope, headers):
            await _refuse(scope, send, *refusal)
            return
        if self._token is not None and _of_query(scope) is not None:
            cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict".encode()

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
                if cookie:
                    message["headers"].append((b"set-cookie", cookie))
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not host_allowed(host, self._place):
            return 421, f"this viewer does not answer to the name {host[:100]!r}; open it by its IP address"
        changes_state = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes_state and headers.get("origin") not in (f"http://{host}", f"https://{host}"):
            return 403, "the request comes from another site's page, or does not say where it comes from"
        if self._token is not None and not self._knows_token(scope, headers):
            return 401, "a token is needed: open this page with ?token=YOUR-TOKEN once, as the flight file names it"
        return None

    def _knows_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = [_digest(token) for token in (_of_query(scope), bearer if kind.lower() == "bearer" else None) if token]
        given += [value for name, value in _cookies(headers.get("cookie", "")) if name == COOKIE]
        return any(hmac.compare_digest(value.encode(), str(self._token).encode()) for value in given[:4])


def host_allowed(host: str, place: Place) -> bool:
    """Whether a Host header can be our visitors' and not another site's name that was made to point at us.

    An address written as numbers cannot be a name; the names are the machine's own. The port is not looked at: a
    tunnel has one of its own.
    """
    name = _without_port(host).lower()
    if is_loopback(name) or name == place.host.lower():
        return True
    if place.loopback:
        return False
    own = socket.gethostname().lower()
    return name in (own, f"{own}.local") or _is_address(name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(token: str) -> str:
    """What is kept in the cookie: a token may hold characters that a cookie cannot, and need not lie in a browser."""
    return hashlib.sha256(b"hsi_edge viewer " + token.encode()).hexdigest()


def _of_query(scope: Scope) -> str | None:
    found = parse_qs(scope.get("query_string", b"")[:1000].decode("latin-1")).get("token")
    return found[0] if found else None


def _cookies(header: str) -> list[tuple[str, str]]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [(name, value) for name, _, value in pairs]


async def _refuse(scope: Scope, send: Send, code: int, why: str) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted: the server answers the handshake with 403.
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
