"""The research scenes on one spectral grid ("vis31"), cut into what is trained on, watched and tested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.spectral import resample_cube

Split = Literal["train", "validation", "test"]
TABLE = Path(__file__).with_name("scenes.yaml")


@dataclass(frozen=True)
class Scene:
    """A crop of a scene.

    Attributes:
        name: The file's name; with the crop's number where there are several.
        cube: `(rows, cols, bands)` float32, divided by the whole scene's largest value.
        wavelengths_nm: `(bands,)` in the order of the bands; None for the vis31 grid.
    """

    name: str
    cube: NDArray[np.float32]
    wavelengths_nm: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class SpectralScene:
    """A scene with the bands of its sensor and, beside them, on the vis31 grid.

    Attributes:
        bands: `(all bands, rows, cols)`, about 0 to 1.
        vis: `(31, rows, cols)`, likewise.
    """

    bands: NDArray[np.float32]
    vis: NDArray[np.float32]


def vis31_nm() -> NDArray[np.float64]:
    """400 to 700 nm in steps of 10 nm."""
    grid = _table()["vis31"]
    return np.linspace(grid["first_nm"], grid["last_nm"], grid["bands"])


def load_scenes(folder: Path, split: Split) -> list[Scene]:
    """All crops of a split, on the vis31 grid.

    Args:
        folder: The research data folder, with `train`, `test` and `sensors` in it.
        split: Which scenes.

    Raises:
        InputError: Names the file that is missing and where it belongs.
    """
    scenes = []
    for name, entry in _table()[split].items():
        cube = _on_vis31(*_read(folder, name, entry, "test" if split == "test" else "train"))
        crops = _crops(entry)
        scenes += [Scene(name if len(crops) == 1 else f"{name}-{n}", cube[crop]) for n, crop in enumerate(crops)]
    return scenes


def load_spectral_scenes(folder: Path) -> list[SpectralScene]:
    """All crops of the training scenes, with all bands of their sensors and on the vis31 grid.

    Raises:
        InputError: Names the file that is missing and where it belongs.
    """
    scenes = []
    for name, entry in _table()["train"].items():
        raw, wavelengths = _read(folder, name, entry, "train")
        raw = np.maximum(np.nan_to_num(raw), 0)
        # A glint must not darken the rest.
        bands = np.minimum(raw / np.quantile(raw, 0.9995), 1.2)
        vis = _on_vis31(raw, wavelengths)
        for crop in _crops(entry):
            parts = (np.ascontiguousarray(np.moveaxis(cube[crop], 2, 0), np.float32) for cube in (bands, vis))
            scenes.append(SpectralScene(*parts))
    return scenes


def load_native_scenes(folder: Path) -> list[Scene]:
    """The scenes with all bands of their sensors, for methods that take any.

    Raises:
        InputError: Names the file that is missing and where it belongs.
    """
    scenes = []
    for name, entry in _table()["native"].items():
        raw, wavelengths = _read(folder, name, entry, "test")
        top, bottom, left, right = entry["crop"]
        cube = np.maximum(raw, 0) / raw.max()
        scenes.append(Scene(f"{name}, {raw.shape[2]} bands", cube[top:bottom, left:right], wavelengths))
    return scenes


def _crops(entry: dict[str, Any]) -> list[tuple[slice, slice]]:
    """What is used of a scene's rows and columns."""
    limits = entry.get("crops")
    if limits is None:
        return [(slice(None), slice(None))]
    return [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in limits]


def _table() -> Any:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def _read(folder: Path, name: str, entry: dict[str, Any], home: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A scene as it is stored, in float32, and its band centres."""
    path = folder / entry.get("folder", home) / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"{path} is missing: the research scenes belong into {folder}/train and {folder}/test")
    with np.load(path, allow_pickle=False) as file:
        raw = file["cube"].astype(np.float32)
        stored = file["wavelength_nm"] if "wavelength_nm" in file.files else None
    return raw, _axis(folder, entry, raw.shape[2]) if stored is None else stored


def _on_vis31(raw: NDArray[np.float32], wavelengths_nm: NDArray[np.float64]) -> NDArray[np.float32]:
    cube = np.maximum(resample_cube(Cube(data=raw, wavelengths_nm=wavelengths_nm), vis31_nm()).physical(), 0)
    scaled: NDArray[np.float32] = cube / cube.max()
    return scaled


def _axis(folder: Path, entry: dict[str, Any], bands: int) -> NDArray[np.float64]:
    """The axis of a file that has none; beyond 700 nm it is only a placeholder."""
    index = np.arange(bands, dtype=np.float64)
    if entry["axis"] == "hydice":
        return 400 + 3.6 * index + 0.031 * index**2
    with np.load(folder / "sensors" / "pair_salton_sea.npz", allow_pickle=False) as file:
        axis = file["wavelength_nm"]
    first = entry.get("first", 0)
    placeholder = axis[-1] + 10 * (1 + index)
    return np.concatenate([axis[first : first + min(bands, 60)], placeholder])[:bands]
