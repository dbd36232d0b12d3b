"""Spectral response functions of cameras, `(3, bands)` with red first and rows that sum to 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Response = NDArray[np.float64]

_GRID_NM = np.linspace(400, 700, 31)
RESERVED = slice(4, None, 5)
"""Which of the measured cameras are never trained on: every fifth, in the order of their file."""


def nikon_d700(folder: Path) -> Response:
    """The Nikon D700's response on the vis31 grid: the camera of the PZRes-Net and MS-SSFNet papers."""
    with np.load(folder / "sensors" / "srf_tables.npz", allow_pickle=False) as tables:
        return _normalised(tables["nikon_d700_P_3x31"])


def measured_cameras(folder: Path) -> list[Response]:
    """The measured responses on the vis31 grid to train with: all whose peaks lie in order, but the reserved ones."""
    cameras = _all_measured(folder)
    reserved = set(range(len(cameras))[RESERVED])
    return [camera for index, camera in enumerate(cameras) if index not in reserved]


def unseen_cameras(folder: Path) -> list[Response]:
    """The measured responses that are reserved for tests."""
    return _all_measured(folder)[RESERVED]


def narrow_camera() -> Response:
    """A camera as none is built for photographs: Gaussian bands of 40 nm FWHM at 650, 560 and 440 nm.

    The measured ones have bands of 60 to 120 nm with their peaks near 590, 530 and 460 nm.
    """
    centres_nm, sigma_nm = np.array([650.0, 560.0, 440.0]), 40 / np.sqrt(8 * np.log(2))
    return _normalised(np.exp(-0.5 * ((_GRID_NM - centres_nm[:, None]) / sigma_nm) ** 2))


def on_bands(response: Response, wavelengths_nm: NDArray[np.float64]) -> Response:
    """A response on the vis31 grid interpolated to other bands; it is zero outside of 400 to 700 nm."""
    rows = [np.interp(wavelengths_nm, _GRID_NM, row, left=0, right=0) for row in response]
    return _normalised(np.stack(rows))


def _all_measured(folder: Path) -> list[Response]:
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
