"""CAVE (Yasuma et al., IEEE TIP 19(9), 2010): 32 scenes of 512 x 512 pixels, 31 bands, a 16-bit PNG per band."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.data.published.sources import Publication, Source, files_below, matlab_opener
from hsi_edge.cube import Array
from hsi_edge.io import read

_FIRST_BAND = "_01.png"
_SCENES = (
    *("balloons", "beads", "cd", "chart_and_stuffed_toy", "clay", "cloth", "egyptian_statue", "face"),
    *("fake_and_real_beers", "fake_and_real_food", "fake_and_real_lemon_slices", "fake_and_real_lemons"),
    *("fake_and_real_peppers", "fake_and_real_strawberries", "fake_and_real_sushi", "fake_and_real_tomatoes"),
    *("feathers", "flowers", "glass_tiles", "hairs", "jelly_beans", "oil_painting", "paints", "photo_and_face"),
    *("pompoms", "real_and_fake_apples", "real_and_fake_peppers", "sponges", "stuffed_toys", "superballs"),
    *("thread_spools", "watercolors"),
)


def _find(home: Path) -> list[Source]:
    # The publisher's archives put a scene's folder into one of the same name; "watercolors" lies one level higher.
    first_bands = files_below(home, f"*{_FIRST_BAND}")
    stacks = [Source(_scene(file.name[: -len(_FIRST_BAND)]), file.parent, _open_stack) for file in first_bands]
    # Copies as MATLAB files name the variable as they like: it is the only one with 3 axes.
    return stacks + [Source(_scene(file.stem), file, matlab_opener()) for file in files_below(home, "*.mat")]


def _scene(name: str) -> str:
    return name.removesuffix("_ms")


def _open_stack(path: Path) -> Array:
    return read(path).data


CAVE = Publication(
    dataset="cave",
    title="the CAVE multispectral image database",
    publisher="Columbia University, Computer Vision Laboratory, page 'Multispectral Image Database'",
    layout="<scene>_ms/<scene>_ms/<scene>_ms_01.png to _31.png, or one <scene>_ms.mat per scene",
    bands=(31,),
    wavelengths_nm=np.linspace(400, 700, 31),
    find=_find,
    scenes=_SCENES,
)
