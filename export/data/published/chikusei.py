"""Chikusei (Yokoya, Iwasaki, SAL-2016-05-27): one airborne scene of 2517 x 2335 pixels at 2.5 m, 128 bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.data.published.sources import Publication, Source, files_below, matlab_opener
from hsi_edge.cube import Array
from hsi_edge.io import read

_NAME = "HyperspecVNIR_Chikusei_20140729"


def _find(home: Path) -> list[Source]:
    matlab = [Source("chikusei", file, matlab_opener("chikusei")) for file in files_below(home, f"{_NAME}.mat")]
    return matlab or [Source("chikusei", file, _open_envi) for file in files_below(home, f"{_NAME}.bsq")]


def _open_envi(path: Path) -> Array:
    return read(path).data


CHIKUSEI = Publication(
    dataset="chikusei",
    title="the airborne hyperspectral data over Chikusei",
    publisher="N. Yokoya and A. Iwasaki, University of Tokyo, page 'Hyperspectral Data'",
    layout=f"{_NAME}.mat (MATLAB 7.3, variable chikusei), or {_NAME}.bsq with its .hdr",
    bands=(128,),
    wavelengths_nm=np.linspace(362.59, 1018.02, 128),
    find=_find,
)
