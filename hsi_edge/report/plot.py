"""The drawing of one pixel's spectra as inline SVG; colours and fonts are the page's.

`Scale` and `ticks` serve other drawings too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from hsi_edge.report.spectra import PixelSpectra, Spectrum

_WIDTH, _HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 510, 12, 250
_MARGIN = 8  # keeps the first and last band's dots off the frame


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` lie between the drawing's `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The drawing's coordinate of a value, to a tenth."""
        fraction = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + fraction * (self.end - self.start), 1)


def plot(pixel: PixelSpectra, axis: NDArray[np.float64], x_label: str, y_label: str) -> str:
    """Return one pixel's spectra as SVG.

    Args:
        pixel: The spectra, `(bands,)` each; a value that is not finite leaves a gap.
        axis: `(bands,)`, wavelengths in nanometres or band numbers, in the order of the bands.
        x_label: What `axis` is.
        y_label: What the values are.
    """
    order = np.argsort(axis, kind="stable")
    along = axis[order]
    lr, centre, mean = pixel.lr[order], pixel.hr_centre[order], pixel.hr_mean[order]
    y_ticks = ticks(np.concatenate([lr, centre, mean]))
    x = Scale(float(along[0]), float(along[-1]), _LEFT + _MARGIN, _RIGHT - _MARGIN)
    y = Scale(y_ticks[0], y_ticks[-1], _BOTTOM, _TOP)
    label = escape(f"Spectra at row {pixel.row}, column {pixel.col}: {y_label} against {x_label}")
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">',
        *(_y_tick(tick, y(tick)) for tick in y_ticks),
        *(_x_tick(tick, x(tick)) for tick in ticks(along) if x.low <= tick <= x.high),
        f'<text class="axis" x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 8}">{escape(x_label)}</text>',
        f'<text class="axis" transform="translate(14 {(_TOP + _BOTTOM) / 2}) rotate(-90)">{escape(y_label)}</text>',
        *(f'<polyline class="mean" points="{points}"/>' for points in _runs(along, mean, x, y)),
        *(f'<polyline class="centre" points="{points}"/>' for points in _runs(along, centre, x, y)),
        *_dots(along, lr, x, y),
        "</svg>",
    ]
    return "".join(parts)


def ticks(values: Spectrum, about: int = 5) -> list[float]:
    """Round values 1, 2 or 5 times a power of ten apart that enclose all finite `values`."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    # A spread that is next to nothing is none: its steps could not be told from zero.
    spread = high - low if high - low > np.finfo(np.float64).tiny * 1e6 else max(abs(high), 1.0)
    rough = spread / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * 0.999)
    first, last = np.floor(low / step), np.ceil(high / step)
    return [float(index * step) for index in np.arange(first, max(last, first + 1) + 1)]


def _y_tick(tick: float, y: float) -> str:
    line = f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
    return f'{line}<text class="tick y" x="{_LEFT - 8}" y="{y + 4}">{tick:.6g}</text>'


def _x_tick(tick: float, x: float) -> str:
    line = f'<line class="grid" x1="{x}" x2="{x}" y1="{_BOTTOM}" y2="{_BOTTOM + 5}"/>'
    return f'{line}<text class="tick" x="{x}" y="{_BOTTOM + 20}">{tick:.6g}</text>'


def _runs(along: Spectrum, values: Spectrum, x: Scale, y: Scale) -> Iterator[str]:
    """The points of each unbroken run of finite values."""
    finite = np.flatnonzero(np.isfinite(values))
    for run in np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1):
        if len(run):
            yield " ".join(f"{x(float(along[i]))},{y(float(values[i]))}" for i in run)


def _dots(along: Spectrum, values: Spectrum, x: Scale, y: Scale) -> Iterator[str]:
    radius = 3.2 if len(along) <= 64 else 1.8
    for i in np.flatnonzero(np.isfinite(values)):
        yield f'<circle class="lr" cx="{x(float(along[i]))}" cy="{y(float(values[i]))}" r="{radius}"/>'
