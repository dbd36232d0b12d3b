"""The comparison as Markdown: summaries first, every scene after them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from export.accuracy import MEAN, REGRESSION, UNTRAINED, Comparison, Cost, Score, plain_from_comparison, with_means
from export.compare import DRAWS
from export.speed import ROUNDS, SIDE
from hsi_edge.report.measured import facts, table, write_measured

T = TypeVar("T", bound=Hashable)
COLUMNS = {
    "psnr_db": ("PSNR [dB]", 2),
    "sam_deg": ("SAM [deg]", 2),
    "sam_p95_deg": ("SAM p95", 2),
    "ergas": ("ERGAS", 2),
    "ssim_gaussian": ("SSIM", 4),
}
"""Heading and decimals of the metrics in the table of all scenes; the JSON file beside it has all metrics."""
NOTES = f"""\
PSNR is the mean over the bands; SSIM has the Gaussian window. FP32 throughout. Scenes are small crops on the vis31
grid, scaled to a largest value of 1: these are scores on small scenes, not to be put beside published ones. At ratio 16
the frames have 5 or 6 LR pixels per side.

Clean pairs: Gaussian PSF with FWHM = ratio, the Nikon D700 response, no noise. Realistic pairs: the same PSF, LR-HSI
noise 0.004, RGB noise 0.005 and 8 bits, a random measured camera, the RGB shifted along each axis by up to 0.02 LR
pixels, or as far as the pairs' name says; the mean of {DRAWS} draws per scene, the same for every method. An unseen
camera is one of the 5 out of 28 measured ones that training leaves out (weights trained with hsi_edge 0.1.0, such as
those of pzres-vis31-x8, are older than that rule and saw all 28). Narrow bands are Gaussians of 40 nm at 650, 560 and
440 nm, which no measured camera has.

Multiply-adds (GMAC) and times are for one frame of {SIDE} x {SIDE} x 31, FP32, medians of {ROUNDS} rounds in which the
methods took turns in one process; times are also given as multiples of the regression's. Methods marked (single) see
the LR-HSI alone."""


def accuracy_markdown(comparison: Comparison, machine: dict[str, str]) -> str:
    """Per ratio the means over the scenes, then any number of bands, then all scenes."""
    rows = with_means(comparison.scores)
    parts = ["# Accuracy", NOTES, facts(machine)]
    ratios = sorted({row.ratio for row in rows})
    for ratio in ratios:
        here = [row for row in rows if row.ratio == ratio]
        costs = [cost for cost in comparison.costs if cost.ratio == ratio]
        parts += [f"## Ratio {ratio}: means over the scenes", _summary(here, costs)]
        if gains := _gains(here):
            parts += [
                "Against the regression: in the mean over the scenes (and in the scene where it is worst).",
                gains,
            ]
    if comparison.native:
        parts += ["## Any number of bands", *_native(comparison.native)]
    for ratio in ratios:
        parts += [f"## Ratio {ratio}: all scenes", _all_scenes([row for row in rows if row.ratio == ratio])]
    return "\n\n".join(parts)


def write_accuracy(folder: Path, comparison: Comparison, machine: dict[str, str]) -> None:
    """Write `accuracy.md` and `accuracy.json`.

    Raises:
        OutputError: If the system refuses to write.
    """
    plain = {"machine": machine, "notes": NOTES, **plain_from_comparison(comparison)}
    write_measured(folder, "accuracy", accuracy_markdown(comparison, machine), plain)


def _summary(rows: Sequence[Score], costs: Sequence[Cost]) -> str:
    means = {(row.method, row.pair): row for row in rows if row.scene == MEAN}
    pairs = _in_order(pair for _, pair in means)
    cells = []
    for cost in costs:
        name = f"{cost.method} (single)" if cost.task == "single" else cost.method
        gmac = "-" if cost.gmac is None else f"{cost.gmac:.3g}"
        scores = [_psnr_sam(means[cost.method, pair]) for pair in pairs]
        cells.append([name, *scores, gmac, f"{cost.seconds:.3f}", f"{cost.times_regression:.1f}"])
    return table(["PSNR [dB] / SAM [deg]", *pairs, "GMAC", "seconds", "x regression"], cells)


def _gains(rows: Sequence[Score]) -> str:
    """Decibels won, and how the angle changed; empty where no model was compared."""
    found = {(row.method, row.pair, row.scene): row for row in rows}
    pairs = _in_order(row.pair for row in rows)
    methods = [method for method in _in_order(row.method for row in rows) if method not in UNTRAINED]
    cells = [[method, *(_gain(found, method, pair) for pair in pairs)] for method in methods]
    return table(["PSNR gain [dB], SAM change", *pairs], cells) if cells else ""


def _gain(found: dict[tuple[str, str, str], Score], method: str, pair: str) -> str:
    scenes = [scene for name, kind, scene in found if name == method and kind == pair]
    both = {scene: (found[method, pair, scene], found[REGRESSION, pair, scene]) for scene in scenes}
    gains = {scene: own.psnr_db - other.psnr_db for scene, (own, other) in both.items()}
    changes = {scene: 100 * (own.sam_deg / other.sam_deg - 1) for scene, (own, other) in both.items()}
    least, most = min(gains.values()), max(changes.values())
    return f"{gains[MEAN]:+.2f} ({least:+.2f}), {changes[MEAN]:+.0f} % ({most:+.0f} %)"


def _native(rows: Sequence[Score]) -> Iterator[str]:
    scenes = _in_order(row.scene for row in rows)
    yield "Methods that take any bands, on scenes with all bands of their sensors; the RGB sees 400 to 700 nm of them."
    for ratio in sorted({row.ratio for row in rows}):
        here = {(row.method, row.pair, row.scene): row for row in rows if row.ratio == ratio}
        kinds = _in_order((pair, method) for method, pair, _ in here)
        cells = [[pair, method, *(_psnr_sam(here[method, pair, scene]) for scene in scenes)] for pair, method in kinds]
        yield f"### Ratio {ratio}, any bands"
        yield table(["pairs", "method", *scenes], cells, words=2)


def _all_scenes(rows: Sequence[Score]) -> str:
    places = _in_order((row.pair, row.scene) for row in rows)
    ordered = [row for place in places for row in rows if (row.pair, row.scene) == place]
    cells = [[row.pair, row.scene, row.method, *_cells(row)] for row in ordered]
    return table(["pairs", "scene", "method", *(heading for heading, _ in COLUMNS.values())], cells, words=3)


def _cells(row: Score) -> list[str]:
    return [f"{getattr(row, metric):.{decimals}f}" for metric, (_, decimals) in COLUMNS.items()]


def _psnr_sam(row: Score) -> str:
    return f"{row.psnr_db:.2f} / {row.sam_deg:.2f}"


def _in_order(items: Iterable[T]) -> list[T]:
    """Each once, in the order in which they first come."""
    return list(dict.fromkeys(items))
