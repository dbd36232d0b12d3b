"""Measurements as a Markdown file for people, whose tables also read well as plain text, and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsi_edge.bundle_store import check_outside_bundles
from hsi_edge.errors import OutputError
from hsi_edge.io.atomic import atomic_paths


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A table with aligned columns: the first `words` columns to the left, the others, numbers, to the right."""
    lines = [header, *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    rule = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join(_line(line, widths, words) for line in (header, rule, *rows))


def facts(values: Mapping[str, str]) -> str:
    """A list of named values, without the empty ones."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items() if value)


def write_measured(folder: Path, name: str, markdown: str, plain: Mapping[str, Any]) -> None:
    """Write `NAME.md` and `NAME.json` into a folder, which is made where it is missing.

    Raises:
        InputError: The folder is a bundle's own.
        OutputError: If the system refuses to write.
    """
    check_outside_bundles(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the folder {folder} ({err}); choose another place") from err
    with atomic_paths(folder / f"{name}.md", folder / f"{name}.json") as (text, data):
        text.write_text(f"{markdown}\n", encoding="utf-8")
        data.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _line(cells: Sequence[str], widths: Sequence[int], words: int) -> str:
    pairs = zip(cells, widths, strict=True)
    return f"| {' | '.join(c.ljust(w) if k < words else c.rjust(w) for k, (c, w) in enumerate(pairs))} |"
