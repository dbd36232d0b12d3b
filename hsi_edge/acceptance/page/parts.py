"""What the page's sections are built of: tables, and drawings under their titles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from hsi_edge.acceptance.page import chart


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int | None = None) -> str:
    """A table; cells are HTML, and the columns from `words` on are numbers."""
    first_number = len(header) if words is None else words

    def line(tag: str, cells: Sequence[str]) -> str:
        kinds = ("" if column < first_number else ' class="number"' for column in range(len(cells)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<div class="card wide"><table><tr>{line("th", header)}</tr>{body}</table></div>'


def card(title: str, drawing: str, names: Sequence[str]) -> str:
    """A drawing under its title and, where there is more than one line, their names."""
    return f'<div class="card"><b>{escape(title)}</b>{chart.legend(names) if names else ""}{drawing}</div>'
