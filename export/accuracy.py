"""The accuracy table: scores, their means over the scenes, and where they are kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hsi_edge.bundle import Bundle
from hsi_edge.bundle_store import MANIFEST
from hsi_edge.errors import InputError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import Manifest, Row, dump_manifest
from hsi_edge.report.measured import facts, table, write_measured

MEAN = "mean over scenes"


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one method does on one scene; the metrics are those of `hsi_edge.quality`, with peak 1."""

    ratio: int
    pair: str
    scene: str
    method: str
    psnr_db: float
    psnr_cube_db: float
    sam_deg: float
    sam_p95_deg: float
    ssim_gaussian: float
    ssim_uniform: float
    ergas: float
    rmse: float


METRICS = {
    "psnr_db": ("PSNR [dB]", 2),
    "psnr_cube_db": ("PSNR cube [dB]", 2),
    "sam_deg": ("SAM [deg]", 3),
    "sam_p95_deg": ("SAM p95 [deg]", 3),
    "ssim_gaussian": ("SSIM", 4),
    "ssim_uniform": ("SSIM uniform", 4),
    "ergas": ("ERGAS", 3),
    "rmse": ("RMSE", 5),
}
"""Heading and decimals of every metric, in the order of the tables."""


def label(manifest: Manifest) -> str:
    """What the tables call a model."""
    if not manifest.graphs:
        return manifest.network
    return f"{manifest.network} over {manifest.base} ({manifest.name})"


def with_means(scores: Sequence[Score]) -> list[Score]:
    """The scores and, for each ratio, pair and method, their mean over the scenes."""
    groups: dict[tuple[int, str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.ratio, score.pair, score.method), []).append(score)
    return [*scores, *(mean_score(group, MEAN) for group in groups.values())]


def mean_score(scores: Sequence[Score], scene: str) -> Score:
    """One score with the means of all metrics, and of the first one's ratio, pair and method."""
    means = {name: statistics.fmean(getattr(score, name) for score in scores) for name in METRICS}
    return Score(**(asdict(scores[0]) | means | {"scene": scene}))


def accuracy_markdown(scores: Sequence[Score], notes: str, machine: dict[str, str]) -> str:
    """Per ratio, the scores on the kinds of pairs that come first, and the means over the scenes on all kinds."""
    rows = with_means(scores)
    parts = ["# Accuracy", notes, facts(machine)]
    for ratio in sorted({row.ratio for row in rows}):
        here = [row for row in rows if row.ratio == ratio]
        for pair in dict.fromkeys(row.pair for row in here):
            parts += [f"## Ratio {ratio}, {pair} pairs", _pair_table([row for row in here if row.pair == pair])]
        parts += [f"## Ratio {ratio}, all pairs ({MEAN})", _all_pairs(here)]
    return "\n\n".join(parts)


def _pair_table(rows: Sequence[Score]) -> str:
    header = ["scene", "method", *(heading for heading, _ in METRICS.values())]
    ordered = [row for scene in dict.fromkeys(r.scene for r in rows) for row in rows if row.scene == scene]
    return table(header, [[row.scene, row.method, *_cells(row)] for row in ordered], words=2)


def _cells(row: Score) -> list[str]:
    return [f"{getattr(row, metric):.{decimals}f}" for metric, (_, decimals) in METRICS.items()]


def _all_pairs(rows: Sequence[Score]) -> str:
    means = {(row.method, row.pair): row for row in rows if row.scene == MEAN}
    pairs = list(dict.fromkeys(pair for _, pair in means))
    cells = [
        [method, *(f"{means[method, pair].psnr_db:.2f} / {means[method, pair].sam_deg:.2f}" for pair in pairs)]
        for method in dict.fromkeys(method for method, _ in means)
    ]
    return table(["PSNR [dB] / SAM [deg]", *pairs], cells)


def write_accuracy(folder: Path, scores: Sequence[Score], notes: str, machine: dict[str, str]) -> None:
    """Write `accuracy.md` and `accuracy.json`.

    Raises:
        OutputError: If the system refuses to write.
    """
    plain = {"machine": machine, "notes": notes, "scores": [asdict(score) for score in with_means(scores)]}
    write_measured(folder, "accuracy", accuracy_markdown(scores, notes, machine), plain)


def store_accuracy(path: Path, scores: Sequence[Score]) -> None:
    """Put a bundle's own scores into its manifest; nothing else of the bundle changes.

    Raises:
        InputError: If the bundle is a zip file.
    """
    if not path.is_dir():
        raise InputError(f"{path} is not a folder, so its manifest cannot be replaced; unpack it first")
    manifest = Bundle.open(path).manifest
    own = [s for s in with_means(scores) if s.method == label(manifest) and s.ratio == manifest.ratio]
    accuracy = tuple(_manifest_row(score) for score in own)
    # Only the manifest is replaced: the files that it lists stay the same, and so do engines and reports.
    with atomic_path(path / MANIFEST) as partial:
        partial.write_bytes(dump_manifest(replace(manifest, accuracy=accuracy)))


def _manifest_row(score: Score) -> Row:
    rounded = {metric: round(getattr(score, metric), decimals) for metric, (_, decimals) in METRICS.items()}
    return {"pair": score.pair, "scene": score.scene, **rounded}
