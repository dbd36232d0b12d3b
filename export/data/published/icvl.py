"""ICVL (Arad, Ben-Shahar, ECCV 2016): 201 outdoor scenes of 1392 x 1300 pixels, 31 bands, MATLAB 7.3."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.published.sources import Publication, Source, files_below
from hsi_edge.cube import Array
from hsi_edge.io.matlab import read_matlab
from hsi_edge.io.window import LazyArray


def _find(home: Path) -> list[Source]:
    return [Source(file.stem, file, _open_upright) for file in files_below(home, "*.mat")]


def _open_upright(path: Path) -> Array:
    """The scene as a viewer sees it: the files have it turned clockwise by 90 degrees (1300 x 1392)."""
    stored = read_matlab(path, ("rad",)).data
    rows, cols, bands = stored.shape
    return LazyArray((cols, rows, bands), np.dtype(stored.dtype), partial(_read_upright, stored))


def _read_upright(stored: Array, rows: slice, cols: slice, bands: slice) -> NDArray[Any]:
    width = stored.shape[1]
    return np.rot90(np.asarray(stored[cols, width - rows.stop : width - rows.start, bands]))


ICVL = Publication(
    dataset="icvl",
    title="the BGU ICVL hyperspectral image database",
    publisher="Ben-Gurion University, Interdisciplinary Computational Vision Laboratory, page 'BGU ICVL Hyperspectral "
    "Image Dataset'",
    layout="*.mat (MATLAB 7.3) with the variables rad, bands and rgb; not the .raw files",
    bands=(31,),
    wavelengths_nm=np.linspace(400, 700, 31),
    find=_find,
)
