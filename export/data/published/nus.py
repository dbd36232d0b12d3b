"""NUS (Nguyen, Prasad, Brown, ECCV 2014): 66 scenes, 31 bands, with the spectrum of their illumination."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.data.published.sources import Publication, Source, matlab_sources


def _find(home: Path) -> list[Source]:
    return matlab_sources(home, "tensor")


NUS = Publication(
    dataset="nus",
    title="the NUS hyperspectral data set",
    publisher="National University of Singapore, the data page of 'Training-Based Spectral Reconstruction from a "
    "Single RGB Image'",
    layout="training/*.mat and testing/*.mat with the variables tensor and illumination",
    bands=(31,),
    wavelengths_nm=np.linspace(400, 700, 31),
    find=_find,
)
