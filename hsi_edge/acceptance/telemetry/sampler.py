"""Reads all sources about ten times a second while an engine runs."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from hsi_edge.acceptance.telemetry import Kind, Readings, Signal, Source

INTERVAL_S = 0.1
MAX_SHARE = 0.02
"""Of one core's time that reading may take; slow sources are read less often."""

Span = tuple[float, float]
Float = NDArray[np.float64]


class Sampler:
    """A thread that reads sources from the start of a `with` block to its end.

    A source that fails is read no more; `failed` says why.

    Times are those of `time.perf_counter`, in seconds.
    """

    def __init__(self, sources: tuple[Source, ...], interval_s: float = INTERVAL_S) -> None:
        self._sources = list(sources)
        self.failed: dict[str, str] = {}
        self._interval_s = interval_s
        self._series: dict[Signal, tuple[list[float], list[float]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hsi-edge-telemetry", daemon=True)
        self._spent_s = 0.0
        self._started_s = 0.0
        self._ended_s = 0.0

    def __enter__(self) -> Sampler:
        self._started_s = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self._ended_s = time.perf_counter()

    def signals(self, kind: Kind) -> list[Signal]:
        """What was told of a kind, by the order of its first telling."""
        return [signal for signal in list(self._series) if signal.kind == kind]

    def series(self, signal: Signal) -> tuple[Float, Float]:
        """Times and values of a signal."""
        times, values = self._series[signal]
        return np.array(times), np.array(values)

    def within(self, signal: Signal, span: Span) -> Float:
        """The values that were told within a span of time."""
        times, values = self.series(signal)
        return values[(times >= span[0]) & (times <= span[1])]

    @property
    def share(self) -> float:
        """The share of one core's time that reading took, once the block is left."""
        return self._spent_s / max(self._ended_s - self._started_s, 1e-9)

    def _loop(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            wait = max(self._interval_s, self._sample() / MAX_SHARE)

    def _sample(self) -> float:
        # The thread's own time: on a busy machine, or while a sensor's bus answers, waiting costs the engine nothing.
        start = time.thread_time()
        for source in tuple(self._sources):
            at = time.perf_counter()
            for signal, value in self._read(source).items():
                times, values = self._series.setdefault(signal, ([], []))
                values.append(value)
                times.append(at)
        spent = time.thread_time() - start
        self._spent_s += spent
        return spent

    def _read(self, source: Source) -> Readings:
        try:
            return source.read()
        # Services and drivers raise what they like; a check of hours must not end with one of them.
        except Exception as err:
            self.failed[source.name] = f"it stopped telling: {' '.join(str(err).split())}"
            self._sources.remove(source)
            return {}
