"""Train a fusion network from a recipe: resumable, on a CPU or any number of GPUs, logged for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from export.data.degradation import Degradation, simulate_pair
from export.data.responses import Response, measured_cameras, nikon_d700
from export.data.scenes import load_scenes
from export.data.training import PairSource, PatchDataset, network_inputs
from export.networks.pzres import PZResOutput
from export.recipe import Recipe
from hsi_edge.quality import compare

REALISTIC = Degradation(lr_noise=(0.004, 0.004), msi_noise=(0.005, 0.005), msi_bits=8, misregistration_lr=0.02)
"""The realistic pair that validation and the accuracy table use: noise as a small sensor's, an 8-bit camera, and the
misregistration that is left after a good registration (0.02 LR pixels)."""

Patch = tuple[Tensor, Tensor, Tensor]


class FusionTraining(lightning.LightningModule):  # type: ignore[misc]  # untyped base
    """PZRes-Net's own loss: L1 of the coarse and of the refined image."""

    def __init__(self, recipe: Recipe, data: Path) -> None:
        super().__init__()
        self.recipe = recipe
        self.data = data
        self.network = recipe.network.build()

    def training_step(self, patch: Patch, _index: int) -> Tensor:
        """The loss of one batch."""
        base, msi, truth = patch
        output: PZResOutput = self.network(base, msi)
        loss = (output.coarse - truth).abs().mean() + (output.refined - truth).abs().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, frame: Patch, _index: int) -> None:
        """Log what the network adds to the base image of a whole frame."""
        base, msi, truth = frame
        refined = self.network(base, msi).refined.float()
        before, after = (compare(_cube(image), _cube(truth), ratio=self.recipe.ratio) for image in (base, refined))
        self.log("val/psnr_db", after.psnr_db, prog_bar=True)
        self.log("val/psnr_gain_db", after.psnr_db - before.psnr_db, prog_bar=True)
        self.log("val/sam_gain_deg", before.sam_deg - after.sam_deg)

    def configure_optimizers(self) -> Any:
        """Adam with a cosine schedule over the whole run."""
        start, end = self.recipe.learning_rate
        optimiser = torch.optim.Adam(self.parameters(), start)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.recipe.steps, end)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[Patch]:
        """This epoch's patches."""
        recipe = self.recipe
        source = PairSource(
            scenes=load_scenes(self.data, "train"),
            responses=camera_responses(recipe, self.data),
            ratio=recipe.ratio,
            side=recipe.frame_side,
            degradation=recipe.degradation,
            augmentation=recipe.augmentation,
        )
        # Each epoch draws its own samples from (seed, epoch), so a run that was killed goes on as if it had not been.
        patches = PatchDataset(
            source,
            base=recipe.base,
            patch=recipe.patch,
            length=recipe.steps_per_epoch * recipe.batch,
            seed=(recipe.seed, self.current_epoch),
        )
        return DataLoader(patches, recipe.batch, num_workers=1)

    def val_dataloader(self) -> DataLoader[Patch]:
        """The validation frames, always the same."""
        return DataLoader(validation_frames(self.recipe, self.data), 1)


def validation_frames(recipe: Recipe, data: Path) -> Any:
    """Whole frames `(base, msi, truth)` of the validation scenes, one realistic pair each."""
    frames = []
    for scene in load_scenes(data, "validation"):
        truth = np.ascontiguousarray(np.moveaxis(scene.cube, 2, 0))
        rng = np.random.default_rng(recipe.seed)
        pair = simulate_pair(truth, recipe.ratio, REALISTIC, camera_responses(recipe, data), rng)
        frames.append(tuple(torch.from_numpy(a) for a in network_inputs(pair, recipe.ratio, recipe.base)))
    return frames


def camera_responses(recipe: Recipe, data: Path) -> list[Response]:
    """The cameras of a recipe."""
    return measured_cameras(data) if recipe.responses == "cameras" else [nikon_d700(data)]


def train(recipe: Recipe, data: Path, runs: Path) -> Path:
    """Train, or go on training where a killed run stopped.

    Args:
        recipe: What to do.
        data: The research data folder.
        runs: Checkpoints and logs go to `runs/NAME`.

    Returns:
        The last checkpoint; its weights are the moving average.
    """
    folder = runs / recipe.name
    last = folder / "last.ckpt"
    keep = ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False)
    average: Callback = EMAWeightAveraging(decay=recipe.average_decay)
    trainer = lightning.Trainer(
        max_steps=recipe.steps,
        precision=recipe.precision,
        callbacks=[keep, average],
        logger=TensorBoardLogger(folder, name=None, version="logs"),
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        gradient_clip_val=0.1,
    )
    lightning.seed_everything(recipe.seed, verbose=False)
    module = FusionTraining(recipe, data)
    if recipe.start and not last.is_file():
        module.network.load_state_dict(load_weights(runs / recipe.start / "last.ckpt"))
    trainer.fit(module, ckpt_path=str(last) if last.is_file() else None, weights_only=False)
    return last


def load_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The network's averaged weights out of a checkpoint."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]
    return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}


def _cube(image: Tensor) -> Any:
    return image[0].permute(1, 2, 0).cpu().numpy()
