"""What the live stream does when something goes wrong: scripted faults in a simulated flight, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.live.flight import simulated_flight
from hsi_edge.live.assembly import open_live
from hsi_edge.live.ground import Ground
from hsi_edge.live.recording import Recording
from hsi_edge.live.result import LiveResult
from hsi_edge.live.status import Status
from hsi_edge.sensors.simulated_faults import Fault, FaultKind

SECONDS, AT_S, FOR_S = 12.0, 4.0, 3.0
"""Of a flight, and when in it a fault lasts."""
MARGIN_S = 0.6
"""Around the fault, one spectral frame, of which it cannot be told whether it has to show."""
SPECTRAL_FPS = 2.0
BACK_S = 2.5
"""Until it is fused again: three good frames, two per second, and the margin."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """One result, without its pixels.

    Attributes:
        at_s: When its spectral frame was exposed, in seconds of the flight.
        mode, reason, flagged: Of the result.
        measured: The part of its pixels that are numbers.
    """

    at_s: float
    mode: str
    reason: str
    flagged: bool
    measured: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a flight.

    Attributes:
        made: Its results.
        status: At its end.
        lost: Raw frames that arrived and are not in the recording.
    """

    made: tuple[Made, ...]
    status: Status
    lost: int

    def during(self) -> tuple[Made, ...]:
        """Results while the fault lasted, without those at its edges."""
        return tuple(one for one in self.made if AT_S + MARGIN_S <= one.at_s < AT_S + FOR_S - MARGIN_S)

    def outside(self) -> tuple[Made, ...]:
        """Results before it, and after there was time to recover."""
        return tuple(one for one in self.made if one.at_s < AT_S - MARGIN_S or one.at_s >= AT_S + FOR_S + BACK_S)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A fault, and what is to come of it.

    Attributes:
        name: In words.
        faults: That are injected.
        wanted: What the stream is to do, in words.
        holds: Whether it did.
    """

    name: str
    faults: tuple[Fault, ...]
    wanted: str
    holds: Callable[[Outcome], bool]


def _single(because: str) -> Callable[[Outcome], bool]:
    def holds(outcome: Outcome) -> bool:
        during = outcome.during()
        return bool(during) and all(one.mode == "single" and because in one.reason for one in during)

    return holds


def _fused(outcome: Outcome) -> bool:
    return bool(outcome.during()) and all(one.mode == "fusion" for one in outcome.during())


def _nothing(outcome: Outcome) -> bool:
    return not outcome.during()


def _masked(outcome: Outcome) -> bool:
    return bool(outcome.during()) and all(0.5 < one.measured < 1 for one in outcome.during())


def _refused_rgb(outcome: Outcome) -> bool:
    return bool(outcome.during()) and outcome.status.rgb.refused > 0 and not any(one.flagged for one in outcome.made)


def _refused_spectral(outcome: Outcome) -> bool:
    moments = [one.at_s for one in outcome.made]
    return bool(outcome.during()) and outcome.status.spectral.refused > 0 and moments == sorted(set(moments))


def _jumped(outcome: Outcome) -> bool:
    return outcome.status.rgb.clock_jumps + outcome.status.spectral.clock_jumps > 0 and _fused(outcome)


def _fault(kind: FaultKind) -> tuple[Fault, ...]:
    return (Fault(kind=kind, at_s=AT_S, for_s=FOR_S),)


SCENARIOS = (
    Scenario(name="none", faults=(), wanted="every frame fused, none flagged", holds=_fused),
    Scenario(
        name="RGB unplugged, and back",
        faults=_fault("rgb_unplugged"),
        wanted="the spectral frame alone, from the first frame on",
        holds=_single("RGB frame"),
    ),
    Scenario(
        name="RGB frozen under a running clock",
        faults=_fault("rgb_frozen"),
        wanted="the spectral frame alone, from the third same picture on",
        holds=_single("frozen"),
    ),
    Scenario(name="RGB black", faults=_fault("rgb_black"), wanted="alone", holds=_single("black")),
    Scenario(name="RGB blurred by 1 LR pixel", faults=_fault("rgb_blurred"), wanted="alone", holds=_single("blur")),
    Scenario(
        name="RGB out of register by 3 LR pixels",
        faults=_fault("rgb_shifted"),
        wanted="found again, or alone with the reason; never fused as it lies",
        holds=lambda outcome: bool(outcome.during()) and not any(one.flagged for one in outcome.during()),
    ),
    Scenario(name="RGB one second late", faults=_fault("rgb_stale"), wanted="alone", holds=_single("RGB frame")),
    Scenario(name="RGB of half the size", faults=_fault("rgb_wrong_size"), wanted="alone", holds=_single("pixels")),
    Scenario(
        name="each RGB frame twice",
        faults=_fault("rgb_duplicated"),
        wanted="the second one refused, the first fused",
        holds=_refused_rgb,
    ),
    Scenario(
        name="RGB frames out of order",
        faults=_fault("rgb_reordered"),
        wanted="stragglers refused, the others fused",
        holds=_refused_rgb,
    ),
    Scenario(
        name="RGB clock jumps back by 5 s", faults=_fault("rgb_clock_jump"), wanted="counted, fused on", holds=_jumped
    ),
    Scenario(
        name="spectral sensor unplugged, and back",
        faults=_fault("spectral_unplugged"),
        wanted="no results: none is invented",
        holds=_nothing,
    ),
    Scenario(name="spectral sensor stalls", faults=_fault("spectral_stall"), wanted="no results", holds=_nothing),
    Scenario(
        name="a quarter of the spectral frame NaN",
        faults=_fault("spectral_nan"),
        wanted="NaN there, and the rest",
        holds=_masked,
    ),
    Scenario(
        name="a quarter of the spectral frame saturated",
        faults=_fault("spectral_saturated"),
        wanted="NaN there, and the rest",
        holds=_masked,
    ),
    Scenario(
        name="spectral frame of half the size",
        faults=_fault("spectral_wrong_size"),
        wanted="no results, with the reason",
        holds=lambda outcome: _nothing(outcome) and "calibrated for" in outcome.status.failure,
    ),
    Scenario(
        name="each spectral frame twice",
        faults=_fault("spectral_duplicated"),
        wanted="one result each",
        holds=_refused_spectral,
    ),
    Scenario(
        name="spectral frames out of order",
        faults=_fault("spectral_reordered"),
        wanted="stragglers refused, time never runs back",
        holds=_refused_spectral,
    ),
    Scenario(
        name="spectral clock jumps back by 5 s",
        faults=_fault("spectral_clock_jump"),
        wanted="counted, fused on",
        holds=_jumped,
    ),
)


def fly(faults: Sequence[Fault], recordings: Path, ground: Ground | None = None) -> Outcome:
    """Fly with these faults, in simulated time, and record it.

    Args:
        faults: What goes wrong.
        recordings: An empty folder.
        ground: What to fly over; None for the sample's.
    """
    flight = simulated_flight(
        bundle="regression-x8", seconds=SECONDS, faults=tuple(faults), record_to=recordings, ground=ground
    )
    kept = _Kept()
    with open_live(flight, sinks=[kept], record=True) as live:
        live.wait()
        status = live.status()
    recorded = sum(1 for _ in Recording.open(recordings).arrivals())
    arrived = status.rgb.frames + status.spectral.frames
    return Outcome(made=tuple(kept.made), status=status, lost=arrived - recorded)


class _Kept:
    """A sink that remembers what is said of each result."""

    name = "kept"

    def __init__(self) -> None:
        self.made: list[Made] = []

    def take(self, result: LiveResult) -> None:
        values = np.asarray(result.hr_hsi.data[::8, ::8, 0])
        self.made.append(
            Made(
                at_s=result.pair.spectral.sequence / SPECTRAL_FPS,
                mode=result.mode,
                reason=result.reason,
                flagged=result.check.flagged,
                measured=float(np.isfinite(values).mean()),
            )
        )

    def close(self) -> None:
        """Nothing is held."""
