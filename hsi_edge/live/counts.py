"""What the pipeline counts as results are made, for its status."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np

from hsi_edge.live.result import LiveResult, Mode
from hsi_edge.live.status import Latency

REMEMBERED = 300
"""Results that latencies are told of."""


class Counts:
    """Counts results and remembers their latencies; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: dict[str, deque[float]] = {}
        self._since = time.monotonic()
        self.mode: Mode | None = None
        self.reason = ""
        self.results = self.fused = self.flagged = self.withheld = self.late = self.failed = 0
        self.failure = ""
        self.unmeasured_rgb_px = 0

    def add(self, result: LiveResult) -> None:
        """Count a result."""
        with self._lock:
            if result.mode != self.mode:
                self._since = time.monotonic()
            self.mode, self.reason = result.mode, result.reason
            self.results += 1
            self.fused += result.mode == "fusion"
            self.flagged += result.check.flagged
            self.withheld += result.withheld
            self.late += result.late
            self.unmeasured_rgb_px = result.report.masked_msi_px
            for stage, ms in {**result.timings_ms, "age": result.age_ms}.items():
                self._latencies.setdefault(stage, deque(maxlen=REMEMBERED)).append(ms)

    def add_failure(self, why: str) -> None:
        """Count a pair that no result could be made of."""
        with self._lock:
            self.failed += 1
            self.failure = why

    @property
    def mode_since_s(self) -> float:
        """How long the mode has been what it is."""
        return time.monotonic() - self._since

    def latencies(self) -> dict[str, Latency]:
        """By stage, of the last results."""
        with self._lock:
            kept = {stage: np.array(values) for stage, values in self._latencies.items()}
        return {
            stage: Latency(
                p50_ms=float(np.percentile(values, 50)),
                p99_ms=float(np.percentile(values, 99)),
                worst_ms=float(values.max()),
            )
            for stage, values in kept.items()
        }
