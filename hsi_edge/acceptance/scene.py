"""The frames of a check: the bundle's golden pair, the user's reference scenes, and frames of a wanted size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.bundle import Bundle
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.inputs import Image
from hsi_edge.manifest import Manifest
from hsi_edge.scenes import read_scenes

GOLDEN, SYNTHETIC = "golden pair", "synthetic frame"
DEFAULT_HR_PX = 512
"""Side of the frame whose latency is measured where no scenes and no size are given, in HR pixels."""
_SYNTHETIC_HR_PX = 128
_SYNTHETIC_BANDS, _SYNTHETIC_MSI_BANDS = 31, 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """One frame pair in memory.

    Attributes:
        name: Of the scene.
        lr_hsi: `(rows, cols, bands)`.
        hr_msi: `(rows * ratio, cols * ratio, msi_bands)`; None for a single-image model.
        truth: `(rows * ratio, cols * ratio, bands)`; None where it is not known.
    """

    name: str
    lr_hsi: Image
    hr_msi: Image | None
    truth: NDArray[np.float32] | None = None

    @property
    def lr_shape(self) -> tuple[int, int, int]:
        """Of the LR-HSI."""
        rows, cols, bands = _array(self.lr_hsi).shape
        return rows, cols, bands


def scenes_to_score(bundle: Bundle, data: Path | None) -> list[Scene]:
    """What accuracy is judged on: the golden pair, if the bundle has one, and the user's scenes; else synthetic.

    Raises:
        InputError: The folder holds no scenes for this model, or a truth of the wrong shape.
    """
    manifest = bundle.manifest
    golden = [_golden(bundle)] if manifest.golden is not None else []
    users = [] if data is None else _users(data, manifest)
    return golden + users or [synthetic(manifest, _lr_shape(manifest, _SYNTHETIC_HR_PX))]


def scenes_to_time(scenes: Sequence[Scene], manifest: Manifest, lr_shape: tuple[int, int] | None) -> list[Scene]:
    """What latency is measured on: the user's scenes as they are, or any scene mirrored and cut to a size.

    Args:
        scenes: Those of `scenes_to_score`.
        manifest: Of the model.
        lr_shape: Wanted rows and columns of the LR-HSI; None takes the user's scenes, or a frame of `DEFAULT_HR_PX`.
    """
    users = [scene for scene in scenes if scene.name not in (GOLDEN, SYNTHETIC)]
    if lr_shape is None and users:
        return users
    wanted = lr_shape or _lr_shape(manifest, DEFAULT_HR_PX)
    return [resized(scene, wanted, manifest.ratio) for scene in users or scenes]


def resized(scene: Scene, lr_shape: tuple[int, int], ratio: int) -> Scene:
    """The scene cut, or continued by its own mirror images, to that many LR rows and columns; without a truth."""
    rows, cols = (side * ratio for side in lr_shape)
    hr_msi = None if scene.hr_msi is None else _filling(scene.hr_msi, (rows, cols))
    return Scene(name=scene.name, lr_hsi=_filling(scene.lr_hsi, lr_shape), hr_msi=hr_msi)


def synthetic(manifest: Manifest, lr_shape: tuple[int, int]) -> Scene:
    """A frame pair of smooth spectra with little noise: it exercises the engine, and says little of any real scene."""
    rng = np.random.default_rng(0)
    ratio, bands = manifest.ratio, manifest.n_bands or _SYNTHETIC_BANDS
    rows, cols = (side * ratio for side in lr_shape)
    shares = rng.random((4, *lr_shape), np.float32).repeat(ratio, axis=1).repeat(ratio, axis=2)
    shares = 0.7 * shares + 0.3 * rng.random((4, rows, cols), np.float32)
    shares /= shares.sum(axis=0)
    spectra = 0.1 + 0.4 * (1 + np.sin(np.linspace(0, 3, bands)[None] + np.arange(4)[:, None])) / 2
    cube = np.einsum("krc,kb->rcb", shares, spectra).astype(np.float32)
    lr_hsi = cube.reshape(lr_shape[0], ratio, lr_shape[1], ratio, bands).mean(axis=(1, 3))
    msi_bands = manifest.msi.bands or _SYNTHETIC_MSI_BANDS
    groups = np.array_split(np.arange(bands)[::-1], msi_bands)
    msi = np.stack([cube[:, :, group].mean(axis=2) for group in groups], axis=2)
    hr_msi = None if manifest.task == "single" else np.rint(255 * msi).astype(np.uint8)
    return Scene(name=SYNTHETIC, lr_hsi=lr_hsi, hr_msi=hr_msi)


def _lr_shape(manifest: Manifest, hr_px: int) -> tuple[int, int]:
    side = max(hr_px // manifest.ratio, manifest.tiling.min_lr)
    return side, side


def _golden(bundle: Bundle) -> Scene:
    arrays: dict[str, NDArray[Any]] = bundle.golden()
    return Scene(name=GOLDEN, lr_hsi=arrays["lr_hsi"], hr_msi=arrays.get("hr_msi"))


def _users(data: Path, manifest: Manifest) -> list[Scene]:
    scenes = []
    for found in read_scenes(data, manifest):
        truth = None if found.hr_hsi is None else found.hr_hsi.physical()
        lr_hsi = _in_memory(found.lr_hsi)
        wanted = (lr_hsi.rows * manifest.ratio, lr_hsi.cols * manifest.ratio, lr_hsi.n_bands)
        if truth is not None and truth.shape != wanted:
            raise InputError(
                f"the truth (hr_hsi) of the scene {found.name} is {truth.shape}; at ratio {manifest.ratio} wanted "
                f"{wanted} (rows, cols, bands). Cut it to that, or leave it out"
            )
        msi = None if found.hr_msi is None else _in_memory(found.hr_msi)
        scenes.append(Scene(name=found.name, lr_hsi=lr_hsi, hr_msi=msi, truth=truth))
    return scenes


def _in_memory(cube: Cube) -> Cube:
    """A camera hands out arrays, so that reading a disk is no part of a frame."""
    return replace(cube, data=np.array(cube.data[...]))


def _filling(image: Image, shape: tuple[int, int]) -> Image:
    if not isinstance(image, Cube):
        return _filled(image, shape)
    mask = None if image.mask is None else _filled(image.mask, shape)
    return replace(image, data=_filled(image.data, shape), mask=mask, georeference=None)


def _filled(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    more = [(0, max(0, wanted - length)) for wanted, length in zip(shape, array.shape[:2], strict=True)]
    padded = np.pad(array, (*more, *[(0, 0)] * (array.ndim - 2)), mode="symmetric")
    return np.ascontiguousarray(padded[: shape[0], : shape[1]])


def _array(image: Image) -> NDArray[Any]:
    data: NDArray[Any] = image.data if isinstance(image, Cube) else image
    return data
