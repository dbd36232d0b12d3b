"""The newest results and the status, brought from the pipeline into the viewer's event loop, painted once for all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hsi_edge.live.health import Health, verdict
from hsi_edge.live.result import LiveResult
from hsi_edge.live.status import Status
from hsi_edge.live.viewer.pictures import Painter, Painting
from hsi_edge.live.viewer.source import ViewerSource
from hsi_edge.live.viewer.spectra import Area, Spectrum, spectra
from hsi_edge.live.viewer.view import View
from hsi_edge.live.viewer.words import Plain, scene_message, status_facts

WAIT_S = 0.25
_STATUS_EVERY_S = 0.2
_JUDGED_OVER_S = 5.0
_SILENT_S = 5.0
_RETRY_S = 1.0
_BREATH_S = 0.02  # a pipeline that has ended need not wait before it says that there is nothing newer
_KEPT = 2

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Showing:
    """What all visits share. Everything but the work that it hands to its two threads is done on the event loop.

    Attributes:
        listeners: Set whenever there is a newer result.
        newest: The newest result; None before the first.
        scene: What is the same from result to result; None before the first.
    """

    def __init__(self, source: ViewerSource) -> None:
        self.listeners: set[asyncio.Event] = set()
        self.newest: LiveResult | None = None
        self.scene: Plain | None = None
        self._source = source
        self._seen_s = 0.0
        self._kept: deque[LiveResult] = deque(maxlen=_KEPT)
        self._states: deque[tuple[float, Status]] = deque()
        self._facts: Plain | None = None
        self._painter = Painter()
        self._paintings: dict[View, asyncio.Future[Painting]] = {}
        self._watching = ThreadPoolExecutor(1, thread_name_prefix="viewer-watch")
        self._painting = ThreadPoolExecutor(1, thread_name_prefix="viewer-paint")

    async def run(self) -> None:
        """Follow the pipeline until cancelled."""
        try:
            while True:
                await self._follow()
        finally:
            self._watching.shutdown(wait=False, cancel_futures=True)
            self._painting.shutdown(wait=False, cancel_futures=True)

    async def _follow(self) -> None:
        try:
            await self._take_news()
        except Exception:  # whatever the pipeline does, the page stays up and says so
            _log.exception("the viewer cannot follow the pipeline")
            await asyncio.sleep(_RETRY_S)

    async def _take_news(self) -> None:
        if not self._states or time.monotonic() - self._states[-1][0] >= _STATUS_EVERY_S:
            self._take_status(await self._on(self._watching, self._source.status))
        number = -1 if self.newest is None else self.newest.number
        result = await self._on(self._watching, lambda: self._source.wait_newer(number, WAIT_S))
        if result is None:
            await asyncio.sleep(_BREATH_S)
        else:
            self._take_result(result)

    def _take_status(self, status: Status) -> None:
        now_s = time.monotonic()
        self._states.append((now_s, status))
        while len(self._states) > 1 and self._states[1][0] <= now_s - _JUDGED_OVER_S:
            self._states.popleft()
        self._facts = status_facts(status, self.health())

    def _take_result(self, result: LiveResult) -> None:
        if self.newest is None or _changed(self.newest, result):
            self.scene = scene_message(result)
        self.newest, self._seen_s = result, time.monotonic()
        self._kept.append(result)
        self._paintings.clear()
        for listener in self.listeners:
            listener.set()

    def status(self) -> Status | None:
        """The latest status; None if the pipeline has not said anything for some seconds."""
        if not self._states or time.monotonic() - self._states[-1][0] > _SILENT_S:
            return None
        return self._states[-1][1]

    def health(self) -> Health:
        """The verdict on the last seconds."""
        status = self.status()
        if status is None:
            return Health(state="failing", reasons=("the pipeline does not answer",))
        since_s, earlier = self._states[0]
        long_enough = self._states[-1][0] - since_s >= _JUDGED_OVER_S
        return verdict(status, earlier if long_enough else None)

    def moment(self) -> Plain:
        """What is true now and not a moment later: for every message to a page."""
        now_s = time.monotonic()
        age_ms = None if self.newest is None else self.newest.age_ms + 1e3 * (now_s - self._seen_s)
        silent = self.status() is None
        return {"now_ms": 1e3 * now_s, "age_ms": age_ms, "silent": silent, "status": self._facts}

    async def painting(self, result: LiveResult, view: View) -> Painting:
        """The result in this view; painted once, whoever asks."""
        if result is not self.newest:
            return await self._on(self._painting, lambda: self._painter.paint(result, view))
        if view not in self._paintings:
            loop = asyncio.get_running_loop()
            self._paintings[view] = loop.run_in_executor(self._painting, self._painter.paint, result, view)
        # A visitor who leaves must not take the picture from the others.
        return await asyncio.shield(self._paintings[view])

    async def spectra(self, number: int, area: Area) -> tuple[int, Spectrum, Spectrum] | None:
        """The frame's number, the sensor's and the fused spectrum: of frame `number` or, if it is gone, the newest."""
        result = next((kept for kept in self._kept if kept.number == number), self.newest)
        if result is None:
            return None
        sensor, fused = await self._on(self._painting, lambda: spectra(result, area))
        return result.number, sensor, fused

    async def set_recording(self, on: bool) -> None:
        """Pass on the press of the button.

        Raises:
            HSIEdgeError: The recorder cannot.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._source.set_recording, on)

    async def _on(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _changed(before: LiveResult, now: LiveResult) -> bool:
    old, new = before.hr_hsi, now.hr_hsi
    if old.data.shape != new.data.shape or (old.quantity, old.unit) != (new.quantity, new.unit):
        return True
    waves = (old.wavelengths_nm, new.wavelengths_nm)
    return waves[0] is not waves[1] and (waves[0] is None or waves[1] is None or bool((waves[0] != waves[1]).any()))
