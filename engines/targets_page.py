"""The page of all targets: what each is, what it can do and how that is known, where its engines come from."""

from __future__ import annotations

from collections.abc import Sequence

from engines.roofline_report import figures_table
from engines.targets import ARITHMETIC, Figure, PowerMode, Target
from hsi_edge.report.measured import table

INTRODUCTION = """\
# Targets

Written by `python -m engines targets` from `engines/targets/*.yaml`. Peaks are dense (no sparsity), in TFLOP/s, for
INT8 in TOP/s; FP16 and BF16 with FP32 accumulation where the maker tells it apart. A figure in parentheses is from
memory of the maker's data sheet and still to be checked; the last table says how each of the others is known. What
has run on which of these devices is told in [hardware.md](hardware.md).

`python -m engines build BUNDLE --targets NAME ...` makes what a target needs; `python -m engines roofline BUNDLE
--target NAME ...` predicts its frame time."""


def targets_page(targets: Sequence[Target]) -> str:
    """The page as Markdown."""
    header = ["target", "device", "capability", "engines", "memory [GB]", "GB/s", *(a.upper() for a in ARITHMETIC)]
    rows = [
        [
            *(target.name, target.title, target.compute_capability or "CPU", target.built),
            *(_cell(figure) for figure in (target.memory_gb, target.memory_gb_s)),
            *(_cell(target.peak(arithmetic)) for arithmetic in ARITHMETIC),
        ]
        for target in targets
    ]
    parts = [INTRODUCTION, table(header, rows, words=4), "## Systems", _systems(targets)]
    parts += ["## Notes", _notes(targets), "## Figures and their sources", figures_table(targets)]
    return "\n\n".join(parts)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.value:g}" if figure.confirmed else f"({figure.value:g})"


def _systems(targets: Sequence[Target]) -> str:
    header = ["target", "backends, the first at hand is used", "TensorRT that its system carries or takes", "DLA"]
    header += ["power modes", "peaks hold at"]
    rows = [
        [target.name, ", ".join(target.backends), _libraries(target), _dla(target), _modes(target), target.peaks.at]
        for target in targets
    ]
    return table(header, rows, words=6)


def _libraries(target: Target) -> str:
    return "; ".join(
        f"{one.library} ({one.system}{', from memory' if one.basis == 'recalled' else ''})" for one in target.libraries
    )


def _dla(target: Target) -> str:
    return "" if target.dla is None else f"{target.dla.cores} cores, {_cell(target.dla.int8)} TOP/s INT8; not used"


def _modes(target: Target) -> str:
    return ", ".join(_mode(mode) for mode in target.power_modes)


def _mode(mode: PowerMode) -> str:
    known = "" if mode.basis != "recalled" else ", from memory"
    return f"{mode.name} ({mode.watts:g} W{known})" if mode.watts else mode.name


def _notes(targets: Sequence[Target]) -> str:
    return "\n".join(f"- {target.name}: {target.note}" for target in targets if target.note)
