"""Pages that watch the stream during a soak: one that behaves, one that stalls, one that floods."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hsi_edge.errors import require

OPEN_S = 5.0
PAUSE_S = 1.0
FLOOD = 500
"""Messages at once: more than a visitor is allowed."""


class Visitors:
    """Threads that visit a viewer until they are stopped; those that are turned away come again.

    Attributes:
        pictures: That the one that behaves was sent.
        turned_away: How often the one that floods was.
    """

    def __init__(self, url: str, *, rude: bool) -> None:
        self._address = url.replace("http", "ws", 1).rstrip("/") + "/live"
        self._origin = url.rstrip("/")
        self._stop = threading.Event()
        self.pictures = 0
        self.turned_away = 0
        visits: list[Callable[[Any], None]] = [self._watch, *([self._stall, self._flood] if rude else [])]
        self._threads = [threading.Thread(target=self._visit, args=(visit,), daemon=True) for visit in visits]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, visit: Callable[[Any], None]) -> None:
        client = require("websockets.sync.client", feature="watching the stream", extra="live")
        while not self._stop.is_set():
            with (
                suppress(Exception),
                client.connect(
                    self._address, origin=self._origin, open_timeout=OPEN_S, close_timeout=PAUSE_S, max_size=None
                ) as socket,
            ):
                visit(socket)
            self._stop.wait(PAUSE_S)

    def _watch(self, socket: Any) -> None:
        """Ask for the next picture when the last one is there, as the page does."""
        after = -1
        while not self._stop.is_set():
            socket.send(_asked(after))
            message = socket.recv(timeout=OPEN_S)
            while isinstance(message, str) and json.loads(message).get("say") == "scene":
                message = socket.recv(timeout=OPEN_S)
            if isinstance(message, bytes):
                self.pictures += 1
                after = _number(message, after)

    def _stall(self, socket: Any) -> None:
        """Ask, and never read."""
        socket.send(_asked(-1))
        self._stop.wait(60.0)

    def _flood(self, socket: Any) -> None:
        """Ask far too often."""
        try:
            for _ in range(FLOOD):
                socket.send(_asked(-1))
            time.sleep(PAUSE_S)
            socket.send(_asked(-1))
        except Exception:
            self.turned_away += 1
            raise


def _asked(after: int) -> str:
    return json.dumps({"ask": "next", "wish": 0, "after": after, "view": {"show": "natural", "overlay": "residual"}})


def _number(message: bytes, otherwise: int) -> int:
    """The result's number from a frame's JSON header."""
    length = int.from_bytes(message[:4], "little")
    number = json.loads(message[4 : 4 + length]).get("number", otherwise)
    return int(number)
