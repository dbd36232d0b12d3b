"""Sensor frames out of spectral files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.sensors.frame import SensorFrame

_LARGEST_EXACT = 2**24  # float32 holds every whole number up to here


def frame_from_cube(cube: Cube, *, timestamp_ns: int, sequence: int, arrival_ns: int) -> SensorFrame:
    """Read a cube's pixels into a frame, its bands in the order of their wavelengths.

    A scale factor, gains and a nodata value are applied, which makes float32. Else uint8, uint16 and float32 stay as
    they are, and every other type becomes float32. A quantity that the file does not say is `dn`.

    Raises:
        InputError: If whole numbers are too large for float32, or the pixels cannot be read.
    """
    order = None if cube.wavelengths_nm is None else np.argsort(cube.wavelengths_nm, kind="stable")
    if order is not None and np.any(np.diff(order) != 1):
        cube = cube.select_bands(order)
    return SensorFrame(
        data=cube.physical() if cube.is_raw else _pixels(cube),
        timestamp_ns=timestamp_ns,
        sequence=sequence,
        arrival_ns=arrival_ns,
        mask=None if cube.mask is None else np.array(cube.mask),
        wavelengths_nm=cube.wavelengths_nm,
        quantity=cube.quantity or "dn",
    )


def _pixels(cube: Cube) -> NDArray[Any]:
    raw = np.asarray(cube.data[...])
    kept = next((dtype for dtype in (np.uint8, np.uint16, np.float32) if raw.dtype == dtype), None)
    if kept is None and raw.dtype.kind in "iu" and raw.dtype.itemsize > 2 and np.abs(raw).max() > _LARGEST_EXACT:
        raise InputError(f"its pixels are {raw.dtype} beyond {_LARGEST_EXACT}; a frame is uint8, uint16 or float32")
    return np.array(raw, kept or np.float32, order="C")
