"""Training batches for FieldFuse: simulated pairs of any bands and noise, in components as the runtime finds them.

The range is wide on purpose: frames without any noise and with much, 10 to all bands of a scene, cameras that were
measured and such as were not, registered and displaced. Where the network must not help, it has to learn that too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn.functional import interpolate

from export.data.degradation import Degradation, Pair, simulate_pair
from export.data.responses import Response
from export.data.samples import Float, Images
from export.data.scenes import SpectralScene
from export.data.training import dead_leaves, drawn_by_size, smooth_gain, turned
from hsi_edge.frame import Frame
from hsi_edge.guide import GuideReader
from hsi_edge.manifest import SUBSPACE_IMAGES
from hsi_edge.scaling import frame_peak
from hsi_edge.subspace import CHANNELS
from hsi_edge.subspace_frame import SubspaceFrame, subspace_frame

BANDS = 31
"""Of a truth that the loss looks at; drawn from those of the frame."""
VIS = 31
"""Bands of the vis31 grid, which the cameras' responses are known on."""

Numbers = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ComponentsData:
    """In a recipe: train on components of simulated pairs.

    Attributes:
        ratios: One of them is drawn per batch.
        frame_side: HR side of a frame, which is also the patch.
        all_bands: Probability of a scene with the bands of its whole sensor, visible or not.
        some_bands: Probability that a frame on the vis31 grid has only some of them.
        native: Probability of a scene as it is; else it is magnified, or a mosaic of four is reduced.
        zoom: Range of magnification; below 1 for mosaics.
        leaves: Probability of a synthetic image ("dead leaves").
        blend: Probability of a mixture of two scenes.
        spectral_gain: Standard deviation of the log of a smooth gain curve over the bands.
        clean: Probability of a pair without noise or displacement.
        lr_noise, msi_noise: Ranges of the noise, drawn evenly on a log scale.
        psf_stretch: Range of the point spread function's width against the assumed one.
        misregistration_lr: Largest displacements to draw from, in LR pixels.
        odd_camera: Probability of a measured response that was changed at random.
    """

    source: Literal["components"] = "components"
    ratios: tuple[int, ...]
    frame_side: int
    all_bands: float
    some_bands: float
    native: float
    zoom: Numbers
    leaves: float
    blend: float
    spectral_gain: float
    clean: float
    lr_noise: Numbers
    msi_noise: Numbers
    psf_stretch: Numbers
    misregistration_lr: tuple[float, ...]
    odd_camera: float


@dataclass(frozen=True, kw_only=True)
class ComponentBatches:
    """Draws whole batches, as all frames of one must have the same ratio."""

    whole_batches: ClassVar[bool] = True

    data: ComponentsData
    scenes: Sequence[SpectralScene]
    responses: Sequence[Response]
    batch: int

    @property
    def places(self) -> int:
        """Every draw is a new batch."""
        return 1

    def sample(self, _place: int, rng: np.random.Generator) -> Images:
        """A batch `(N, ...)` of each: the network's images, `mixing`, `offset` and `truth`."""
        ratio = int(rng.choice(self.data.ratios))
        samples = [_signs_turned(self._sample(ratio, rng), rng) for _ in range(self.batch)]
        return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}

    def _sample(self, ratio: int, rng: np.random.Generator) -> Images:
        hsi, vis = self._scene(rng)
        seen = component_inputs(self._pair(hsi, vis, ratio, rng), ratio)
        bands = np.arange(len(hsi))
        if len(bands) != BANDS:
            bands = np.sort(rng.choice(len(hsi), BANDS, replace=len(hsi) < BANDS))
        per_band = {name: seen[name][bands] for name in ("mixing", "offset", "truth")}
        return {name: np.ascontiguousarray(image, np.float32) for name, image in (seen | per_band).items()}

    def _scene(self, rng: np.random.Generator) -> tuple[Float, Float]:
        """What the spectral sensor looks at, `(bands, side, side)`, and what the camera does, `(31, side, side)`."""
        data = self.data
        if rng.random() < data.all_bands:
            image = self._image(rng, whole=True)
            hsi, vis = image[:-VIS], image[-VIS:]
            count = int(rng.integers(24, len(hsi) + 1))
            hsi = hsi[np.sort(rng.choice(len(hsi), count, replace=False))]
        else:
            hsi = vis = self._visible(rng)
            if rng.random() < data.some_bands:
                count = int(rng.integers(10, VIS))
                first = int(rng.integers(0, VIS - count + 1))
                hsi = vis[first : first + count]
        level = np.float32(rng.uniform(0.6, 1.0))
        scaled = (np.clip(part * (level / max(float(part.max()), 1e-3)), 0, 1) for part in (hsi, vis))
        return next(scaled), next(scaled)

    def _visible(self, rng: np.random.Generator) -> Float:
        data = self.data
        image = self._leaves(rng) if rng.random() < data.leaves else self._image(rng, whole=False)
        if rng.random() < data.blend:
            share = np.float32(rng.uniform(0.2, 0.8))
            image = share * image + (1 - share) * self._image(rng, whole=False)
        if rng.random() < 0.3:
            image = image[::-1]
        gained: Float = image * smooth_gain(VIS, data.spectral_gain, rng)[:, None, None]
        return gained

    def _leaves(self, rng: np.random.Generator) -> Float:
        picked = []
        for _ in range(24):
            vis = self.scenes[int(rng.integers(len(self.scenes)))].vis
            picked.append(vis[:, rng.integers(vis.shape[1]), rng.integers(vis.shape[2])])
        return dead_leaves(np.stack(picked), self.data.frame_side, rng).astype(np.float32)

    def _image(self, rng: np.random.Generator, *, whole: bool) -> Float:
        """A crop of a scene, turned; with all its bands before those of the vis31 grid if `whole`."""
        scene = self.scenes[drawn_by_size([scene.vis.shape[1:] for scene in self.scenes], rng)]
        image = np.concatenate([scene.bands, scene.vis]) if whole else scene.vis
        side, least = self.data.frame_side, min(image.shape[1:])
        factor = 1.0 if rng.random() < self.data.native else rng.uniform(*self.data.zoom)
        factor = max(factor, side / (2 * least))
        window = math.ceil(side / factor)
        if window <= least:
            return _resized(_crop(image, window, rng), side)
        if factor >= 1:
            return _resized(_crop(image, least, rng), side)
        half = math.ceil(window / 2)
        rows = [np.concatenate([_crop(image, half, rng) for _ in range(2)], axis=2) for _ in range(2)]
        return _resized(np.concatenate(rows, axis=1), side)

    def _pair(self, hsi: Float, vis: Float, ratio: int, rng: np.random.Generator) -> Pair:
        """What the two sensors deliver of the same place, each in its own bands."""
        data = self.data
        clean = rng.random() < data.clean
        lr_noise, msi_noise = (0.0 if clean else _log_uniform(rng, part) for part in (data.lr_noise, data.msi_noise))
        degradation = Degradation(
            psf_stretch=data.psf_stretch,
            lr_noise=(lr_noise, lr_noise),
            msi_noise=(msi_noise, msi_noise),
            msi_bits=0 if clean or rng.random() < 0.25 else 8,
            misregistration_lr=0.0 if clean else float(rng.choice(data.misregistration_lr)),
            exposure=(0.7, 1.0),
        )
        response = self.responses[int(rng.integers(len(self.responses)))]
        if rng.random() < data.odd_camera:
            response = _changed(response, rng)
        camera = simulate_pair(vis, ratio, degradation, [response], rng)
        # The spectral frame needs no camera; any response will do.
        flat = np.full((3, len(hsi)), 1 / len(hsi))
        return replace(simulate_pair(hsi, ratio, degradation, [flat], rng), hr_msi=camera.hr_msi)


