"""Facts and tables as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from textwrap import wrap

from hsi_edge.manifest import Row

_LABEL, _WIDTH = 16, 108


Line = tuple[str, str]


def labelled(lines: Iterable[Line]) -> str:
    """One line per label and value; long values are wrapped beside their label."""
    lines = list(lines)
    width = max(_LABEL, *(len(label) + 2 for label, _ in lines), 0)
    wrapped = ((label, wrap(value, _WIDTH - width) or [""]) for label, value in lines)
    return "\n".join(
        f"  {name:<{width}}{part}"
        for label, parts in wrapped
        for name, part in zip(chain([label], repeat("")), parts, strict=False)
    )


def columns(rows: Sequence[Row]) -> str:
    """The rows under the names of all their columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names] + [[_cell(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    lines = ("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def _cell(value: str | int | float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
