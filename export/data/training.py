"""Endless training patches from few small scenes: every sample is a new frame pair with its own camera and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn.functional import interpolate

from export.data.degradation import Degradation, Pair, simulate_pair
from export.data.responses import Response
from export.data.samples import Float, Images
from export.data.scenes import Scene
from hsi_edge.base_image import BaseKind, make_base_image
from hsi_edge.manifest import ImageName
from hsi_edge.resampling import Blur, degrade
from hsi_edge.scaling import frame_peak
from hsi_edge.tiling.geometry import Region


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
class ScenesData:
    """In a recipe: train on simulated pairs of the research scenes.

    Attributes:
        frame_side: Of a simulated frame, in HR pixels; the base image is made per frame.
        degradation: What the sensors do.
        augmentation: What happens to a scene before.
        responses: The cameras to draw from: those that were measured, or the one of the papers.
    """

    source: Literal["scenes"] = "scenes"
    frame_side: int
    degradation: Degradation
    augmentation: Augmentation
    responses: Literal["cameras", "nikon_d700"] = "cameras"


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
        return turned(self._crop(rng), rng)

    def _crop(self, rng: np.random.Generator) -> Float:
        cube = self.scenes[drawn_by_size([scene.cube.shape[:2] for scene in self.scenes], rng)].cube
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
        truth = truth * smooth_gain(bands, self.augmentation.spectral_gain, rng)[:, None, None]
        level = rng.uniform(*self.augmentation.level) / max(float(truth.max()), 1e-3)
        levelled: Float = truth * np.float32(level)
        return levelled


def drawn_by_size(sides: Sequence[tuple[int, int]], rng: np.random.Generator) -> int:
    """The number of a scene, drawn by the square root of its area: a large one counts more, and drowns no other."""
    weights = np.sqrt([rows * cols for rows, cols in sides])
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def smooth_gain(bands: int, deviation: float, rng: np.random.Generator) -> Float:
    """A gain per band, at most 1, that varies slowly from band to band; `deviation` is that of its logarithm."""
    curve = gaussian_filter1d(rng.standard_normal(bands), bands / 6, mode="reflect")
    curve = deviation * curve / (curve.std() + 1e-6)
    gain: Float = np.exp(curve - curve.max()).astype(np.float32)
    return gain


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


def turned(image: Float, rng: np.random.Generator) -> Float:
    """`(bands, rows, cols)` in one of the eight positions of a square."""
    image = np.rot90(image, int(rng.integers(4)), axes=(1, 2))
    return image[:, :, ::-1] if rng.random() < 0.5 else image


def network_inputs(pair: Pair, ratio: int, images: Sequence[ImageName], base: BaseKind | None) -> Images:
    """What a network sees of a pair, scaled as the runtime scales (`frame_peak`), and `truth`.

    Args:
        pair: Of a whole frame.
        ratio: HR pixels per LR pixel.
        images: Which of `lr_hsi`, `base`, `hr_msi`.
        base: Which base image; None if it is not among them.
    """
    peak = frame_peak(pair.lr_hsi)
    lr_msi = degrade(pair.hr_msi, ratio, Blur.gaussian(ratio, ratio))
    msi_peak = frame_peak(lr_msi)
    seen = {"lr_hsi": pair.lr_hsi / peak, "hr_msi": pair.hr_msi / msi_peak, "truth": pair.truth / peak}
    if base is not None:
        rows, cols = pair.truth.shape[1:]
        image = make_base_image(base, seen["lr_hsi"], lr_msi / msi_peak, ratio)
        seen["base"] = image.window((0, rows), (0, cols), seen["hr_msi"])
    return {name: seen[name] for name in (*images, "truth")}


@dataclass(frozen=True, kw_only=True)
class ScenePatches:
    """Patches of simulated frames; the base image is made per frame, as on a device.

    Attributes:
        pairs: Draws the frames.
        images: What the network sees.
        base: Which base image; None if it is not among them.
        patch: HR side; a multiple of the ratio.
    """

    whole_batches: ClassVar[bool] = False

    pairs: PairSource
    images: Sequence[ImageName]
    base: BaseKind | None
    patch: int

    @property
    def places(self) -> int:
        """Every draw is a new frame."""
        return 1

    def sample(self, _place: int, rng: np.random.Generator) -> Images:
        """A patch of a new frame, cut between LR pixels."""
        ratio = self.pairs.ratio
        seen = network_inputs(self.pairs.draw(rng), ratio, self.images, self.base)
        frame, side = self.pairs.side // ratio, self.patch // ratio
        top, left = rng.integers(0, frame - side + 1, 2)
        window = Region(int(top), int(top) + side, int(left), int(left) + side)
        return {name: _cut(image, window.scaled(image.shape[1] // frame)) for name, image in seen.items()}


def _cut(image: Float, window: Region) -> Float:
    rows, cols = window.slices
    return image[:, rows, cols]
