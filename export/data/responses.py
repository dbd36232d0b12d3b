"""Spectral response functions of cameras on the vis31 grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Response = NDArray[np.float64]


def nikon_d700(folder: Path) -> Response:
    """The Nikon D700 response `(3, 31)`, rows sum to 1, red first: the camera of the PZRes-Net and MS-SSFNet papers."""
    with np.load(folder / "sensors" / "srf_tables.npz", allow_pickle=False) as tables:
        return _normalised(tables["nikon_d700_P_3x31"])


def measured_cameras(folder: Path) -> list[Response]:
    """The measured responses `(3, 31)` whose peaks lie in the order red, green, blue; rows sum to 1."""
    with np.load(folder / "sensors" / "srf_tables.npz", allow_pickle=False) as tables:
        cameras = np.moveaxis(tables["cameras52_3x31"], 2, 0)
    peaks = cameras.argmax(axis=2)
    ordered = (peaks[:, 0] > peaks[:, 1]) & (peaks[:, 1] > peaks[:, 2])
    # The rest of that table are synthetic corner cases, with their peaks at the grid's ends.
    inside = (peaks > 0).all(axis=1) & (peaks < 30).all(axis=1)
    return [_normalised(camera) for camera in cameras[ordered & inside]]


def _normalised(response: NDArray[np.float64]) -> Response:
    clipped = np.maximum(response, 0)
    result: Response = clipped / clipped.sum(axis=1, keepdims=True)
    return result
