"""Drawings of measurements as inline SVG: lines over time, frames or bands, and the distribution of latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from hsi_edge.report.plot import Scale, ticks

COLOURS = 4
"""Lines that a drawing tells apart; of the page's `.line0` and so on."""
STYLE = """
.line0,.line1,.line2,.line3{fill:none;stroke-width:1.6;stroke-linejoin:round}
.line0{stroke:var(--accent)}.line1{stroke:var(--mean);stroke-dasharray:7 3}.line2{stroke:#2f9e62}.line3{stroke:#9b5fc0}
.limit,.mark-line{stroke:#c8322b;stroke-width:1.4;stroke-dasharray:5 4}
.mark-line{stroke:var(--quiet)}
svg text.limit-name{fill:#c8322b;text-anchor:end}
"""
_WIDTH, _HEIGHT = 520, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 500, 24, 232
_BINS = 40

_NONE: Mapping[str, float] = {}

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Line:
    """Values over a common axis, with a name for the legend; a value that is not finite leaves a gap."""

    name: str
    x: Float
    y: Float


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    limits: Mapping[str, float] = _NONE,
    marks: Mapping[str, float] = _NONE,
    from_zero: bool,
) -> str:
    """Draw up to `COLOURS` lines; `limits` are horizontal lines by name, `marks` upright ones."""
    x_all = np.concatenate([line.x for line in lines])
    y_all = np.concatenate([*(line.y for line in lines), list(limits.values()), [0.0] if from_zero else []])
    x, y, y_ticks = _scales(x_all, y_all)
    drawn = [_limit(name, y(value)) for name, value in limits.items()]
    drawn += [_mark(name, x(value)) for name, value in marks.items() if x.low <= value <= x.high]
    paths = [
        f'<polyline class="line{index}" points="{points}"/>'
        for index, line in enumerate(lines)
        for points in _runs(line, x, y)
    ]
    return _drawing(f"{y_label} against {x_label}", x, y, (x_all, y_ticks), (x_label, y_label), [*paths, *drawn])


def distribution(samples: Mapping[str, Sequence[float]], x_label: str, *, marks: Mapping[str, float]) -> str:
    """Draw how often values fell into each of 40 bins, as steps, for each named sample; `marks` stand upright."""
    values = np.concatenate([np.asarray(sample, float) for sample in samples.values()])
    # A single straggler must not squeeze all others into one bin: the last one holds what is beyond.
    top = min(float(values.max()), 3 * float(np.percentile(values, 99)))
    edges = np.linspace(float(values.min()), top if top > values.min() else values.min() + 1, _BINS + 1)
    counts = {name: np.histogram(np.clip(sample, edges[0], edges[-1]), edges)[0] for name, sample in samples.items()}
    lines = [Line(name, np.repeat(edges, 2), np.concatenate([[0], np.repeat(n, 2), [0]])) for name, n in counts.items()]
    return line_chart(lines, x_label, "frames", marks=marks, from_zero=True)


def legend(names: Sequence[str]) -> str:
    """The lines' names with their colours, as HTML."""
    swatch = '<svg viewBox="0 0 30 12"><polyline class="line{}" points="0,6 30,6"/></svg>'
    items = (f"<span>{swatch.format(index)}{escape(name)}</span>" for index, name in enumerate(names))
    return f'<p class="legend">{"".join(items)}</p>'


def _scales(x_all: Float, y_all: Float) -> tuple[Scale, Scale, list[float]]:
    y_ticks = ticks(y_all)
    x = Scale(float(x_all.min()), float(x_all.max()), _LEFT, _RIGHT)
    return x, Scale(y_ticks[0], y_ticks[-1], _BOTTOM, _TOP), y_ticks


def _drawing(
    label: str, x: Scale, y: Scale, axes: tuple[Float, list[float]], names: tuple[str, str], parts: Sequence[str]
) -> str:
    x_all, y_ticks = axes
    grid = [f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>' for tick in y_ticks]
    y_words = [f'<text class="tick y" x="{_LEFT - 8}" y="{y(tick) + 4}">{tick:.6g}</text>' for tick in y_ticks]
    x_ticks = [tick for tick in ticks(x_all) if x.low <= tick <= x.high]
    x_words = [f'<text class="tick" x="{x(tick)}" y="{_BOTTOM + 18}">{tick:.6g}</text>' for tick in x_ticks]
    middle = (_TOP + _BOTTOM) / 2
    axis_names = [
        f'<text class="axis" x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 8}">{escape(names[0])}</text>',
        f'<text class="axis" transform="translate(14 {middle}) rotate(-90)">{escape(names[1])}</text>',
    ]
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
    return "".join([head, *grid, *y_words, *x_words, *axis_names, *parts, "</svg>"])


def _limit(name: str, y: float) -> str:
    line = f'<line class="limit" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
    return f'{line}<text class="limit-name" x="{_RIGHT}" y="{y - 4}">{escape(name)}</text>'


def _mark(name: str, x: float) -> str:
    line = f'<line class="mark-line" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_BOTTOM}"/>'
    return f'{line}<text x="{x}" y="{_TOP - 4}">{escape(name)}</text>'


def _runs(line: Line, x: Scale, y: Scale) -> list[str]:
    """The points of each unbroken run of finite values."""
    finite = np.flatnonzero(np.isfinite(line.y))
    runs = np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1)
    return [" ".join(f"{x(float(line.x[i]))},{y(float(line.y[i]))}" for i in run) for run in runs if len(run)]
