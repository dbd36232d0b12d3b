"""Training patches of the published data sets, cut, turned and degraded as a paper does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from export.data.degradation import BLURS
from export.data.published.protocols import Dataset, Paper
from export.data.responses import Response
from export.data.samples import Float, Images
from export.data.scenes import Scene
from export.data.training import turned
from hsi_edge.base_image import BaseKind, make_base_image
from hsi_edge.errors import InputError
from hsi_edge.manifest import ImageName
from hsi_edge.resampling import degrade
from hsi_edge.tiling.geometry import Region

Orientations = Literal["as-is", "turns-flip", "dihedral"]


@dataclass(frozen=True)
class Window:
    """A square of `side` pixels, to be cut out somewhere inside of a region of an image.

    Raises:
        InputError: The region is too small.
    """

    region: Region
    side: int

    def __post_init__(self) -> None:
        rows, cols = self.region.shape
        if self.side > min(rows, cols):
            raise InputError(
                f"an image has {rows} x {cols} pixels where a patch needs {self.side} x {self.side} of it; "
                "choose a smaller patch in the recipe"
            )


@dataclass(frozen=True, kw_only=True)
class DrawnPatches:
    """Places drawn once for the whole run, as many from each image at each zoom; a zoom of 0.5 halves the image."""

    place: Literal["drawn"] = "drawn"
    per_image: int
    zooms: tuple[float, ...]

    def windows(self, shape: tuple[int, int], patch: int, rng: np.random.Generator) -> Iterator[Window]:
        """All places in an image of `shape` pixels."""
        for zoom in self.zooms:
            side = round(patch / zoom)
            for _ in range(self.per_image):
                top, left = (int(rng.integers(max(0, length - side) + 1)) for length in shape)
                yield Window(Region(top, top + side, left, left + side).clipped(shape), side)


@dataclass(frozen=True, kw_only=True)
class RandomPatches:
    """One patch of each image and visit, somewhere else each time."""

    place: Literal["random"] = "random"

    def windows(self, shape: tuple[int, int], patch: int, _rng: np.random.Generator) -> Iterator[Window]:
        """The whole image."""
        yield Window(Region(0, shape[0], 0, shape[1]), patch)


@dataclass(frozen=True, kw_only=True)
class GridPatches:
    """Places on a regular grid, `stride` HR pixels apart."""

    place: Literal["grid"] = "grid"
    stride: int

    def windows(self, shape: tuple[int, int], patch: int, _rng: np.random.Generator) -> Iterator[Window]:
        """All places in an image of `shape` pixels."""
        tops, lefts = (range(0, max(0, length - patch) + 1, self.stride) for length in shape)
        for top, left in itertools.product(tops, lefts):
            yield Window(Region(top, top + patch, left, left + patch).clipped(shape), patch)


@dataclass(frozen=True, kw_only=True)
class PublishedData:
    """In a recipe: train on a published data set as a paper did.

    Attributes:
        paper: Whose split, crop and normalisation.
        dataset: Which images to train on.
        test_dataset: Which images to test on, if of another data set.
        blur: From HR to LR, a name in `BLURS`.
        clip: Whether LR-HSI and base image are cut to [0, 1].
        patches: Where the patches lie.
        orientations: Drawn anew at each visit: `turns-flip` has five, the turns and one mirrored; `dihedral` all eight.
    """

    source: Literal["published"] = "published"
    paper: Paper
    dataset: Dataset
    test_dataset: Dataset | None = None
    blur: str
    clip: bool = False
    patches: DrawnPatches | RandomPatches | GridPatches
    orientations: Orientations = "as-is"


@dataclass(frozen=True, kw_only=True)
class PaperPair:
    """What a paper's network sees of a true image; values stay in the units of the truth.

    Attributes:
        data: Tells blur and clipping.
        ratio: HR pixels per LR pixel.
        images: Which of `lr_hsi`, `base`, `hr_msi`.
        base: Which base image; None if it is not among them.
        response: `(msi_bands, bands)` of the camera, if `hr_msi` is among them.
    """

    data: PublishedData
    ratio: int
    images: Sequence[ImageName]
    base: BaseKind | None
    response: Response | None

    def of(self, truth: Float) -> Images:
        """The network's inputs and `truth` `(bands, rows, cols)`, whose sides are multiples of the ratio."""
        lr_hsi = self._clipped(degrade(truth, self.ratio, BLURS[self.data.blur](self.ratio)))
        seen = {"lr_hsi": lr_hsi, "truth": truth}
        if self.response is not None:
            seen["hr_msi"] = np.tensordot(self.response.astype(np.float32), truth, axes=1)
        if self.base is not None:
            rows, cols = truth.shape[1:]
            image = make_base_image(self.base, lr_hsi, None, self.ratio)
            seen["base"] = self._clipped(image.window((0, rows), (0, cols), None))
        return {name: seen[name] for name in (*self.images, "truth")}

    def _clipped(self, image: Float) -> Float:
        return image.clip(0, 1) if self.data.clip else image


class PaperPatches:
    """The source of a published recipe's patches.

    Args:
        scenes: The training images, all held in memory.
        pair: What is made of a patch.
        patch: HR side.
        seed: For places that are drawn once.

    Raises:
        InputError: An image is smaller than a patch.
    """

    whole_batches: ClassVar[bool] = False

    def __init__(self, scenes: Sequence[Scene], pair: PaperPair, *, patch: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._pair = pair
        self._patch = patch
        self._windows = [
            (scene, window)
            for scene in scenes
            for window in pair.data.patches.windows((scene.cube.shape[0], scene.cube.shape[1]), patch, rng)
        ]

    @property
    def places(self) -> int:
        """Patches, or images where patches have no fixed place."""
        return len(self._windows)

    def sample(self, place: int, rng: np.random.Generator) -> Images:
        """The patch at a place, in a drawn orientation."""
        truth = _scaled(_cut(*self._windows[place], rng), self._patch)
        return self._pair.of(np.ascontiguousarray(_oriented(truth, self._pair.data.orientations, rng)))


def _cut(scene: Scene, window: Window, rng: np.random.Generator) -> Float:
    region, side = window.region, window.side
    top = int(rng.integers(region.top, region.bottom - side + 1))
    left = int(rng.integers(region.left, region.right - side + 1))
    return np.ascontiguousarray(np.moveaxis(scene.cube[top : top + side, left : left + side], 2, 0))


def _scaled(image: Float, side: int) -> Float:
    if image.shape[1] == side:
        return image
    return interpolate(torch.from_numpy(image)[None], (side, side), mode="bicubic", antialias=True)[0].numpy()


def _oriented(image: Float, orientations: Orientations, rng: np.random.Generator) -> Float:
    if orientations == "dihedral":
        return turned(image, rng)
    if orientations == "as-is":
        return image
    position = int(rng.integers(5))
    return image[:, :, ::-1] if position == 4 else np.rot90(image, position, axes=(1, 2))
