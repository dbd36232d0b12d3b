"""Files that hold several named arrays: which of them is the cube, and which its wavelengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_edge.errors import InputError
from hsi_edge.io.wavelengths import in_nm, nm_per_unit

CUBE_NAMES = ("cube", "hsi", "ref", "rad", "reflectance", "radiance", "img", "image", "data")
WAVELENGTH_NAMES = ("wavelengths_nm", "wavelength_nm", "wavelengths", "wavelength", "lambda", "wl", "bands")

Shapes = Mapping[str, tuple[int, ...]]


def choose_cube(shapes: Shapes, wanted: Sequence[str] = ()) -> str:
    """The name of the only array with 3 axes or, where there are several, of the first in `CUBE_NAMES`.

    Args:
        shapes: Name to shape of the numeric arrays in the file.
        wanted: The only names that will do; empty for any.

    Raises:
        InputError: If there is none, or several under names that say nothing; lists what there is.
    """
    candidates = [name for name, shape in shapes.items() if len(shape) == 3 and (not wanted or name in wanted)]
    known = [name for usual in CUBE_NAMES for name in candidates if name.lower() == usual]
    if len(candidates) == 1 or known:
        return known[0] if known else candidates[0]
    listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    if wanted:
        raise InputError(f"wanted one array {' or '.join(wanted)} with 3 axes; numeric arrays in the file: {listing}")
    problem = "several arrays have 3 axes" if candidates else "no array has 3 axes (rows, cols, bands)"
    raise InputError(f"{problem}; numeric arrays in the file: {listing}. Save the cube under the name 'cube'")


def find_wavelengths(shapes: Shapes, n_bands: int) -> str | None:
    """The name of the vector with one wavelength per band; None if no known name has that length.

    A name ending in `_nm` counts at any length: where it does not fit the cube, the cube's axes are in another order.
    """
    for wanted in WAVELENGTH_NAMES:
        for name, shape in shapes.items():
            fits = wanted.endswith("_nm") or sorted(shape) in ([n_bands], [1, n_bands])
            if name.lower() == wanted and fits:
                return name
    return None


def wavelengths_nm_from(name: str, values: ArrayLike) -> NDArray[np.float64] | None:
    """A vector of wavelengths in nanometres, its unit told by its name or else by its size; None if it is none."""
    vector = np.asarray(values, np.float64).ravel()
    factor = nm_per_unit("nm" if name.lower().endswith("_nm") else "", vector)
    return None if factor is None else in_nm(vector, factor)
