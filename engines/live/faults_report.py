"""The fault table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from engines.live.faults import AT_S, FOR_S, SECONDS, Outcome, Scenario
from hsi_edge.report.measured import facts, table, write_measured

NOTES = f"""\
Each row is a simulated flight of {SECONDS:.0f} seconds, RGB at 10 and spectral frames at 2 per second. The fault lasts
from second {AT_S:.0f} to {AT_S + FOR_S:.0f}. "Shown" is what came out meanwhile, "otherwise" what came else, when
there had been time to recover, "lost" the raw frames of both sensors that the recording lacks."""


def shown(outcome: Outcome) -> str:
    """The results during the fault, in words."""
    counts = Counter((one.mode, one.reason, one.flagged) for one in outcome.during())
    words = [
        f"{count} {mode}{' (' + reason + ')' if reason else ''}{', flagged' if flagged else ''}"
        for (mode, reason, flagged), count in counts.items()
    ]
    return "; ".join(words) or "nothing"


def after(outcome: Outcome) -> str:
    """The results before and long after the fault, in words."""
    outside = outcome.outside()
    fused = sum(one.mode == "fusion" and not one.flagged for one in outside)
    return "all fused" if fused == len(outside) else f"{fused} of {len(outside)} fused"


Row = tuple[Scenario, Outcome]


def faults_markdown(rows: Sequence[Row], machine: dict[str, str]) -> str:
    """The table."""
    cells = [
        [
            scenario.name,
            scenario.wanted,
            shown(outcome),
            after(outcome),
            str(outcome.lost),
            "yes" if scenario.holds(outcome) else "NO",
        ]
        for scenario, outcome in rows
    ]
    header = ["fault", "wanted", "shown", "otherwise", "lost", "holds"]
    return "\n\n".join(
        ["# What the live stream does when something goes wrong", NOTES, table(header, cells, words=4), facts(machine)]
    )


def write_faults(folder: Path, rows: Sequence[Row], machine: dict[str, str]) -> None:
    """Write `live-faults.md` and `.json`."""
    plain = {
        scenario.name: {
            "wanted": scenario.wanted,
            "shown": shown(outcome),
            "after": after(outcome),
            "lost": outcome.lost,
            "holds": scenario.holds(outcome),
        }
        for scenario, outcome in rows
    }
    write_measured(folder, "live-faults", faults_markdown(rows, machine), {"machine": machine, "faults": plain})
