"""What goes wrong in a simulated flight, by script."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hsi_edge.errors import InputError

FaultKind = Literal[
    "rgb_unplugged",
    "rgb_frozen",
    "rgb_black",
    "rgb_blurred",
    "rgb_shifted",
    "rgb_stale",
    "rgb_wrong_size",
    "rgb_duplicated",
    "rgb_reordered",
    "rgb_clock_jump",
    "spectral_unplugged",
    "spectral_stall",
    "spectral_nan",
    "spectral_saturated",
    "spectral_wrong_size",
    "spectral_duplicated",
    "spectral_reordered",
    "spectral_clock_jump",
]

AMOUNTS: dict[FaultKind, float] = {
    "rgb_blurred": 1.0,
    "rgb_shifted": 3.0,
    "rgb_stale": 1000.0,
    "rgb_clock_jump": -5000.0,
    "spectral_nan": 0.25,
    "spectral_saturated": 0.25,
    "spectral_clock_jump": -5000.0,
}
"""How much, of the kinds that have an amount, unless said otherwise."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong for a while.

    `unplugged`: reading and opening fail. `stall`: no frames, and no error. `frozen`: the same picture under a running
    clock. `black`: no light. `blurred`: a Gaussian of `amount` LR pixels (full width at half maximum). `shifted`: out
    of register by `amount` LR pixels to the right. `stale`: pictures come `amount` milliseconds late, with true time
    stamps. `nan`, `saturated`: the upper `amount` (a part of 1) of the frame. `wrong_size`: half as many rows.
    `duplicated`: each frame comes twice. `reordered`: every other frame comes after the next one. `clock_jump`: time
    stamps are off by `amount` milliseconds.

    Attributes:
        kind: Which sensor, and what.
        at_s: When it begins, in seconds of the flight.
        for_s: How long it lasts.
        amount: How much; None for the kind's usual.
    """

    kind: FaultKind
    at_s: float
    for_s: float
    amount: float | None = None

    def __post_init__(self) -> None:
        if self.at_s < 0 or self.for_s <= 0:
            raise InputError(
                f"the fault {self.kind} is at {self.at_s} s for {self.for_s} s; wanted 0 or more, and more"
            )
        if self.amount is not None and self.kind not in AMOUNTS:
            raise InputError(f"the fault {self.kind} has no amount; those that have: {', '.join(AMOUNTS)}")

    @property
    def until_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s

    @property
    def strength(self) -> float:
        """How much, the kind's usual if nothing else was said."""
        return AMOUNTS[self.kind] if self.amount is None else self.amount


class Script:
    """The faults of a flight.

    Args:
        faults: In any order. Of one kind, the first that is on counts.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)

    def active(self, kind: str, at_s: float) -> Fault | None:
        """The fault of a kind at a moment; None while all is well."""
        for fault in self._faults:
            if fault.kind == kind and fault.at_s <= at_s < fault.until_s:
                return fault
        return None

    def next_s(self, kind: str, after_s: float) -> float:
        """When a fault of a kind begins next; infinity if never."""
        return min((f.at_s for f in self._faults if f.kind == kind and f.at_s > after_s), default=float("inf"))
