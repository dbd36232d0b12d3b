"""From a recipe's `data` to the batches of a training and the frames that it is watched on."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from export.data.components import ComponentBatches, ComponentsData, component_inputs
from export.data.degradation import REALISTIC, simulate_pair
from export.data.paper_patches import PaperPair, PaperPatches, PublishedData
from export.data.published import published_scenes
from export.data.responses import Response, measured_cameras, nikon_d700
from export.data.samples import EpochSamples, Images, Source
from export.data.scenes import Scene, Split, load_scenes, load_spectral_scenes
from export.data.training import PairSource, ScenePatches, ScenesData, network_inputs
from export.networks.choices import FieldFuseChoice
from export.recipe import Recipe
from hsi_edge.errors import InputError

PUBLISHED = "published"
"""Folder of the published data sets within the research data."""
MAX_WORKERS = 8

Batch = dict[str, Tensor]


class TrainingData(lightning.LightningDataModule):  # type: ignore[misc]  # untyped base
    """Batches `(N, channels, rows, cols)` by name: the network's images and `truth`."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        super().__init__()
        self.recipe = recipe
        self.folder = folder

    @functools.cached_property
    def source(self) -> Source:
        """Read once: a published data set has gigabytes."""
        return open_source(self.recipe, self.folder)

    def samples(self, epoch: int) -> EpochSamples:
        """The patches of an epoch."""
        recipe = self.recipe
        per_step = 1 if self.source.whole_batches else recipe.batch
        return EpochSamples(self.source, length=recipe.steps_per_epoch * per_step, seed=recipe.seed, epoch=epoch)

    def train_dataloader(self) -> DataLoader[Batch]:
        """This epoch's patches."""
        workers = max(1, min(MAX_WORKERS, (os.cpu_count() or 1) - 1))
        batch = None if self.source.whole_batches else self.recipe.batch
        return DataLoader(self.samples(self.trainer.current_epoch), batch, num_workers=workers)

    def val_dataloader(self) -> Any:
        """The validation frames, always the same."""
        return DataLoader(validation_frames(self.recipe, self.folder), 1)  # type: ignore[arg-type]


def open_source(recipe: Recipe, folder: Path) -> Source:
    """What a recipe's patches are drawn from.

    Args:
        recipe: Tells it.
        folder: The research data folder.

    Raises:
        InputError: Names the files that are missing and where they belong.
    """
    data, images = recipe.data, recipe.network.images
    if isinstance(data, PublishedData):
        scenes = list(published_images(recipe, folder, "train"))
        return PaperPatches(scenes, paper_pair(recipe, folder), patch=recipe.patch, seed=recipe.seed)
    if isinstance(data, ComponentsData):
        return ComponentBatches(
            data=data,
            scenes=load_spectral_scenes(folder),
            responses=measured_cameras(folder),
            batch=recipe.batch,
        )
    pairs = PairSource(
        scenes=load_scenes(folder, "train"),
        responses=camera_responses(data, folder),
        ratio=recipe.ratio,
        side=data.frame_side,
        degradation=data.degradation,
        augmentation=data.augmentation,
    )
    return ScenePatches(pairs=pairs, images=images, base=recipe.base_image, patch=recipe.patch)


def published_images(recipe: Recipe, folder: Path, split: Split) -> Iterator[Scene]:
    """The images of a published recipe, one at a time.

    Raises:
        InputError: Files are missing (says which and where they belong), or an image has other bands than the network.
    """
    data, network = recipe.data, recipe.network
    assert isinstance(data, PublishedData)
    assert not isinstance(network, FieldFuseChoice)
    bands = network.hsi_bands
    dataset = data.test_dataset if split == "test" and data.test_dataset else data.dataset
    for scene in published_scenes(folder / PUBLISHED, dataset, data.paper, split):
        if scene.cube.shape[2] != bands:
            raise InputError(
                f"{scene.name} of {dataset} has {scene.cube.shape[2]} bands, and the recipe's network.hsi_bands is "
                f"{bands}; take the images with other bands out of {folder / PUBLISHED / dataset}, or change the recipe"
            )
        yield scene


def paper_pair(recipe: Recipe, folder: Path) -> PaperPair:
    """What a published recipe's network sees of a true image."""
    assert isinstance(recipe.data, PublishedData)
    images = recipe.network.images
    response = nikon_d700(folder) if "hr_msi" in images else None
    return PaperPair(data=recipe.data, ratio=recipe.ratio, images=images, base=recipe.base_image, response=response)


def validation_frames(recipe: Recipe, folder: Path) -> list[Images]:
    """Whole frames of the validation scenes, one realistic pair each; none for a published data set, which has none.

    Returns:
        The network's images, `truth`, and a `base` image in any case.
    """
    if isinstance(recipe.data, PublishedData):
        return []
    frames = []
    degradation, responses = REALISTIC, measured_cameras(folder)
    if isinstance(recipe.data, ScenesData):
        degradation = replace(REALISTIC, blur=recipe.data.degradation.blur)
        responses = camera_responses(recipe.data, folder)
    images = tuple(dict.fromkeys((*recipe.network.images, "base")))
    for scene in load_scenes(folder, "validation"):
        truth = np.ascontiguousarray(np.moveaxis(scene.cube, 2, 0))
        rng = np.random.default_rng(recipe.seed)
        pair = simulate_pair(truth, recipe.ratio, degradation, responses, rng)
        if isinstance(recipe.data, ComponentsData):
            base = network_inputs(pair, recipe.ratio, ("base",), "bicubic")
            frames.append(base | component_inputs(pair, recipe.ratio))
        else:
            frames.append(network_inputs(pair, recipe.ratio, images, recipe.base_image or "bicubic"))
    return frames


def camera_responses(data: ScenesData, folder: Path) -> list[Response]:
    """The cameras of a recipe."""
    return measured_cameras(folder) if data.responses == "cameras" else [nikon_d700(folder)]
