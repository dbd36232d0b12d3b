"""A training recipe: every number of a training run, read from one YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from export.data.components import ComponentsData
from export.data.degradation import BLURS
from export.data.paper_patches import PublishedData
from export.data.published import find_protocol
from export.data.training import ScenesData
from export.losses import LOSSES, ONLY_FOR, LossName
from export.networks.choices import NetworkChoice
from hsi_edge.base_image import BaseKind
from hsi_edge.errors import InputError, ManifestError
from hsi_edge.manifest import Base
from hsi_edge.records import plain_from_yaml, record_from_plain

MAX_RECIPE_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """The learning rate falls from `start` to `end` along a cosine over the whole run."""

    shape: Literal["cosine"] = "cosine"
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Stairs:
    """The learning rate is multiplied by `factor` at each of the steps `at`."""

    shape: Literal["stairs"] = "stairs"
    start: float
    factor: float = 1.0
    at: tuple[int, ...] = ()


DataChoice = ScenesData | ComponentsData | PublishedData
"""What a recipe is trained on; `source` tells which one."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is trained, on what and how long; the optimiser is Adam.

    Attributes:
        name: The file's; checkpoints lie in the folder of this name.
        network: Architecture and arguments.
        base: The base image, for a network that takes one.
        ratio: HR pixels per LR pixel.
        data: Images, degradation and augmentation.
        loss: A name in `export.losses`.
        patch: HR side of what the network sees.
        batch: Patches per step.
        steps: Of the optimiser.
        steps_per_epoch: A checkpoint is written after so many.
        learning_rate: Over the steps.
        precision: Of the arithmetic in training.
        seed: Of weights and samples.
        average_decay: Of the exponential moving average of the weights that is kept; None for the last weights.
        clip_gradient: Largest norm of the gradient; None for any.
        start: A recipe's name whose weights to start from; empty for random weights.
        advice: When to take a model with these weights, in a sentence; its bundle says so.
    """

    name: str
    network: NetworkChoice
    base: Base = "none"
    ratio: int
    data: DataChoice
    loss: LossName
    patch: int
    batch: int
    steps: int
    steps_per_epoch: int
    learning_rate: Cosine | Stairs
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int
    average_decay: float | None = None
    clip_gradient: float | None = None
    start: str = ""
    advice: str = ""

    @property
    def base_image(self) -> BaseKind | None:
        """The base image that the network takes, if it takes one."""
        return None if self.base == "none" or self.base == "subspace" else self.base


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        InputError: If the file is missing or no YAML, or has an unknown or a missing key, or a value that does not fit.
    """
    if not path.is_file():
        raise InputError(f"there is no recipe {path}; the project's own are in export/recipes")
    try:
        recipe = record_from_plain(Recipe, plain_from_yaml(path.read_bytes(), MAX_RECIPE_BYTES))
    except ManifestError as err:
        raise InputError(f"{path}: {err}") from err
    for problem in _problems(recipe):
        raise InputError(f"{path}: {problem}")
    return recipe


def _problems(recipe: Recipe) -> Iterator[str]:
    """What does not fit together, and what would."""
    for key in ("ratio", "patch", "batch", "steps", "steps_per_epoch"):
        if getattr(recipe, key) < 1:
            yield f"{key} is {getattr(recipe, key)}; wanted 1 or more"
    if recipe.patch % recipe.ratio:
        yield f"patch {recipe.patch} must be a multiple of ratio {recipe.ratio}"
    yield from _network_problems(recipe)
    yield from _data_problems(recipe)


def _network_problems(recipe: Recipe) -> Iterator[str]:
    network = recipe.network
    made_for = getattr(network, "ratio", recipe.ratio)
    if made_for != recipe.ratio:
        yield f"network.ratio is {made_for}, but ratio is {recipe.ratio}; they must be the same"
    if (recipe.base == "subspace") != (network.architecture == "fieldfuse"):
        yield f"base is {recipe.base!r}; fieldfuse, and it alone, has 'subspace'"
    if "base" in network.images and recipe.base_image is None:
        yield f"base is {recipe.base!r}; {network.architecture} takes one of {', '.join(get_args(BaseKind))}"
    if "base" not in network.images and recipe.base_image is not None:
        yield f"base is {recipe.base!r}, but {network.architecture} takes no base image; leave the key out"
    if network.architecture == "gelin" and recipe.patch // recipe.ratio % 2:
        yield f"patch {recipe.patch} is {recipe.patch // recipe.ratio} LR pixels; gelin takes an even number of them"
    if ONLY_FOR.get(recipe.loss, network.architecture) != network.architecture:
        fitting = [name for name in LOSSES if ONLY_FOR.get(name, network.architecture) == network.architecture]
        yield f"loss {recipe.loss!r} does not fit {network.architecture}; wanted one of {', '.join(fitting)}"


def _data_problems(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    if (data.source == "components") != (recipe.network.architecture == "fieldfuse"):
        yield f"data.source is {data.source!r}; fieldfuse, and it alone, is trained on components"
    if isinstance(data, PublishedData):
        yield from _blur_problems("data.blur", data.blur)
        if recipe.base == "regression":
            yield "base is 'regression', which no paper has; wanted bilinear or bicubic for a published data set"
        try:
            find_protocol(data.dataset, data.paper)
        except InputError as err:
            yield f"data: {err}"
        return
    if isinstance(data, ScenesData):
        yield from _blur_problems("data.degradation.blur", data.degradation.blur)
    else:
        yield from _ratio_problems(recipe.ratio, data)
    if data.frame_side % recipe.ratio or data.frame_side < recipe.patch:
        yield (
            f"data.frame_side {data.frame_side} must be a multiple of ratio {recipe.ratio} "
            f"and no less than patch {recipe.patch}"
        )


def _ratio_problems(ratio: int, data: ComponentsData) -> Iterator[str]:
    for drawn in data.ratios:
        if drawn < 1 or drawn % 4 or data.frame_side % drawn:
            yield f"data.ratios has {drawn}; wanted multiples of 4 that divide data.frame_side {data.frame_side}"
    if ratio not in data.ratios:
        yield f"ratio is {ratio}; wanted one of data.ratios: {', '.join(str(drawn) for drawn in data.ratios)}"


def _blur_problems(key: str, blur: str) -> Iterator[str]:
    if blur not in BLURS:
        yield f"{key} is {blur!r}; wanted one of {', '.join(BLURS)}"
