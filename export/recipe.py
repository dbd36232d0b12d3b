"""A training recipe: every number of a training run, read from one YAML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from export.data.degradation import Degradation
from export.data.training import Augmentation
from export.networks.pzres import PZResNet, Variant
from hsi_edge.base_image import BaseKind
from hsi_edge.errors import InputError


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
        InputError: If the file is missing, or has an unknown or a missing key.
    """
    if not path.is_file():
        raise InputError(f"there is no recipe {path}; the project's own are in export/recipes")
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, kind in (("network", NetworkChoice), ("degradation", Degradation), ("augmentation", Augmentation)):
        raw[key] = _build(kind, raw.get(key, {}), f"{path.name}: {key}")
    recipe: Recipe = _build(Recipe, raw, path.name)
    if recipe.frame_side % recipe.ratio or recipe.patch > recipe.frame_side:
        raise InputError(
            f"{path.name}: frame_side {recipe.frame_side} must be a multiple of ratio {recipe.ratio} "
            f"and no less than patch {recipe.patch}"
        )
    return recipe


def _build(kind: type, raw: dict[str, Any], where: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = raw.keys() - fields.keys()
    missing = {name for name, field in fields.items() if field.default is dataclasses.MISSING} - raw.keys()
    if unknown or missing:
        raise InputError(f"{where}: unknown keys {sorted(unknown)}, missing keys {sorted(missing)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()})
