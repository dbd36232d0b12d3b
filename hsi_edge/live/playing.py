"""Frames that arrived before, or in simulated time: fed in their order by one thread, as fast as they are used."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from hsi_edge.errors import HSIEdgeError
from hsi_edge.live.failure import failure
from hsi_edge.live.feed import Feed
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream


class Playing:
    """Feeds arrivals.

    Args:
        arrivals: In order of `arrival_ns`.
        feed: Without a clock of its own.
    """

    def __init__(self, arrivals: Iterable[tuple[Stream, SensorFrame]], feed: Feed) -> None:
        self._arrivals = arrivals
        self._feed = feed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="hsi-edge-playing", daemon=True)
        self.error: HSIEdgeError | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop; the feed must be closed before, so that nothing waits there."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _play(self) -> None:
        try:
            for stream, frame in self._arrivals:
                if self._stop.is_set():
                    break
                self._feed.arrive(stream, frame)
        except Exception as err:  # without an end of the feed everybody would wait for ever
            self.error = failure(err)
        self._feed.end("rgb")
        self._feed.end("spectral")
