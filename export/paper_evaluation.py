"""A published recipe's network on the paper's test images, by the paper's formulas, beside what the paper reports."""

from __future__ import annotations

import contextlib
import functools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from export.data.paper_patches import PublishedData
from export.data.published import cropped_to_ratio
from export.data.published.protocols import Dataset, Paper
from export.data.samples import Float, Images
from export.losses import final_image
from export.networks.gelin import GELIN
from export.protocol import METRICS, PROTOCOLS, score
from export.recipe import Recipe
from export.train import load_weights
from export.training_data import paper_pair, published_images
from hsi_edge import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.records import plain_from_yaml, record_from_plain
from hsi_edge.report.measured import table
from hsi_edge.resampling import upsample

TABLE = Path(__file__).with_name("published_scores.yaml")
HEADINGS = ("PSNR [dB]", "SSIM", "SAM [deg]", "ERGAS", "RMSE", "CC")
"""Of `METRICS`."""
NOTE = """\
Measured rows are means over {count} test images, by the formulas of the paper. Published rows are as printed there.
Where the paper does not tell its split, seed or formula, it had another one than the measurement, and some tenths of a
decibel need not mean anything. Two bicubic rows, where the paper has one, show how well all but the network fits."""

BICUBIC = "bicubic"
Scores = dict[str, float]
"""By the names of `METRICS`."""
Estimator = Callable[[Images], Float]
"""From a network's images of a whole frame to the HR-HSI `(bands, rows, cols)`."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of a paper's table; None where the paper has no such column."""

    paper: Paper
    dataset: Dataset
    ratio: int
    method: str
    psnr_db: float
    ssim: float
    sam_deg: float
    ergas: float | None = None
    rmse: float | None = None
    cc: float | None = None


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """All rows, and by paper where they stand."""

    sources: Mapping[str, str]
    rows: tuple[PublishedRow, ...]


@functools.cache
def published_table() -> PublishedTable:
    """What the papers report."""
    return record_from_plain(PublishedTable, plain_from_yaml(TABLE.read_bytes(), 1 << 16))


def network_estimator(recipe: Recipe, runs: Path) -> Estimator:
    """The network of a recipe with its trained weights, whole frames at a time, on a GPU where there is one.

    Raises:
        InputError: There is no checkpoint.
    """
    network = recipe.network.build()
    network.load_state_dict(load_weights(runs / recipe.name / "last.ckpt"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.eval().to(device)
    alignment = 2 if isinstance(network, GELIN) else 1

    @torch.inference_mode()
    def estimate(images: Images) -> Float:
        filled = _filled_up(images, alignment)
        output = network(*(torch.from_numpy(filled[name][None]).to(device) for name in recipe.network.images))
        rows, cols = images["truth"].shape[1:]
        hr_hsi: Float = final_image(output)[0, :, :rows, :cols].cpu().numpy()
        return hr_hsi

    return estimate


def _filled_up(images: Images, alignment: int) -> Images:
    """The images with their last row and column repeated, to a multiple of `alignment` LR pixels."""
    sides = images["lr_hsi"].shape[1:]
    filled = {}
    for name, image in images.items():
        missing = [(-side % alignment) * (image.shape[1] // sides[0]) for side in sides]
        filled[name] = np.pad(image, ((0, 0), *((0, count) for count in missing)), mode="edge")
    return filled


def bundle_estimator(engine: HSIEngine) -> Estimator:
    """A bundle as the runtime runs it; the engine must stay open."""

    def estimate(images: Images) -> Float:
        given = [np.moveaxis(images[name], 0, 2) for name in ("lr_hsi", "hr_msi") if name in images]
        return np.moveaxis(engine.run(*given), 2, 0)

    return estimate


def evaluate(
    recipe: Recipe, data: Path, *, runs: Path, bundle: Path | None = None
) -> Iterator[tuple[str, dict[str, Scores]]]:
    """The paper's test images one by one: name, and the metrics of the network and of bicubic interpolation.

    Args:
        recipe: Of a published data set.
        data: The research data folder.
        runs: The trained weights lie in `runs/NAME`.
        bundle: To score in place of them.

    Raises:
        InputError: The recipe is of no published data set, there are no weights, or files of the data set are missing
            (says which and where they belong).
        ManifestError: The bundle is damaged.
    """
    _published(recipe)
    with contextlib.ExitStack() as stack:
        if bundle is None:
            estimate = network_estimator(recipe, runs)
        else:
            estimate = bundle_estimator(stack.enter_context(HSIEngine(bundle, precision="fp32")))
        yield from _scene_scores(recipe, {recipe.name if bundle is None else bundle.name: estimate}, data)


def _scene_scores(recipe: Recipe, methods: dict[str, Estimator], data: Path) -> Iterator[tuple[str, dict[str, Scores]]]:
    ratio, paper = recipe.ratio, _published(recipe).paper
    pair = paper_pair(recipe, data)
    pair = replace(pair, images=tuple(dict.fromkeys(("lr_hsi", *pair.images))))
    methods = {**methods, BICUBIC: lambda images: upsample(images["lr_hsi"], ratio, "bicubic")}
    for scene in published_images(recipe, data, "test"):
        truth = cropped_to_ratio(scene.cube, ratio)
        images = pair.of(np.ascontiguousarray(np.moveaxis(truth, 2, 0)))
        estimates = {name: np.moveaxis(estimate(images), 0, 2) for name, estimate in methods.items()}
        yield scene.name, {name: score(PROTOCOLS[paper], image, truth, ratio) for name, image in estimates.items()}


def paper_table(recipe: Recipe, scenes: Sequence[Mapping[str, Scores]]) -> str:
    """The means over the scenes of every method, beside the published rows of the same paper, images and ratio."""
    data = _published(recipe)
    dataset = data.test_dataset or data.dataset
    means = {
        f"{method}, measured": [statistics.fmean(scene[method][metric] for scene in scenes) for metric in METRICS]
        for method in scenes[0]
    }
    key = (data.paper, dataset, recipe.ratio)
    published = {
        f"{row.method}, published": [getattr(row, metric) for metric in METRICS]
        for row in published_table().rows
        if (row.paper, row.dataset, row.ratio) == key
    }
    rows = [[name, *(_cell(value) for value in values)] for name, values in (means | published).items()]
    return "\n\n".join(
        [
            f"# {recipe.name}",
            NOTE.format(count=len(scenes)),
            f"Published: {published_table().sources[data.paper]}.",
            table(["", *HEADINGS], rows),
        ]
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _published(recipe: Recipe) -> PublishedData:
    if not isinstance(recipe.data, PublishedData):
        raise InputError(
            f"the recipe {recipe.name} is of the research scenes, for which no paper has a table; pack its network and "
            "use: python -m export compare BUNDLE"
        )
    return recipe.data
