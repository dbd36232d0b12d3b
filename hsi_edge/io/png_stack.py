"""A folder with one grey PNG per band, the layout of the CAVE data set (Yasuma et al., IEEE TIP 19(9), 2010)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io.image import decode
from hsi_edge.io.window import reading

_NUMBERED = re.compile(r"(\d+)\.png$", re.IGNORECASE)
_CAVE_BANDS = 31
_CAVE_NM = (400.0, 700.0)


def read_png_stack(folder: Path) -> Cube:
    """Read a folder of PNGs whose names end in the number of their band, counted from 0 or 1 without a gap.

    Other files in the folder are left alone. 31 bands in a folder called `*_ms`, as CAVE has them, are 400 to 700 nm
    in steps of 10; for any other stack the wavelengths are unknown.

    Raises:
        InputError: If a band is missing or there twice, or if a file is damaged or unlike the others; names the file.
    """
    files = _ordered(folder)
    first = _read_band(files[0])
    data = np.empty((*first.shape, len(files)), first.dtype)
    for index, file in enumerate(files):
        band = _read_band(file)
        if band.shape != first.shape or band.dtype != first.dtype:
            raise InputError(
                f"{file} is {band.shape[0]} x {band.shape[1]} of {band.dtype}, but the first band, {files[0].name}, is "
                f"{first.shape[0]} x {first.shape[1]} of {first.dtype}; all bands of a stack are alike"
            )
        data[:, :, index] = band
    is_cave = len(files) == _CAVE_BANDS and folder.resolve().name.endswith("_ms")
    return Cube(data=data, wavelengths_nm=np.linspace(*_CAVE_NM, _CAVE_BANDS) if is_cave else None)


def _ordered(folder: Path) -> list[Path]:
    by_number: dict[int, Path] = {}
    with reading(folder):
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".png")
    for file in files:
        number = _NUMBERED.search(file.name)
        if number is None:
            raise InputError(f"{file} does not end in the number of its band, as in scene_01.png; move it elsewhere")
        twin = by_number.setdefault(int(number[1]), file)
        if twin != file:
            raise InputError(f"{folder} holds band {int(number[1])} twice: {twin.name} and {file.name}")
    if not by_number:
        raise InputError(f"{folder} holds no PNG; a band stack is a folder of files such as scene_01.png, scene_02.png")
    _check_no_gap(folder, set(by_number))
    return [by_number[number] for number in sorted(by_number)]


def _check_no_gap(folder: Path, numbers: set[int]) -> None:
    for number in range(min(1, *numbers), max(numbers)):
        if number not in numbers:
            raise InputError(f"{folder} holds bands up to {max(numbers)}, but band {number} is missing")


def _read_band(file: Path) -> NDArray[Any]:
    with reading(file):
        pixels = decode(file.read_bytes())
        # CAVE's "watercolors" has its grey bands as RGBA.
        if pixels.shape[2] > 1 and (pixels[:, :, 1:3] != pixels[:, :, :1]).any():
            raise InputError("it is in colour; a band is grey")
        return pixels[:, :, 0]
