"""Wavelengths as files spell them, turned into nanometres."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NM_PER_UNIT = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "micrometre"), 1e3),  # micro sign, Greek mu
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e7),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
    **dict.fromkeys(("angstrom", "å"), 0.1),
}
# In a band's name, lengths above a micrometre are pixel sizes ("B2 (10 m)").
_OPTICAL = "|".join(unit for unit, nm in _NM_PER_UNIT.items() if nm in (1.0, 1e3))
_LENGTH = re.compile(rf"([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?)\s*({_OPTICAL})s?\b", re.IGNORECASE)


def nm_per_unit(unit: str, wavelengths: ArrayLike) -> float | None:
    """Nanometres per unit of a file's wavelengths; None if they are no wavelengths that we know.

    Where the file states no unit the size tells, as optical sensors see 100 nm to 100 micrometres. Whole numbers below
    100 are band numbers, not wavelengths.
    """
    spelling = unit.strip().lower()
    if spelling not in ("", "unknown"):
        return _NM_PER_UNIT.get(spelling, _NM_PER_UNIT.get(spelling.removesuffix("s")))
    values = np.asarray(wavelengths, np.float64)
    if values.size == 0 or not np.isfinite(values).all() or values.min() <= 0:
        return None
    if values.min() >= 100:
        return 1.0
    return 1e3 if values.max() < 100 and (values % 1).any() else None


def in_nm(values: ArrayLike, factor: float) -> NDArray[np.float64]:
    """Values times nanometres per unit, as float64."""
    numbers = np.asarray(values, np.float64)
    # Rounded because 0.5537 * 1000 is not 553.7 in floating point; a femtometre is far below any sensor's knowledge.
    return numbers if factor == 1.0 else np.round(numbers * factor, 6)


def wavelengths_nm_from_names(names: Sequence[str]) -> NDArray[np.float64] | None:
    """Band centres out of names such as "550.0 nm" or "Band 12 (0.55 Micrometers)"; None unless every name has one."""
    found = [_LENGTH.search(name) for name in names]
    centres = [float(in_nm(float(hit[1]), _NM_PER_UNIT[hit[2].lower()])) for hit in found if hit]
    return np.array(centres) if centres and len(centres) == len(names) else None
