"""The growth of time and memory as text, curves and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from engines.growth import FrameCost, Growth
from hsi_edge.io.atomic import atomic_path
from hsi_edge.report.measured import facts, table, write_measured

PICTURE = "figures/growth.png"
DPI = 100
NOTES = """\
Each size in a process of its own, on made-up scenes of 31 bands, by `HSIEngine.run` into a given array; every bundle
had been opened on the machine once before. The first run includes the compiling for the size. *Prepare* is the part of
a run before the tiles: it is done on the CPU wherever the network runs, and overlaps the frame before in a stream.
Memory is the process's peak beyond what it held with the imports, the inputs and the output array made; *planned* is
what `engine.report` says of it, and GPU what it says that the device holds."""


def growth_markdown(measured: Sequence[Growth], machine: dict[str, str]) -> str:
    """The tables, and where the curves are."""
    parts = ["# How time and memory grow with the frame", NOTES, facts(machine)]
    parts.append(f"![Left: seconds per frame. Right: memory beyond the arrays. Both by the frame's side.]({PICTURE})")
    for one in measured:
        parts += [f"## {one.bundle}: {', '.join(one.ran)}", _table(one)]
        parts += [f"{side} x {side} was not measured: {why}" for side, why in one.failures]
    return "\n\n".join(parts)


def _table(one: Growth) -> str:
    header = [
        "frame",
        "tiles",
        "first [s]",
        "median [s]",
        "worst [s]",
        "runs",
        "prepare [s]",
        "ns per pixel",
        "arrays [MB]",
    ]
    header += ["memory [MB]", "planned [MB]", "GPU [MB]"]
    return table(header, [_cells(cost) for cost in one.costs], words=2)


def _cells(cost: FrameCost) -> list[str]:
    tiles = f"{cost.n_tiles} of {cost.tile[0]} x {cost.tile[1]}"
    seconds = [f"{value:.3f}" for value in (cost.first_s, median(cost.seconds), max(cost.seconds))]
    held = (cost.array_bytes, cost.growth_bytes, cost.planned_bytes, cost.planned_gpu_bytes)
    megabytes = [f"{value / 1e6:.0f}" for value in held]
    return [
        f"{cost.side} x {cost.side}",
        tiles,
        *seconds,
        str(len(cost.seconds)),
        f"{cost.prepare_s:.3f}",
        f"{cost.ns_per_px:.0f}",
        *megabytes,
    ]


def draw(measured: Sequence[Growth], path: Path) -> None:
    """Time and memory by the frame's side, both axes logarithmic, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(10, 4.5), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    time, memory = figure.subplots(1, 2)
    for one in measured:
        sides = [cost.side for cost in one.costs]
        label = f"{one.bundle}, {one.ran[1]}"
        time.plot(sides, [median(cost.seconds) for cost in one.costs], "o-", label=label)
        memory.plot(sides, [cost.growth_bytes / 1e6 for cost in one.costs], "o-", label=label)
    costs = max((one.costs for one in measured), key=len)
    arrays = [cost.array_bytes / 1e6 for cost in costs]
    memory.plot([cost.side for cost in costs], arrays, "k:", label="the arrays themselves")
    for axes, words in ((time, "seconds per frame (median)"), (memory, "memory beyond the arrays (MB)")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel("rows and columns of the frame (HR pixels)")
        axes.set_ylabel(words)
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_path(path) as unfinished:
        figure.savefig(unfinished, format="png")


def write_growth(folder: Path, measured: Sequence[Growth], machine: dict[str, str]) -> None:
    """Write `growth.md`, `growth.json` and `figures/growth.png`.

    Raises:
        OutputError: If the system refuses to write.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    draw(measured, folder / PICTURE)
    plain = {"machine": machine, "bundles": [asdict(one) for one in measured]}
    write_measured(folder, "growth", growth_markdown(measured, machine), plain)
