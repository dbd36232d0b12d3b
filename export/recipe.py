"""A training recipe: every number of a training run, read from one YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.data.degradation import BLURS, Degradation
from export.data.training import Augmentation
from export.networks.pzres import PZResNet, Variant
from hsi_edge.base_image import BaseKind
from hsi_edge.errors import InputError, ManifestError
from hsi_edge.records import plain_from_yaml, record_from_plain

MAX_RECIPE_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class NetworkChoice:
    """The arguments of `PZResNet`."""

    hsi_bands: int
    msi_bands: int
    variant: Variant = "code"

    def build(self) -> PZResNet:
        """A new network with random weights."""
        return PZResNet(self.hsi_bands, self.msi_bands, variant=self.variant)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is trained, on what and how long; sides in HR pixels, `steps` in optimiser steps."""

    name: str
    network: NetworkChoice
    base: BaseKind
    ratio: int
    seed: int
    frame_side: int
    patch: int
    batch: int
    steps: int
    steps_per_epoch: int
    learning_rate: tuple[float, float]
    average_decay: float
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    responses: Literal["cameras", "nikon_d700"]
    degradation: Degradation
    augmentation: Augmentation
    start: str = ""
    """A recipe's name whose weights to start from; empty for random weights."""


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
    if recipe.frame_side % recipe.ratio or recipe.patch > recipe.frame_side:
        raise InputError(
            f"{path}: frame_side {recipe.frame_side} must be a multiple of ratio {recipe.ratio} "
            f"and no less than patch {recipe.patch}"
        )
    if recipe.degradation.blur not in BLURS:
        raise InputError(f"{path}: degradation.blur is {recipe.degradation.blur!r}; wanted one of {', '.join(BLURS)}")
    return recipe
