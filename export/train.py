"""Train a network from a recipe: resumable, on a CPU or any number of GPUs, logged for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from export.losses import LOSSES, final_image
from export.networks.fieldfuse import FieldFuseOutput
from export.networks.ssrnet import SSRNet
from export.recipe import Cosine, Recipe
from export.training_data import Batch, TrainingData
from hsi_edge.errors import InputError
from hsi_edge.quality import compare

MEAN_SAMPLES = 256
"""Patches over which SSRNet's band means are taken."""


class Training(lightning.LightningModule):  # type: ignore[misc]  # untyped base
    """Any network of a recipe: its images go in, its loss comes out."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = recipe.network.build()

    def forward(self, batch: Batch) -> Any:
        """What the network returns for a batch; components become bands."""
        output = self.network(*(batch[name] for name in self.recipe.network.images))
        if isinstance(output, FieldFuseOutput):
            return output.mixed(batch["mixing"], batch["offset"])
        return output

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """The loss of one batch."""
        loss = LOSSES[self.recipe.loss](self(batch), batch["truth"])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, frame: Batch, _index: int) -> None:
        """Log what the network adds to the base image of a whole frame, or to the bicubic one if it has none."""
        estimate = final_image(self(frame)).float()
        before, after = (
            compare(_cube(image), _cube(frame["truth"]), ratio=self.recipe.ratio) for image in (frame["base"], estimate)
        )
        self.log("val/psnr_db", after.psnr_db, prog_bar=True)
        self.log("val/psnr_gain_db", after.psnr_db - before.psnr_db, prog_bar=True)
        self.log("val/sam_gain_deg", before.sam_deg - after.sam_deg)

    def configure_optimizers(self) -> Any:
        """Adam with the recipe's learning rate."""
        rate = self.recipe.learning_rate
        optimiser = torch.optim.Adam(self.parameters(), rate.start)
        schedule: torch.optim.lr_scheduler.LRScheduler
        if isinstance(rate, Cosine):
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.recipe.steps, rate.end)
        else:
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(rate.at), rate.factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(recipe: Recipe, data: Path, runs: Path) -> Path:
    """Train, or go on training where a killed run stopped.

    Args:
        recipe: What to do.
        data: The research data folder.
        runs: Checkpoints and logs go to `runs/NAME`.

    Returns:
        The last checkpoint; its weights are the moving average if the recipe asks for one.

    Raises:
        InputError: Data or the weights to start from are missing.
    """
    folder = runs / recipe.name
    last = folder / "last.ckpt"
    trainer = _trainer(recipe, folder)
    lightning.seed_everything(recipe.seed, verbose=False)
    module = Training(recipe)
    batches = TrainingData(recipe, data)
    if not last.is_file():
        _initialise(module.network, recipe, batches, runs)
    trainer.fit(module, datamodule=batches, ckpt_path=str(last) if last.is_file() else None, weights_only=False)
    return last


def _trainer(recipe: Recipe, folder: Path) -> lightning.Trainer:
    callbacks: list[Callback] = [ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False)]
    if recipe.average_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=recipe.average_decay))
    return lightning.Trainer(
        max_steps=recipe.steps,
        precision=recipe.precision,
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, name=None, version="logs"),
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        gradient_clip_val=recipe.clip_gradient,
    )


def _initialise(network: torch.nn.Module, recipe: Recipe, batches: TrainingData, runs: Path) -> None:
    """What a new run starts with beside random weights."""
    if recipe.start:
        network.load_state_dict(load_weights(runs / recipe.start / "last.ckpt"))
    elif isinstance(network, SSRNet):
        samples = batches.samples(epoch=0)
        count = min(MEAN_SAMPLES, len(samples))
        means = torch.stack([samples[index]["lr_hsi"].mean(dim=(1, 2)) for index in range(count)])
        network.band_mean.copy_(means.mean(dim=0))


def load_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The network's (averaged) weights out of a checkpoint.

    Raises:
        InputError: There is no checkpoint.
    """
    if not checkpoint.is_file():
        raise InputError(
            f"there is no checkpoint {checkpoint}; train first: python -m export train RECIPE, "
            f"with the recipe {checkpoint.parent.name}"
        )
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]
    return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}


def _cube(image: Tensor) -> Any:
    return image[0].permute(1, 2, 0).cpu().numpy()
