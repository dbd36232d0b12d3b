"""The viewer's addresses: the page and its files, the WebSocket, the record button, metrics and health."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

from hsi_edge.errors import HSIEdgeError
from hsi_edge.live.health import HealthState
from hsi_edge.live.metrics import CONTENT_TYPE, metrics_text
from hsi_edge.live.viewer.access import App, Gate
from hsi_edge.live.viewer.settings import Place, ViewerSettings
from hsi_edge.live.viewer.showing import Showing
from hsi_edge.live.viewer.source import ViewerSource
from hsi_edge.live.viewer.visit import FULL, Visit
from hsi_edge.live.viewer.words import json_text

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain",
}
_LARGEST_BODY = 256


def make_site(settings: ViewerSettings, place: Place, source: ViewerSource) -> App:
    """The viewer as an ASGI application."""
    return Gate(_Site(settings, source).application(), place, settings.token)


class _Site:
    def __init__(self, settings: ViewerSettings, source: ViewerSource) -> None:
        self._settings = settings
        self._source = source
        self._files = _static_files()
        self._visits = 0

    def application(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute

        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._file),
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            Route("/recording", self._recording, methods=["POST"]),
            WebSocketRoute("/live", self._live),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, application: Starlette) -> AsyncIterator[None]:
        import asyncio

        self._showing = Showing(self._source)
        following = asyncio.create_task(self._showing.run())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _page(self, request: Request) -> Response:
        return self._static("index.html")

    async def _file(self, request: Request) -> Response:
        return self._static(request.path_params["name"])

    def _static(self, name: str) -> Response:
        from starlette.responses import PlainTextResponse, Response

        if name not in self._files:
            return PlainTextResponse("there is nothing here\n", 404)
        kind = _KINDS[name[name.rindex(".") :]]
        return Response(self._files[name], media_type=f"{kind}; charset=utf-8")

    async def _health(self, request: Request) -> Response:
        health = self._showing.health()
        states: dict[HealthState, int] = {"ok": 200, "degraded": 200, "failing": 503}
        return _json({"status": health.state, "reasons": health.reasons}, states[health.state])

    async def _metrics(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        status = self._showing.status()
        if status is None:
            return PlainTextResponse("the pipeline does not answer\n", 503)
        return Response(metrics_text(status), headers={"content-type": CONTENT_TYPE})

    async def _recording(self, request: Request) -> Response:
        try:
            wanted = await _wanted_recording(request)
        except ValueError:
            return _json({"error": 'wanted {"on": true} or {"on": false}'}, 400)
        try:
            await self._showing.set_recording(wanted)
        except HSIEdgeError as err:
            return _json({"error": str(err)}, 409)
        return _json({"on": wanted}, 200)

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        if self._visits >= self._settings.clients:
            await socket.close(FULL, f"{self._settings.clients} pages are open already; close one of them first")
            return
        self._visits += 1
        try:
            await Visit(socket, self._showing, self._settings).run()
        finally:
            self._visits -= 1


async def _wanted_recording(request: Request) -> bool:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            raise ValueError
    match json.loads(body):
        case {"on": bool(wanted)}:
            return wanted
    raise ValueError


def _json(plain: Any, code: int) -> Response:
    from starlette.responses import Response

    return Response(json_text(plain) + "\n", code, media_type="application/json")


def _static_files() -> dict[str, bytes]:
    """Read once; nothing else can be asked for."""
    folder = resources.files("hsi_edge.live.viewer") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
