"""The re-degradation errors as a page with a table, and one figure per pair and ratio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from export.data.real_pairs import RealPair
from export.drawing import LINES, new_figure, save_figure
from export.redegradation import Redegradation
from hsi_edge.io.atomic import atomic_path
from hsi_edge.report.measured import facts, table

Results = Sequence[tuple[RealPair, Sequence[Redegradation]]]

MAP_INCH = 1.55
MAP_LIMITS = (0.1, 10.0)
"""Multiples of the noise (medians over the bands) that are shown as full blue and full red; white is 1."""
NOTES = """\
Each method's output, blurred and decimated as the sensor does it, less the frame that the sensor measured. A method
that is true to the measurement stays within its noise: a multiple of about 1 or less. Smoothing methods stay near 1, as
they leave out the noise itself; far below 1 the noise is carried into the output.

The output is degraded with the PSF of the model (a Gaussian with FWHM = ratio); the pairs of trees have a known PSF,
about twice as wide as the models assume, and are degraded with that. The sensor's noise is what all other bands do not
explain of a band in a linear fit, an upper bound, as detail of a single band counts as noise; for the trees it is the
difference between the measurement and the degraded truth. Models for fixed bands see the frame resampled to them, and
its noise is that of the weighted bands. Methods that do not take a pair's bands are left out.

Multiples are the median over the bands of error / noise, both root mean square over the pixels; errors are in percent
of the frame's largest value."""


def write_redegradation(out: Path, results: Results, machine: dict[str, str]) -> list[Path]:
    """Write `redegradation.md` and `figures/redegradation-PAIR-xRATIO.png`; returns the figures.

    Raises:
        OutputError: If the system refuses to write.
    """
    (out / "figures").mkdir(parents=True, exist_ok=True)
    files = []
    for pair, found in results:
        files.append(out / "figures" / f"redegradation-{pair.name}-x{pair.ratio}.png")
        save_figure(redegradation_figure(pair, found), files[-1])
    with atomic_path(out / "redegradation.md") as partial:
        partial.write_text(redegradation_markdown(results, files, machine) + "\n", encoding="utf-8")
    return files


def redegradation_markdown(results: Results, files: Sequence[Path], machine: dict[str, str]) -> str:
    """The page, with the figures in `figures/`."""
    header = ["pair", "method", "ratio", "bands", "error [%]", "noise [%]", "error / noise", "bands within", "PSNR"]
    rows = [_row(one) for _, found in results for one in found]
    parts = ["# Re-degradation on real pairs", NOTES, facts(machine), table(header, rows, words=2)]
    for (pair, _), file in zip(results, files, strict=True):
        parts += [f"## {pair.name}, ratio {pair.ratio}", f"{pair.note}.", f"![{file.stem}](figures/{file.name})"]
    return "\n\n".join(parts)


def _row(one: Redegradation) -> list[str]:
    error, noise = one.error_per_band, one.noise
    return [
        one.pair,
        one.method,
        str(one.ratio),
        str(len(noise)),
        f"{100 * _rms(error) / one.peak:.3f}",
        f"{100 * _rms(noise) / one.peak:.3f}",
        f"{_multiple(one):.2f}",
        f"{int((error <= noise).sum())}",
        "-" if one.psnr_db is None else f"{one.psnr_db:.2f}",
    ]


def _multiple(one: Redegradation) -> float:
    return float(np.median(one.error_per_band / one.noise))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def redegradation_figure(pair: RealPair, found: Sequence[Redegradation]) -> Figure:
    """Maps of the error in multiples of the noise, and below them the error of every band beside its noise."""
    figure = new_figure(MAP_INCH * max(len(found), 4) + 0.6, MAP_INCH + 3.0)
    parts: Any = figure.subfigures(2, 1, height_ratios=(MAP_INCH + 0.4, 2.4))
    top, bottom = parts
    axes = top.subplots(1, len(found), squeeze=False)[0]
    limits = LogNorm(*MAP_LIMITS)
    for place, one in zip(axes, found, strict=True):
        shown = place.imshow(one.map_in_noise, norm=limits, cmap="RdBu_r", interpolation="nearest")
        place.set_title(f"{one.method}\n{_multiple(one):.2f} x noise")
        place.set_axis_off()
    top.colorbar(shown, ax=axes.tolist(), label="error / noise", shrink=0.8, pad=0.01)
    _draw_bands(bottom.subplots(), found, bottom)
    figure.suptitle(f"{pair.name}, ratio {pair.ratio}: output degraded again, less the measured frame", fontsize=9)
    return figure


def _draw_bands(axes: Axes, found: Sequence[Redegradation], figure: Any) -> None:
    widest = max(found, key=lambda one: len(one.noise))
    curves = [(one.method, one, one.error_per_band, colour, 1.0) for colour, one in zip(LINES, found, strict=False)]
    curves.append(("noise of the measurement", widest, widest.noise, "black", 1.5))
    if len(widest.noise) == 1:
        names = [name for name, *_ in curves]
        axes.barh(names, [float(values[0]) for _, _, values, *_ in curves], color=[curve[3] for curve in curves])
        axes.invert_yaxis()
        axes.set_xlabel("root mean square")
        return
    for name, one, values, colour, width in curves:
        axis, order = _axis(one)
        axes.plot(axis[order], values[order], color=colour, linewidth=width, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("band" if widest.wavelengths_nm is None else "nm")
    axes.set_ylabel("root mean square")
    figure.legend(loc="outside right upper", frameon=False)


def _axis(one: Redegradation) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Band numbers or wavelengths, and the order that makes them ascend: spectrometers overlap."""
    axis = np.arange(len(one.noise), dtype=np.float64) if one.wavelengths_nm is None else one.wavelengths_nm
    return axis, np.argsort(axis, kind="stable")
