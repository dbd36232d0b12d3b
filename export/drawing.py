"""What all figures of the documentation share: colours, and small files."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from hsi_edge.io.atomic import atomic_path

DPI = 110
COLOURS = 256
"""Of a saved figure: it takes a third of the bytes, and no difference is seen."""
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#7F7F7F")
"""Colours that colour-blind readers can tell apart (Okabe and Ito)."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches, drawn without a display."""
    matplotlib.rcParams.update({"font.size": 8, "axes.titlesize": 8})
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file of few colours.

    Raises:
        OutputError: If the system refuses to write.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    small = Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    with atomic_path(path) as partial:
        small.save(partial, format="PNG", optimize=True)
