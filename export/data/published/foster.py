"""Foster, Nascimento, Amano: natural scenes of 2002, 2004 and 2015, 31 to 33 bands, 10 nm apart."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from export.data.published.sources import Publication, Source, matlab_sources

# Spectra that lie beside the scenes of 2004: radiance per reflectance, and the grey reference surface.
_SPECTRA = ("radiance_by_reflectance_*", "ref_n?")


def _find(home: Path) -> list[Source]:
    # Radiances of 2015 are called hsi, reflectances of 2002 and 2004 reflectances.
    sources = matlab_sources(home, "hsi", "reflectances")
    return [source for source in sources if not any(fnmatch(source.name.lower(), spectrum) for spectrum in _SPECTRA)]


FOSTER = Publication(
    dataset="foster",
    title="the hyperspectral images of natural scenes by Foster, Nascimento and Amano",
    publisher="the personal pages of D. H. Foster, University of Manchester, 'Hyperspectral Images for Local "
    "Illumination in Natural Scenes 2015' (also '... of Natural Scenes 2002' and '2004')",
    layout="*.mat with the variable hsi (2015), or ref_*.mat and scene*.mat with reflectances (2002, 2004)",
    bands=(31, 32, 33),
    wavelengths_nm=np.linspace(400, 720, 33),
    find=_find,
)
