"""An engine as the check opens it, with the time that its start takes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from hsi_edge.acceptance.latency import first_frame_ms
from hsi_edge.acceptance.result import Opening, Settings
from hsi_edge.acceptance.scene import Scene
from hsi_edge.bundle import Bundle
from hsi_edge.device_facts import facts_file
from hsi_edge.engine import HSIEngine
from hsi_edge.machine import peak_resident_bytes


@dataclass(frozen=True)
class Opened:
    """An engine with what its start took.

    Attributes:
        settings: What was asked for.
        bundle: Its bundle.
        engine: Open.
        opening: What the start took.
        peak_bytes: The most that the process had held by the end of the first frame; 0 where that is not told.
    """

    settings: Settings
    bundle: Bundle
    engine: HSIEngine
    opening: Opening
    peak_bytes: int


def open_engine(settings: Settings, scene: Scene) -> Opened:
    """Open an engine and run its first frame.

    Where this was the device's first opening of the model, it is opened once more, as in every later start.
    """
    bundle = Bundle.open(settings.bundle)
    known = _remembered()
    engine, open_ms = open_timed(settings)
    first_open_ms, remark = None, "packages of the backend loaded, golden pair replayed at an earlier opening"
    if _remembered() != known:
        engine.close()
        first_open_ms = open_ms
        engine, open_ms = open_timed(settings)
        remark = "the second opening in this process, so the backend's packages were loaded before"
    elif not bundle.manifest.graphs:
        remark = "the model has no graph"
    try:
        opening = Opening(
            open_ms=open_ms, first_open_ms=first_open_ms, first_frame_ms=first_frame_ms(engine, scene), remark=remark
        )
    except BaseException:
        engine.close()
        raise
    return Opened(settings, bundle, engine, opening, peak_resident_bytes())


def open_timed(settings: Settings) -> tuple[HSIEngine, float]:
    """An engine, and how long its opening took, in milliseconds."""
    start = time.perf_counter()
    engine = HSIEngine(
        settings.bundle, backend=settings.backend, precision=settings.precision, memory_mb=settings.memory_mb
    )
    return engine, (time.perf_counter() - start) * 1000


def _remembered() -> int | None:
    """When this device last remembered something of a model: an opening that changes it replayed the golden pair."""
    with suppress(OSError, RuntimeError):
        return facts_file().stat().st_mtime_ns
    return None
