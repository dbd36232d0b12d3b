"""How sharp a photograph is, by itself and cheaply: fine detail relative to coarser detail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.resampling import Float

WINDOW_PX, WINDOWS_PER_SIDE = 96, 4
"""Parts of the picture that are looked at, evenly spread."""
FINE_PX, COARSE_PX = 2, 8
"""Sides of the block means whose differences are compared. Single pixels would tell of noise; pixels of the HR grid are
mostly some camera pixels wide."""
FLATTEST = 0.004
"""Differences of coarse blocks, as a part of full scale, below which there is nothing to tell sharpness by."""


def sharpness(band: NDArray[Any], full_scale: float) -> NDArray[np.float64] | None:
    """Mean squared difference of neighbouring fine blocks as a part of that of coarse ones, down and across.

    Both directions, since motion blurs one alone. Scenes, exposures and noise change it little, blur changes it a lot.

    Args:
        band: `(rows, cols)`.
        full_scale: Of its values.

    Returns:
        `(2,)`; None for a picture too small or too flat to tell.
    """
    side = min(WINDOW_PX, *band.shape) // COARSE_PX * COARSE_PX
    if side < 2 * COARSE_PX:
        return None
    tops, lefts = (np.linspace(0, length - side, WINDOWS_PER_SIDE).astype(int) for length in band.shape)
    windows = np.stack([band[top : top + side, left : left + side] for top in tops for left in lefts])
    fine = _block_means(windows.astype(np.float32), FINE_PX)
    coarse = _block_means(fine, COARSE_PX // FINE_PX)
    details = _differences(coarse)
    if details.min() < (FLATTEST * full_scale) ** 2:
        return None
    return _differences(fine) / details


def _block_means(images: Float, side: int) -> Float:
    count, rows, cols = images.shape
    narrow: Float = images.reshape(count, rows, cols // side, side).sum(axis=3)
    blocks: Float = narrow.reshape(count, rows // side, side, -1).sum(axis=2) / np.float32(side**2)
    return blocks


def _differences(images: Float) -> NDArray[np.float64]:
    return np.array([np.square(np.diff(images, axis=axis)).mean(dtype=np.float64) for axis in (1, 2)])
