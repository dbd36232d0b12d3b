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
        cube: `(rows, cols, 31)` float32 on the vis31 grid, divided by the whole scene's largest value.
    """

    name: str
    cube: NDArray[np.float32]


def vis31_nm() -> NDArray[np.float64]:
    """400 to 700 nm in steps of 10 nm."""
    grid = _table()["vis31"]
    return np.linspace(grid["first_nm"], grid["last_nm"], grid["bands"])


def load_scenes(folder: Path, split: Split) -> list[Scene]:
    """All crops of a split.

    Args:
        folder: The research data folder, with `train`, `test` and `sensors` in it.
        split: Which scenes.

    Raises:
        InputError: Names the file that is missing and where it belongs.
    """
    scenes = []
    for name, entry in _table()[split].items():
        home = entry.get("folder", "test" if split == "test" else "train")
        cube = _load_vis31(folder, folder / home / f"{name}.npz", entry)
        crops = entry.get("crops") or [[0, cube.shape[0], 0, cube.shape[1]]]
        for number, (top, bottom, left, right) in enumerate(crops):
            title = name if len(crops) == 1 else f"{name}-{number}"
            scenes.append(Scene(title, cube[top:bottom, left:right]))
    return scenes


def _table() -> Any:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def _load_vis31(folder: Path, path: Path, entry: dict[str, Any]) -> NDArray[np.float32]:
    if not path.is_file():
        raise InputError(f"{path} is missing: the research scenes belong into {folder}/train and {folder}/test")
    with np.load(path, allow_pickle=False) as file:
        raw = file["cube"].astype(np.float32)
        wavelengths = file["wavelength_nm"] if "wavelength_nm" in file.files else None
    if wavelengths is None:
        wavelengths = _axis(folder, entry, raw.shape[2])
    grid = vis31_nm()
    cube = np.maximum(resample_cube(Cube(data=raw, wavelengths_nm=wavelengths), grid).physical(), 0)
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
