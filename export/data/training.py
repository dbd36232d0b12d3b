"""Endless training patches from few small scenes: every sample is a new frame pair with its own camera and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from export.data.degradation import Degradation, Pair, simulate_pair
from export.data.responses import Response
from export.data.scenes import Scene
from hsi_edge.base_image import BaseKind, make_base_image
from hsi_edge.resampling import Blur, degrade
from hsi_edge.scaling import frame_peak

Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How a scene becomes another one; probabilities and ranges.

    Attributes:
        zoom: Range of spatial magnification.
        blend: Probability of a mixture of two scenes, with all spectra in between.
        leaves: Probability of a synthetic image ("dead leaves") painted with spectra of the scenes.
        spectral_gain: Standard deviation of the log of a smooth gain curve over the bands.
        reverse_bands: Probability of reversing the band order.
        level: Range of an overall gain.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    blend: float = 0.0
    leaves: float = 0.0
    spectral_gain: float = 0.0
    reverse_bands: float = 0.0
    level: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class PairSource:
    """Draws augmented, degraded frame pairs of a given side length.

    Attributes:
        scenes: What to draw from.
        responses: Cameras to draw from.
        ratio: HR pixels per LR pixel.
        side: HR side of a frame; a multiple of the ratio.
        degradation: What the sensors do.
        augmentation: What happens to the scene before.
    """

    scenes: Sequence[Scene]
    responses: Sequence[Response]
    ratio: int
    side: int
    degradation: Degradation
    augmentation: Augmentation

    def draw(self, rng: np.random.Generator) -> Pair:
        """One frame pair."""
        truth = self._scene(rng)
        if rng.random() < self.augmentation.blend:
            share = np.float32(rng.uniform(0.2, 0.8))
            truth = share * truth + (1 - share) * self._scene(rng)
        truth = self._respectralised(truth, rng)
        return simulate_pair(np.clip(truth, 0, 1), self.ratio, self.degradation, self.responses, rng)

    def _scene(self, rng: np.random.Generator) -> Float:
        if rng.random() < self.augmentation.leaves:
            return dead_leaves(self._spectra(rng, 24), self.side, rng)
        return _turned(self._crop(rng), rng)

    def _crop(self, rng: np.random.Generator) -> Float:
        # Scenes are drawn by the square root of their area: a large one counts more, and does not drown the others.
        areas = np.sqrt([scene.cube.shape[0] * scene.cube.shape[1] for scene in self.scenes])
        cube = self.scenes[int(rng.choice(len(self.scenes), p=areas / areas.sum()))].cube
        factor = max(rng.uniform(*self.augmentation.zoom), self.side / min(cube.shape[:2]))
        window = min(int(np.ceil(self.side / factor)), *cube.shape[:2])
        top, left = (rng.integers(0, length - window + 1) for length in cube.shape[:2])
        part = np.ascontiguousarray(np.moveaxis(cube[top : top + window, left : left + window], 2, 0))
        if window == self.side:
            return part
        size = (self.side, self.side)
        return interpolate(torch.from_numpy(part)[None], size, mode="bicubic", antialias=True)[0].numpy()

    def _spectra(self, rng: np.random.Generator, count: int) -> Float:
        picked = []
        for _ in range(count):
            cube = self.scenes[int(rng.integers(len(self.scenes)))].cube
            picked.append(cube[rng.integers(cube.shape[0]), rng.integers(cube.shape[1])])
        return np.stack(picked)

    def _respectralised(self, truth: Float, rng: np.random.Generator) -> Float:
        bands = truth.shape[0]
        if rng.random() < self.augmentation.reverse_bands:
            truth = truth[::-1]
        curve = gaussian_filter1d(rng.standard_normal(bands), bands / 6, mode="reflect")
        curve = self.augmentation.spectral_gain * curve / (curve.std() + 1e-6)
        truth = truth * np.exp(curve - curve.max()).astype(np.float32)[:, None, None]
        level = rng.uniform(*self.augmentation.level) / max(float(truth.max()), 1e-3)
        levelled: Float = truth * np.float32(level)
        return levelled


def dead_leaves(spectra: Float, side: int, rng: np.random.Generator) -> Float:
    """A `(bands, side, side)` image of occluding discs, each of one spectrum with a gradient of brightness.

    Source: Lee, Mumford, Huang, "Occlusion Models for Natural Images", IJCV 2001: edges and scales as in nature.
    """
    rows, cols = np.mgrid[:side, :side].astype(np.float32)
    label = np.zeros((side, side), np.int64)
    brightness = np.ones((side, side), np.float32)
    for _ in range(120):
        # Radii with a density of r^-3 give the scale invariance of natural images.
        radius = 2.0 / np.sqrt(rng.uniform((2.0 / side) ** 2, 1.0))
        top, left = rng.uniform(0, side, 2)
        inside = (rows - top) ** 2 + (cols - left) ** 2 < radius**2
        slope = rng.normal(0, 0.3 / side, 2)
        label[inside] = rng.integers(len(spectra))
        brightness[inside] = rng.uniform(0.6, 1.4) + slope[0] * (rows - top)[inside] + slope[1] * (cols - left)[inside]
    texture = 1 + rng.uniform(0, 0.1) * rng.standard_normal((side, side)).astype(np.float32)
    return np.moveaxis(spectra[label], 2, 0) * np.maximum(brightness * texture, 0)


def _turned(image: Float, rng: np.random.Generator) -> Float:
    turned = np.rot90(image, int(rng.integers(4)), axes=(1, 2))
    return turned[:, :, ::-1] if rng.random() < 0.5 else turned


def network_inputs(pair: Pair, ratio: int, base: BaseKind) -> tuple[Float, Float, Float]:
    """What the network sees of a pair: base image, MSI and truth, scaled as the runtime scales (`frame_peak`)."""
    peak = frame_peak(pair.lr_hsi)
    lr_msi = degrade(pair.hr_msi, ratio, Blur.gaussian(ratio, ratio))
    msi_peak = frame_peak(lr_msi)
    image = make_base_image(base, pair.lr_hsi / peak, lr_msi / msi_peak, ratio)
    rows, cols = pair.truth.shape[1:]
    msi = pair.hr_msi / msi_peak
    return image.window((0, rows), (0, cols), msi), msi, pair.truth / peak


class PatchDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Patches `(base, msi, truth)`; sample `i` of epoch `e` is always the same for the same seed."""

    def __init__(self, source: PairSource, *, base: BaseKind, patch: int, length: int, seed: tuple[int, int]) -> None:
        self._source = source
        self._base = base
        self._patch = patch
        self._length = length
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((*self._seed, index))
        arrays = network_inputs(self._source.draw(rng), self._source.ratio, self._base)
        top, left = rng.integers(0, self._source.side - self._patch + 1, 2)
        window = np.s_[:, top : top + self._patch, left : left + self._patch]
        base, msi, truth = (torch.from_numpy(np.ascontiguousarray(array[window])) for array in arrays)
        return base, msi, truth