def component_inputs(pair: Pair, ratio: int) -> Images:
    """What FieldFuse sees of a pair, how its components mix to bands, and the truth, scaled as on a device."""
    frame = component_frame(pair, ratio)
    seen = frame.window(frame.grid).images
    mixture = {"mixing": frame.subspace.mixing, "offset": frame.subspace.offset}
    return seen | mixture | {"truth": pair.truth / np.float32(frame.scale)}


def component_frame(pair: Pair, ratio: int) -> SubspaceFrame:
    """A pair as the runtime prepares it (`hsi_edge.preparation`), without its checks."""
    peak = frame_peak(pair.lr_hsi)
    shape = pair.lr_hsi.shape[1:]
    msi = np.moveaxis(pair.hr_msi, 0, 2)
    guide = GuideReader(msi, None, ratio, frame_peak(msi), np.zeros(msi.shape[2], np.float32))
    valid = np.ones(shape, np.bool_)
    frame = Frame(
        lr_shape=(shape[0], shape[1]),
        alignment=1,
        ratio=ratio,
        scale=peak,
        lr_valid=valid,
        dead_bands=np.zeros(len(pair.lr_hsi), np.bool_),
        names=SUBSPACE_IMAGES,
        lr=pair.lr_hsi / np.float32(peak),
        base=None,
        guide=guide,
    )
    return subspace_frame(frame, valid, float(ratio))


def _signs_turned(sample: Images, rng: np.random.Generator) -> Images:
    """The same frame with some components negated: which sign an eigenvector has means nothing."""
    signs = np.where(rng.random(CHANNELS) < 0.5, -1, 1).astype(np.float32)
    guides, rest = signs[:3], signs[3:]
    slopes = (rest[:, None] * guides[None]).ravel()
    of_features = np.concatenate([rest, slopes, guides])
    return sample | {
        "guide": sample["guide"] * guides[:, None, None],
        "features": sample["features"] * of_features[:, None, None],
        "mixing": sample["mixing"] * signs,
    }


def _crop(image: Float, side: int, rng: np.random.Generator) -> Float:
    top, left = (int(rng.integers(0, length - side + 1)) for length in image.shape[1:])
    return turned(image[:, top : top + side, left : left + side], rng)


def _resized(image: Float, side: int) -> Float:
    image = np.ascontiguousarray(image)
    if image.shape[1:] == (side, side):
        return image
    resized = interpolate(torch.from_numpy(image)[None], (side, side), mode="bicubic", antialias=True)[0].numpy()
    positive: Float = np.maximum(resized, 0)
    return positive


def _log_uniform(rng: np.random.Generator, limits: Numbers) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def _changed(response: Response, rng: np.random.Generator) -> Response:
    """A response whose bands were raised and lowered by some 20 percent, smoothly."""
    factor = 1 + 0.2 * gaussian_filter1d(rng.standard_normal(response.shape), 2, axis=1)
    changed = np.maximum(response * factor, 0)
    normalised: Response = changed / changed.sum(axis=1, keepdims=True)
    return normalised
