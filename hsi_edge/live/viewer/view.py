"""What a visitor wants to see: three bands or an index as a picture, and what lies over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.report.pictures import rgb_bands

Overlay = Literal["none", "residual", "confidence"]

TOLERANCE_NM = 25.0
"""How far a band may be from the wavelength that a picture is defined for."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A visitor's wish; equal ones share one picture.

    Attributes:
        show: `natural`, `infrared`, `bands`, or the name of an index.
        bands: For `bands`: those shown as red, green and blue, counted from 0.
        overlay: What of the self-check's map lies over the picture.
    """

    show: str = "natural"
    bands: tuple[int, ...] = ()
    overlay: Overlay = "none"


@dataclass(frozen=True, kw_only=True)
class Index:
    """A normalised difference `(upper - lower) / (upper + lower)` of two bands.

    Attributes:
        title: For the visitor.
        meaning: What high values stand for.
        upper_nm, lower_nm: The bands' centres.
        limits: Values at the ends of the colour scale.
    """

    title: str
    meaning: str
    upper_nm: float
    lower_nm: float
    limits: tuple[float, float]


INFRARED_NM = (800.0, 670.0, 550.0)
"""Near infrared, red and green as red, green and blue: the colour-infrared film's picture."""

INDICES: dict[str, Index] = {
    # Rouse et al., "Monitoring vegetation systems in the Great Plains with ERTS", 1974.
    "ndvi": Index(title="NDVI", meaning="green plants", upper_nm=800, lower_nm=670, limits=(-0.2, 0.9)),
    # Barnes et al., "Coincident detection of crop water stress, nitrogen status and canopy density", 2000.
    "ndre": Index(title="NDRE", meaning="chlorophyll in dense plants", upper_nm=790, lower_nm=720, limits=(-0.1, 0.6)),
    # Gitelson, Kaufman, Merzlyak, "Use of a green channel in remote sensing", 1996.
    "gndvi": Index(title="GNDVI", meaning="chlorophyll", upper_nm=800, lower_nm=550, limits=(-0.2, 0.9)),
    # McFeeters, "The use of the Normalized Difference Water Index", 1996.
    "ndwi": Index(title="NDWI", meaning="open water", upper_nm=560, lower_nm=860, limits=(-0.8, 0.6)),
    # Gao, "NDWI: a normalized difference water index for remote sensing of vegetation liquid water", 1996.
    "ndmi": Index(title="NDMI", meaning="water in plants", upper_nm=860, lower_nm=1240, limits=(-0.2, 0.4)),
    # Tucker, "Red and photographic infrared linear combinations for monitoring vegetation", 1979.
    "grvi": Index(title="GRVI", meaning="plants, in visible light", upper_nm=550, lower_nm=660, limits=(-0.4, 0.4)),
    # Gamon, Penuelas, Field, "A narrow-waveband spectral index that tracks photosynthetic efficiency", 1992.
    "pri": Index(title="PRI", meaning="light use of leaves", upper_nm=531, lower_nm=570, limits=(-0.2, 0.2)),
}  # fmt: skip


def shown_bands(view: View, cube: Cube) -> tuple[int, int, int]:
    """The bands for red, green and blue; those of the natural view where the wish cannot be met."""
    if view.show == "bands" and len(view.bands) == 3 and all(0 <= band < cube.n_bands for band in view.bands):
        return view.bands[0], view.bands[1], view.bands[2]
    if view.show == "infrared" and (found := near(cube, INFRARED_NM)) is not None:
        return found[0], found[1], found[2]
    return rgb_bands(cube.n_bands, cube.wavelengths_nm, cube.bad_bands)


def index_bands(view: View, cube: Cube) -> tuple[int, int] | None:
    """The upper and the lower band of the index that is wished for; None if it is none, or the bands do not exist."""
    index = INDICES.get(view.show)
    if index is None or (found := near(cube, (index.upper_nm, index.lower_nm))) is None:
        return None
    return found[0], found[1]


def near(cube: Cube, wanted_nm: tuple[float, ...]) -> tuple[int, ...] | None:
    """The good band at each wavelength; None if one is further off than `TOLERANCE_NM`, or two are the same."""
    if cube.wavelengths_nm is None:
        return None
    distance: NDArray[np.float64] = np.abs(cube.wavelengths_nm[:, None] - np.asarray(wanted_nm))
    if cube.bad_bands is not None:
        distance[cube.bad_bands] = np.inf
    found = distance.argmin(axis=0).tolist()
    near_enough = bool((distance.min(axis=0) <= TOLERANCE_NM).all())
    return tuple(found) if near_enough and len(set(found)) == len(found) else None
