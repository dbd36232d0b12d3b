"""The benchmark as text and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from engines.bench import SIDE, TORCH, Bench, Row
from engines.verdicts import targets_table
from hsi_edge.report.measured import facts, table, write_measured

NOTES = f"""\
Every row computes one frame of {SIDE} x {SIDE} HR pixels in processes of its own, in turn with the other rows; seconds
are medians. Torch is timed with the base image given, the engine from the sensors' frames to the finished cube. Peak is
the most that the process held in memory; growth is that less what it held with its imports and inputs made (torch: and
its weights). Bare OpenVINO makes the engine's own inferences, recorded, in a loop with nothing around them; how much
slower the engine is was measured turn by turn within one process. Memory beyond the arrays of the large frame is the
peak less what was held with the imports, the inputs and the output array made, before the bundle was opened. What a
precision loses against FP32 (PSNR) is what the bundle's accuracy gate measured on held-out scenes."""


def bench_markdown(bench: Bench, machine: dict[str, str]) -> str:
    """The rows side by side, and the targets."""
    parts = ["# Speed and memory", NOTES, facts(machine), f"## {SIDE} x {SIDE} pixels", _rows_table(bench.rows)]
    return "\n\n".join([*parts, "## Targets", targets_table(bench.targets)])


def _rows_table(rows: Sequence[Row]) -> str:
    torch = next(row for row in rows if row.name == TORCH)
    header = ["row", "note", "seconds", "torch / row", "peak [MiB]", "growth [MiB]", "growth / torch's", "loses [dB]"]
    return table(header, [_cells(row, torch) for row in rows], words=2)


def _cells(row: Row, torch: Row) -> list[str]:
    if not row.seconds:
        return [row.name, row.note, *[""] * 6]
    seconds, growth = median(row.seconds), median(row.growth_bytes)
    faster = f"{median(torch.seconds) / seconds:.2f}" if torch.seconds else ""
    share = f"{growth / median(torch.growth_bytes):.3f}" if torch.seconds else ""
    mebibytes = [f"{value / 2**20:.0f}" for value in (median(row.peak_bytes), growth)]
    loss = "" if row.loss_db is None else f"{max(row.loss_db, 0):.3f}"
    return [row.name, row.note, f"{seconds:.3f}", faster, *mebibytes, share, loss]


def write_bench(folder: Path, bench: Bench, machine: dict[str, str]) -> None:
    """Write `bench.md` and `bench.json`, which holds every single measurement too.

    Raises:
        OutputError: If the system refuses to write.
    """
    targets = [asdict(target) | {"verdict": target.verdict} for target in bench.targets]
    plain = {"machine": machine, "rows": [asdict(row) for row in bench.rows], "targets": targets, "raw": bench.raw}
    write_measured(folder, "bench", bench_markdown(bench, machine), plain)
