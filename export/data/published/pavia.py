"""Pavia Centre (1096 x 715, 102 bands) and Pavia University (610 x 340, 103 bands), ROSIS, 1.3 m."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from export.data.published.sources import Publication, Source, files_below, matlab_opener

_PUBLISHER = (
    "the Computational Intelligence Group, University of the Basque Country, page 'Hyperspectral Remote Sensing Scenes'"
)
# ROSIS has 430 to 860 nm; which of its 115 bands were left out is not published, so the centres are near ones.
_ROSIS_NM = np.linspace(430, 860, 103)


def _find(name: str, variable: str, home: Path) -> list[Source]:
    return [Source(file.stem, file, matlab_opener(variable)) for file in files_below(home, name)]


PAVIA_CENTRE = Publication(
    dataset="pavia_centre",
    title="Pavia Centre",
    publisher=_PUBLISHER,
    layout="Pavia.mat with the variable pavia",
    bands=(102,),
    wavelengths_nm=_ROSIS_NM[:102],
    find=partial(_find, "Pavia.mat", "pavia"),
)
PAVIA_UNIVERSITY = Publication(
    dataset="pavia_university",
    title="Pavia University",
    publisher=_PUBLISHER,
    layout="PaviaU.mat with the variable paviaU",
    bands=(103,),
    wavelengths_nm=_ROSIS_NM,
    find=partial(_find, "PaviaU.mat", "paviaU"),
)
