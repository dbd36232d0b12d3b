"""What a comparison measured: scores, their means over the scenes, costs, and how a bundle keeps its own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hsi_edge.bundle import Bundle
from hsi_edge.bundle_store import MANIFEST
from hsi_edge.errors import InputError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import Manifest, Row, Task, dump_manifest

MEAN = "mean over scenes"
BICUBIC, REGRESSION = UNTRAINED = ("bicubic", "regression")
"""The methods that every comparison has."""


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


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one method takes for a frame of 512 x 512 x 31.

    Attributes:
        ratio: HR pixels per LR pixel.
        method: As the tables call it.
        task: `fusion` takes two frames, `single` the LR-HSI alone.
        gmac: 1e9 multiply-adds; None if not known.
        seconds: Median.
        times_regression: Median of the ratios to the regression's time in the same round.
    """

    ratio: int
    method: str
    task: Task
    gmac: float | None
    seconds: float
    times_regression: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that one comparison measured.

    Attributes:
        scores: On the vis31 grid.
        native: On scenes with other bands, of the methods that take any.
        costs: Of every method at every ratio.
    """

    scores: Sequence[Score]
    native: Sequence[Score]
    costs: Sequence[Cost]


METRICS = {
    "psnr_db": 2,
    "psnr_cube_db": 2,
    "sam_deg": 3,
    "sam_p95_deg": 3,
    "ssim_gaussian": 4,
    "ssim_uniform": 4,
    "ergas": 3,
    "rmse": 5,
}
"""The decimals that each metric is worth."""


def label(manifest: Manifest) -> str:
    """What the tables call a model."""
    if manifest.graphs:
        return manifest.name
    return BICUBIC if manifest.network == "interpolation" else manifest.network


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


def plain_from_comparison(comparison: Comparison) -> dict[str, Any]:
    """All that was measured, in plain types that a JSON writer takes."""
    return {
        "costs": [asdict(cost) for cost in comparison.costs],
        "scores": [asdict(score) for score in with_means(comparison.scores)],
        "native": [asdict(score) for score in comparison.native],
    }


def of_bundle(comparison: Comparison, path: Path) -> Comparison:
    """What concerns one bundle: its own measurements and those of the methods without training at its ratio.

    Raises:
        ManifestError: There is no whole bundle.
    """
    manifest = Bundle.open(path).manifest
    methods = (*UNTRAINED, label(manifest))

    def concerns(row: Score | Cost) -> bool:
        return row.ratio == manifest.ratio and row.method in methods

    return Comparison(
        scores=list(filter(concerns, comparison.scores)),
        native=list(filter(concerns, comparison.native)),
        costs=list(filter(concerns, comparison.costs)),
    )


def store_accuracy(path: Path, comparison: Comparison) -> None:
    """Put a bundle's own scores into its manifest; nothing else of the bundle changes.

    Raises:
        InputError: If the bundle is a zip file.
    """
    if not path.is_dir():
        raise InputError(f"{path} is not a folder, so its manifest cannot be replaced; unpack it first")
    manifest = Bundle.open(path).manifest
    scores = [*with_means(comparison.scores), *comparison.native]
    accuracy = tuple(_manifest_row(s) for s in scores if s.method == label(manifest) and s.ratio == manifest.ratio)
    # Only the manifest is replaced: the files that it lists stay the same, and so do engines and reports.
    with atomic_path(path / MANIFEST) as partial:
        partial.write_bytes(dump_manifest(replace(manifest, accuracy=accuracy)))


def _manifest_row(score: Score) -> Row:
    rounded = {metric: round(getattr(score, metric), decimals) for metric, decimals in METRICS.items()}
    return {"pair": score.pair, "scene": score.scene, **rounded}
