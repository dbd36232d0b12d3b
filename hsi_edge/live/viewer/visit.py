"""One open page: it asks for the next picture when it has drawn the last one, and for spectra.

Nothing is sent that was not asked for, and one picture at a time: a page that stalls costs nothing, and no queue grows.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.live.viewer.settings import ViewerSettings
from hsi_edge.live.viewer.showing import Showing
from hsi_edge.live.viewer.spectra import Area
from hsi_edge.live.viewer.view import View
from hsi_edge.live.viewer.words import Plain, frame_message, json_text, spectra_message
from hsi_edge.records import record_from_plain

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

MESSAGES_PER_S, BURST = 30.0, 60.0
HEARTBEAT_S = 0.5
"""After this long without a newer result, a page is sent the status alone."""
SEND_S = 10.0
"""A page that takes longer to take a message has stalled."""

DISMISSED_S = 2.0
"""For the goodbye of a page that is sent away."""

TOO_MANY, NOT_UNDERSTOOD, FULL = 1008, 1007, 1013


class RateLimit:
    """A bucket of `burst` tokens that gets `per_s` new ones each second."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens, self._at_s = burst, 0.0

    def take(self, now_s: float) -> bool:
        """Whether there was a token to take."""
        self._tokens = min(self._burst, self._tokens + self._per_s * max(0.0, now_s - self._at_s))
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """A view, the page's number for it, and the newest result that the page has drawn in it."""

    view: View
    wish: int
    after: int


class _Dismissed(Exception):  # noqa: N818 - ends a visit, with the words for it
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Visit:
    """Serves one accepted WebSocket until it closes."""

    def __init__(self, socket: WebSocket, showing: Showing, settings: ViewerSettings) -> None:
        self._socket = socket
        self._showing = showing
        self._interval_s = 1 / settings.fps
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._wish: _Wish | None = None
        self._scene: Plain | None = None
        self._not_before_s = 0.0

    async def run(self) -> None:
        """Answer until the page closes, stalls or misbehaves."""
        self._showing.listeners.add(self._wake)
        parts = {asyncio.create_task(self._listen()), asyncio.create_task(self._speak())}
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._showing.listeners.discard(self._wake)
            for part in parts:
                part.add_done_callback(_seen)
                part.cancel()
        for part in done:
            await self._end(part.exception())

    async def _end(self, error: BaseException | None) -> None:
        from starlette.websockets import WebSocketDisconnect

        gone = (WebSocketDisconnect, asyncio.TimeoutError, OSError, RuntimeError)
        if isinstance(error, _Dismissed):
            with suppress(*gone):
                await asyncio.wait_for(self._dismiss(error), DISMISSED_S)
        elif error is not None and not isinstance(error, gone):
            raise error

    async def _dismiss(self, why: _Dismissed) -> None:
        await self._socket.close(why.code, why.reason)
        # What a flooding page has sent already stands before its own goodbye.
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass

    async def _listen(self) -> None:
        rate = RateLimit(MESSAGES_PER_S, BURST)
        while (message := await self._socket.receive())["type"] == "websocket.receive":
            if not rate.take(asyncio.get_running_loop().time()):
                raise _Dismissed(TOO_MANY, f"too many messages: {MESSAGES_PER_S:.0f} a second are taken")
            try:
                await self._answer(_asked(message))
            except (KeyError, TypeError, ValueError, ManifestError) as err:
                raise _Dismissed(NOT_UNDERSTOOD, f"a message was not understood: {err}"[:120]) from err

    async def _answer(self, asked: Plain) -> None:
        if asked["ask"] == "next":
            view = record_from_plain(View, asked["view"])
            self._wish = _Wish(view=view, wish=_whole(asked["wish"]), after=_whole(asked["after"]))
            self._wake.set()
        elif asked["ask"] == "spectra":
            await self._measure(_whole(asked["request"]), _whole(asked["number"]), asked["area"])
        else:
            raise ValueError("ask is next or spectra")

    async def _measure(self, request: int, number: int, area: object) -> None:
        try:
            found = await self._showing.spectra(number, record_from_plain(Area, area))
        except InputError as err:
            await self._say({"say": "refused", "request": request, "why": str(err)})
            return
        if found is not None:
            await self._say(spectra_message(request, *found))

    async def _speak(self) -> None:
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), HEARTBEAT_S)
            woken = self._wake.is_set()
            self._wake.clear()
            if self._wish is None:
                continue
            newest = self._showing.newest
            if newest is not None and newest.number > self._wish.after:
                await self._show()
            elif not woken:
                self._wish = None
                await self._say({"say": "status", **self._showing.moment()})

    async def _show(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before_s - loop.time()))
        self._not_before_s = loop.time() + self._interval_s
        newest, wish = self._showing.newest, self._wish
        if newest is None or wish is None:
            return
        self._wish = None
        if self._scene is not self._showing.scene:
            self._scene = self._showing.scene
            await self._say(self._scene or {})
        painting = await self._showing.painting(newest, wish.view)
        await self._send(frame_message(newest, painting, {"wish": wish.wish, **self._showing.moment()}))

    async def _say(self, plain: Plain) -> None:
        await self._send(json_text(plain))

    async def _send(self, message: str | bytes) -> None:
        async with self._sending:
            send = self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message)
            await asyncio.wait_for(send, SEND_S)


def _seen(task: asyncio.Task[None]) -> None:
    """The reason of whichever part ended second is known already."""
    if not task.cancelled():
        task.exception()


def _asked(message: Any) -> Plain:
    asked = json.loads(message.get("text") or "")
    if not isinstance(asked, dict):
        raise TypeError("wanted a JSON object")
    return asked


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"wanted a whole number, got {value!r:.40}")
