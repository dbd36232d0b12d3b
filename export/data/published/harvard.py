"""Harvard (Chakrabarti, Zickler, CVPR 2011): 77 scenes in daylight or artificial light, 1040 x 1392, 31 bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.data.published.sources import Publication, Source, files_below, matlab_opener


def _find(home: Path) -> list[Source]:
    # `lbl`, the mask of what moved, is left alone as by the papers. Names are unique within a folder only.
    opener = matlab_opener("ref")
    return [Source(f"{file.parent.name}/{file.stem}", file, opener) for file in files_below(home, "*.mat")]


HARVARD = Publication(
    dataset="harvard",
    title="the Harvard real-world hyperspectral images database",
    publisher="Harvard University, School of Engineering, page 'Real-World Hyperspectral Images Database'",
    layout="CZ_hsdb/*.mat (daylight) and CZ_hsdbi/*.mat (artificial light) with the variables ref and lbl",
    bands=(31,),
    wavelengths_nm=np.linspace(420, 720, 31),
    find=_find,
)
