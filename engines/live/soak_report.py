"""A soak as text, curves and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engines.live.soak import Soak, Timed
from hsi_edge.io.atomic import atomic_path
from hsi_edge.report.measured import facts, table, write_measured

STAGES: dict[str, tuple[str, Callable[[Timed], float]]] = {
    "radiometry": ("radiometry", lambda one: one.timings_ms["radiometry"]),
    "registration": ("health of the RGB, registration, resampling", lambda one: one.timings_ms["registration"]),
    "check": ("self-check", lambda one: one.timings_ms["check"]),
    "overhead": ("the pipeline itself: the three above", lambda one: one.overhead_ms),
    "prepare": ("the engine: preparation (overlaps the frame before)", lambda one: one.timings_ms["prepare"]),
    "engine": ("the engine: tiles, stitching, consistency", lambda one: one.timings_ms["engine"]),
    "age": ("age: from the spectral frame's arrival to the result", lambda one: one.age_ms),
}
SETTLED_PART = 0.1
"""Of a soak, after which caches and buffers have their size."""
FIGURE_DPI = 100


def latency_rows(results: Sequence[Timed]) -> list[list[str]]:
    """Median, 99th percentile and worst of every stage, in milliseconds; none without results."""
    if not results:
        return []
    rows = []
    for words, of in STAGES.values():
        taken = np.array([of(one) for one in results])
        rows.append([words, *(f"{value:.1f}" for value in (*np.percentile(taken, (50, 99)), taken.max()))])
    return rows


def growth_percent(seen: Soak) -> float:
    """How much the memory grew from the first to the last tenth of the soak after it had settled, in percent."""
    memory = np.array([moment.memory_bytes for moment in seen.moments], np.float64)
    settled = memory[int(len(memory) * SETTLED_PART) :]
    part = max(1, len(settled) // 10)
    return float(100 * (np.median(settled[-part:]) / np.median(settled[:part]) - 1))


def soak_markdown(seen: Soak, what: str, machine: dict[str, str], picture: str) -> str:
    """The tables, and where the curves are."""
    fused = [one for one in seen.results if one.mode == "fusion"]
    assert seen.status is not None
    status, minutes = seen.status, seen.moments[-1].at_s / 60
    counts = {
        "length": f"{minutes:.1f} minutes, {len(seen.results)} results, {len(fused)} of them fused",
        "memory": f"{seen.moments[-1].memory_bytes / 1e6:.0f} MB at the end; after the first tenth it grew by "
        f"{growth_percent(seen):.2f} percent",
        "late": f"{sum(one.late for one in seen.results)} results passed their deadline of {status.deadline_ms:.0f} "
        "ms, all marked as late",
        "flagged": f"{sum(one.flagged for one in seen.results)} results by the self-check",
        "skipped": f"{status.skipped} pairs overtaken by newer ones",
        "without a result": f"{status.failed} pairs ({status.failure})" if status.failed else "0 pairs",
        "refused": f"{status.rgb.refused} RGB and {status.spectral.refused} spectral frames, repeated or out of order",
        "reopened": f"RGB camera {status.rgb.reopened} times, spectral sensor {status.spectral.reopened} times",
        "recorded": f"{status.recording.frames} frames, {status.recording.bytes_written / 1e6:.0f} MB"
        if status.recording.frames
        else "",
        "visitors": f"{seen.pictures} pictures sent; the flooding one turned away {seen.turned_away} times"
        if seen.pictures
        else "",
        "failing sink": f"{status.sinks['raising'].failed} errors" if "raising" in status.sinks else "",
    }
    return f"""\
# The live pipeline over time

{what}

{facts(counts)}

Latency of fused results, in milliseconds:

{table(["stage", "median", "99 %", "worst"], latency_rows(fused))}

![Above: the process's memory. Below: the age of every result, fused ones dark.]({picture})

{facts(machine)}"""


def draw(seen: Soak, path: Path) -> None:
    """The curves of memory and age over time, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=FIGURE_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    memory, age = figure.subplots(2, 1, sharex=True)
    memory.plot([m.at_s / 60 for m in seen.moments], [m.memory_bytes / 1e6 for m in seen.moments], color="tab:blue")
    memory.set_ylabel("memory (MB)")
    memory.set_ylim(bottom=0)
    for mode, colour in (("single", "tab:orange"), ("fusion", "tab:blue")):
        chosen = [one for one in seen.results if one.mode == mode]
        age.plot([o.at_s / 60 for o in chosen], [o.age_ms for o in chosen], ".", ms=3, color=colour, label=mode)
    age.set_ylabel("age of the result (ms)")
    age.set_xlabel("minutes")
    age.set_yscale("log")
    age.legend(loc="upper right")
    for axes in (memory, age):
        axes.grid(alpha=0.3)
    with atomic_path(path) as unfinished:
        figure.savefig(unfinished, format="png")


def write_soak(folder: Path, name: str, seen: Soak, what: str, machine: dict[str, str]) -> None:
    """Write `NAME.md`, `NAME.json` and `figures/NAME.png`."""
    picture = f"figures/{name}.png"
    plain: dict[str, Any] = {
        "machine": machine,
        "what": what,
        "memory_growth_percent": growth_percent(seen),
        "latency_ms": {row[0]: row[1:] for row in latency_rows([o for o in seen.results if o.mode == "fusion"])},
        "status": None if seen.status is None else asdict(seen.status),
    }
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    draw(seen, folder / picture)
    write_measured(folder, name, soak_markdown(seen, what, machine, picture), plain)
