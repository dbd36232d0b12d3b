"""A flight in real time, watched from within: every result's latencies, and the process's memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from engines.live.visitors import Visitors
from hsi_edge.errors import HSIEdgeError
from hsi_edge.live.assembly import open_live
from hsi_edge.live.flight import Flight
from hsi_edge.live.pipeline import Live
from hsi_edge.live.result import LiveResult
from hsi_edge.live.sink import Sink
from hsi_edge.live.status import Status
from hsi_edge.live.viewer import Viewer
from hsi_edge.sensors.simulated_faults import Fault, FaultKind

SAMPLE_S = 2.0
SAY_S = 60.0
OVERHEAD = ("radiometry", "registration", "check")
"""The stages that are not the engine's; pairing is measured as part of none, and takes less than a tenth of a
millisecond."""
MIXED: tuple[FaultKind, ...] = (
    "rgb_unplugged",
    "rgb_frozen",
    "spectral_stall",
    "rgb_black",
    "spectral_nan",
    "rgb_blurred",
    "spectral_saturated",
    "rgb_shifted",
    "spectral_wrong_size",
    "rgb_stale",
    "rgb_wrong_size",
    "rgb_duplicated",
    "spectral_duplicated",
    "rgb_reordered",
    "spectral_reordered",
    "rgb_clock_jump",
    "spectral_clock_jump",
    "spectral_unplugged",
)
"""One after the other, again and again."""
FAULT_EVERY_S, FAULT_FOR_S = 20.0, 5.0
RAISES_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The process at one time: seconds since the start, bytes, results so far."""

    at_s: float
    memory_bytes: int
    results: int


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One result: when it was made, its age, how it was made, and its stages."""

    at_s: float
    age_ms: float
    mode: str
    late: bool
    flagged: bool
    timings_ms: dict[str, float]

    @property
    def overhead_ms(self) -> float:
        """What the pipeline itself took."""
        return sum(self.timings_ms[stage] for stage in OVERHEAD)


@dataclass(kw_only=True)
class Soak:
    """What was seen; `status` is that at the end."""

    moments: list[Moment] = field(default_factory=list)
    results: list[Timed] = field(default_factory=list)
    status: Status | None = None
    pictures: int = 0
    turned_away: int = 0


def mixed_faults(seconds: float) -> tuple[Fault, ...]:
    """All faults in turn, with time to recover between them, for so long."""
    count = int(seconds // FAULT_EVERY_S)
    return tuple(
        Fault(kind=MIXED[index % len(MIXED)], at_s=(index + 0.5) * FAULT_EVERY_S, for_s=FAULT_FOR_S)
        for index in range(count)
    )


def soak(flight: Flight, seconds: float, say: Callable[[str], None], *, rude: bool, watched: bool) -> Soak:
    """Fly in real time.

    Args:
        flight: With simulated sensors.
        seconds: How long.
        say: Told once a minute how it goes.
        rude: Whether visitors stall and flood, and a sink raises.
        watched: Whether there are visitors at all.
    """
    seen = Soak()
    start = time.monotonic()
    sinks: list[Sink] = [_Watching(seen, start), *([_Raising()] if rude else [])]
    with ExitStack() as stack:
        live = stack.enter_context(open_live(flight, sinks=sinks, record=flight.record is not None))
        visitors = None
        if watched:
            viewer = stack.enter_context(Viewer(replace(flight.view, address="127.0.0.1:0"), live))
            visitors = stack.enter_context(Visitors(viewer.url, rude=rude))
        _watch(live, seen, start, seconds, say)
        seen.status = live.status()
        if visitors is not None:
            seen.pictures, seen.turned_away = visitors.pictures, visitors.turned_away
    return seen


def _watch(live: Live, seen: Soak, start: float, seconds: float, say: Callable[[str], None]) -> None:
    said = start
    while (now := time.monotonic()) - start < seconds and not live.finished:
        status = live.status()
        moment = Moment(at_s=now - start, memory_bytes=status.memory_bytes, results=status.results)
        seen.moments.append(moment)
        if now - said >= SAY_S:
            said = now
            say(f"{moment.at_s / 60:.0f} min: {moment.results} results, {moment.memory_bytes / 1e6:.0f} MB")
        time.sleep(SAMPLE_S)
    live.raise_error()


class _Watching:
    """A sink that notes what is said of each result."""

    name = "soak"

    def __init__(self, seen: Soak, start: float) -> None:
        self._seen, self._start = seen, start

    def take(self, result: LiveResult) -> None:
        self._seen.results.append(
            Timed(
                at_s=time.monotonic() - self._start,
                age_ms=result.age_ms,
                mode=result.mode,
                late=result.late,
                flagged=result.check.flagged,
                timings_ms=dict(result.timings_ms),
            )
        )

    def close(self) -> None:
        """Nothing is held."""


class _Raising:
    """A sink that fails now and then."""

    name = "raising"

    def __init__(self) -> None:
        self._count = 0

    def take(self, _: LiveResult) -> None:
        self._count += 1
        if self._count % RAISES_EVERY == 0:
            raise HSIEdgeError("this sink fails on purpose")

    def close(self) -> None:
        """Nothing is held."""
