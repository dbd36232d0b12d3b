"""What the system tells of its power, clocks, temperatures and memory while an engine runs.

A `Source` is one place that tells such things; its constructor raises `UntoldError` where this system has none. What no
source tells stays untold: there is no number for it, and never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Kind = Literal[
    "power_w", "energy_j", "temperature_c", "clock_mhz", "process_bytes", "gpu_bytes", "throttle_count", "throttled"
]
"""`energy_j` and `throttle_count` count up from an arbitrary start; `throttled` is 1 while clocks are held down."""


class Signal(NamedTuple):
    """One number that a source tells, and the part of the machine that it is of."""

    kind: Kind
    part: str


Readings = dict[Signal, float]


class UntoldError(Exception):
    """This system does not tell what a source would read; the message says why."""


@dataclass(frozen=True)
class Rail:
    """A part whose power counts towards the machine's.

    Attributes:
        contains: What it feeds, in words.
        whole: Whether it feeds everything, so that no other rail may be added to it.
    """

    contains: str
    whole: bool = False


class Source(Protocol):
    """One place that tells something."""

    name: str
    rails: Mapping[str, Rail]
    """By part; of these, `power_w` or `energy_j` is read."""

    def facts(self) -> Mapping[str, str]:
        """Settings that hold while an engine runs, such as a power mode, by name."""

    def read(self) -> Readings:
        """What is told now; a part that fails to answer is left out."""

    def close(self) -> None:
        """Give back what the source holds."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The sources of this system, and why others tell nothing."""

    opened: tuple[Source, ...]
    untold: Mapping[str, str] = field(default_factory=dict)

    @property
    def rails(self) -> Mapping[str, Rail]:
        """The parts whose power adds up to what this system tells of: one whole rail, or all others together."""
        rails = {part: rail for source in self.opened for part, rail in source.rails.items()}
        whole = {part: rail for part, rail in rails.items() if rail.whole}
        return dict([next(iter(whole.items()))]) if whole else rails

    def facts(self) -> dict[str, str]:
        """The settings of all sources."""
        return {name: text for source in self.opened for name, text in source.facts().items()}

    def close(self) -> None:
        """Close every source."""
        for source in self.opened:
            source.close()
