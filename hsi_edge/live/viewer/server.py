"""The viewer's server: a thread of its own with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from typing import TYPE_CHECKING

from hsi_edge.errors import HSIEdgeError, InputError, require
from hsi_edge.live.viewer.settings import Place, ViewerSettings, checked_place
from hsi_edge.live.viewer.site import make_site
from hsi_edge.live.viewer.source import ViewerSource

if TYPE_CHECKING:
    import uvicorn

_START_S = 10.0
_GRACE_S = 1
_LARGEST_MESSAGE = 4096
_LARGEST_HEAD = 16384
_STALLED_MS = 15_000
_SEND_BUFFER = 1 << 18
_log = logging.getLogger(__name__)


class Viewer:
    """Shows a running pipeline in browsers.

    Args:
        settings: Where, and to whom.
        source: The pipeline.

    Raises:
        InputError: The settings make no sense, or would let strangers in.
    """

    def __init__(self, settings: ViewerSettings, source: ViewerSource) -> None:
        self._settings = settings
        self._place = checked_place(settings)
        self._source = source
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = self._place.port

    @property
    def url(self) -> str:
        """What to open; with a token, `?token=` and the token are to be added to it once in every browser."""
        host = self._place.host
        if host in ("0.0.0.0", "::"):  # noqa: S104 - what is asked for, and needs a token
            host = socket.gethostname()
        return f"http://[{host}]:{self._port}/" if ":" in host else f"http://{host}:{self._port}/"

    def start(self) -> None:
        """Listen, and serve until `stop`.

        Raises:
            InputError: The address cannot be had: the port is in use, or the host is not this machine's.
            MissingPackageError: A package of the extra `live`, or OpenCV, is not installed.
        """
        for module in ("starlette", "websockets", "prometheus_client"):
            require(module, feature="the viewer", extra="live")
        require("cv2", feature="the viewer's pictures", extra="opencv")
        server = require("uvicorn", feature="the viewer", extra="live")
        listening = _listen(self._place)
        self._port = listening.getsockname()[1]
        config = server.Config(
            make_site(self._settings, self._place, self._source),
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=_LARGEST_MESSAGE,
            ws_per_message_deflate=False,  # pictures are compressed
            h11_max_incomplete_event_size=_LARGEST_HEAD,
            limit_concurrency=4 * self._settings.clients + 16,
            timeout_graceful_shutdown=_GRACE_S,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
        )
        self._server = server.Server(config)
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="viewer", daemon=True)
        self._thread.start()
        self._wait_started()

    def _serve(self, listening: socket.socket) -> None:
        assert self._server is not None
        with listening:
            try:
                asyncio.run(self._server.serve(sockets=[listening]))
            except Exception:  # the flight goes on without a viewer
                _log.exception("the viewer stopped")

    def _wait_started(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        pause = threading.Event()
        for _ in range(int(_START_S / 0.01)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self.stop()
        raise HSIEdgeError(f"the viewer at {self._settings.address} did not start; the log has the reason")

    def stop(self) -> None:
        """Close every page's connection and give the port back."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_START_S)
        self._server = self._thread = None

    def __enter__(self) -> Viewer:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def _listen(place: Place) -> socket.socket:
    """Bind before anything else, so that what is wrong with the address is told to the caller."""
    where = f"{place.host}:{place.port}"
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((place.host, place.port), family=family)
    except socket.gaierror as err:
        raise InputError(f"the viewer's host {place.host!r} is unknown here ({err}); give an IP address") from err
    except OSError as err:
        if err.errno == errno.EADDRINUSE:
            raise InputError(
                f"the viewer's port {place.port} is in use, perhaps by another hsi-edge live; stop that one, "
                f"or give another address, as {place.host}:{min(place.port + 1, 65535)}"
            ) from err
        raise InputError(
            f"the viewer cannot listen at {where} ({err.strerror}); wanted an address of this machine and a port "
            "that may be used, as 127.0.0.1:8080"
        ) from err
    _bound_stalled(listening)
    return listening


def _bound_stalled(listening: socket.socket) -> None:
    """Bound what connections (they inherit this) that take no data can hold, and for how long.

    The kernel must end them: a proper close would wait for them forever.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    with contextlib.suppress(AttributeError, OSError):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
