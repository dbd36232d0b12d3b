"""What was wanted beside what was measured, and the benchmark as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hsi_edge.report.measured import table

HEADER = ("what", "measured", "wanted", "verdict", "note")


@dataclass(frozen=True)
class Target:
    """A measured number and its bound; without a bound it only informs.

    Attributes:
        name: What was measured.
        measured: None where it could not be.
        unit: Of both numbers.
        at_most: Upper bound.
        at_least: Lower bound.
        note: How, or why not.
    """

    name: str
    measured: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`pass`, `MISS`, `not measured`, or nothing where there is no bound."""
        if self.measured is None:
            return "not measured"
        if self.at_most is None and self.at_least is None:
            return ""
        too_much = self.at_most is not None and self.measured > self.at_most
        too_little = self.at_least is not None and self.measured < self.at_least
        return "MISS" if too_much or too_little else "pass"

    def cells(self) -> list[str]:
        """One line of the table under `HEADER`."""
        bounds = (("at most", self.at_most), ("at least", self.at_least))
        wanted = [f"{word} {self._text(bound)}" for word, bound in bounds if bound is not None]
        measured = "" if self.measured is None else self._text(self.measured)
        return [self.name, measured, " and ".join(wanted), self.verdict, self.note]

    def _text(self, value: float) -> str:
        return f"{value:.3g} {self.unit}"


def targets_table(targets: Sequence[Target]) -> str:
    """All targets, one below the other."""
    return table(HEADER, [target.cells() for target in targets], words=len(HEADER))
