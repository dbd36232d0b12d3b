"""Data consistency: a fused image, degraded again, must give the measured LR-HSI, within that one's noise.

What a network makes of spectra can be wrong; what the spectral sensor measured is not. After all tiles are done, the
output is degraded to the LR grid and compared with the measurement. Where it is off by more than noise, the difference
goes back into the image, interpolated so that degrading it gives the difference again, exactly. (The projection of
back-projection methods: Irani, Peleg, "Improving Resolution by Image Registration", CVGIP 1991, here in closed form,
since blur, decimation and interpolation are separable.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.guide import strips
from hsi_edge.resampling import Blur, Float, decimate_cols, decimate_rows, upsample_window, upsampling_matrix
from hsi_edge.tiling.geometry import Region, Tile

TOLERANCE = 3.0
"""Standard deviations by which a pixel's mean squared difference may pass that of white noise."""
NEGLIGIBLE = 1e-6
"""Corrections below this part of the frame's peak are left out."""

BLOCK_LR = 32
"""LR columns that are interpolated at a time: the matrix for a whole row is nearly empty, and grows with its square."""


class Consistency:
    """Collects what tiles degrade to, then corrects the frame.

    Args:
        lr_hsi: `(bands, h, w)`, the scaled measurement; zeros where there is none.
        measured: `(h, w)`, where there is one.
        noise: Its standard deviation in one band of one pixel.
        bands_from: Maps the graph's channels `(channels, ...)` to scaled bands `(bands, ...)`, linearly.
        channels: Of the graph's output.
        blur: From the HR grid to the LR grid.
        ratio: HR pixels per LR pixel.
    """

    def __init__(
        self,
        lr_hsi: Float,
        measured: NDArray[np.bool_],
        *,
        noise: float,
        bands_from: Callable[[Float], Float],
        channels: int,
        blur: Blur,
        ratio: int,
    ) -> None:
        self._lr = lr_hsi
        self._measured = measured
        self._noise = noise
        self._bands_from = bands_from
        self._blur = blur
        self._ratio = ratio
        self._degraded = np.empty((channels, *measured.shape), np.float32)

    def add(self, tile: Tile, output: Float) -> None:
        """Take the graph's output `(channels, rows, cols)` for a tile; its halo holds the point spread function."""
        rows, cols = self._measured.shape
        core = tile.core.within(tile.read)
        at_rows = tile.read.top == 0, tile.read.bottom == rows
        at_cols = tile.read.left == 0, tile.read.right == cols
        narrow = decimate_rows(output, self._ratio, self._blur, core.rows, at_rows)
        in_rows, in_cols = tile.core.slices
        self._degraded[:, in_rows, in_cols] = decimate_cols(narrow, self._ratio, self._blur, core.cols, at_cols)

    def correct(self, result: NDArray[Any], scale: float) -> float:
        """Add what is missing to `(H, W, bands)`, whose values are `scale` times the scaled ones.

        Returns:
            The root mean square of what the output was off, before, in scaled values.
        """
        missing = self._bands_from(self._degraded)
        np.subtract(self._lr, missing, out=missing)
        missing[:, ~self._measured] = 0
        energy = np.einsum("bij,bij->ij", missing, missing, dtype=np.float64) / len(missing)
        if self._keep_unexplained(missing, energy):
            self._sharpen(missing)
            self._add(missing, result, scale)
        return float(np.sqrt(energy.sum() / self._measured.sum()))

    def _add(self, correction: Float, result: NDArray[Any], scale: float) -> None:
        bands, rows, cols = correction.shape
        ratio = self._ratio
        for left in range(0, cols, BLOCK_LR):
            right = min(cols, left + BLOCK_LR)
            for top, bottom in strips(rows, 4 * bands * (right - left) * ratio**2):
                block = Region(top, bottom, left, right).scaled(ratio)
                part = upsample_window(correction, block.rows, block.cols, ratio, "bicubic")
                if np.abs(part).max() > NEGLIGIBLE:
                    result[block.slices] += np.moveaxis(part, 0, 2) * np.float32(scale)

    def _keep_unexplained(self, missing: Float, energy: NDArray[np.float64]) -> bool:
        """Keep of each pixel as much as noise does not explain: what is left then is within it. False: nothing is."""
        allowed = 1 + TOLERANCE * np.sqrt(2 / len(missing))
        share = np.maximum(0, 1 - allowed * self._noise**2 / np.maximum(energy, np.finfo(np.float64).tiny))
        missing *= share.astype(np.float32)
        return bool(share.any())

    def _sharpen(self, missing: Float) -> None:
        """Make it what, interpolated and degraded again, is what is missing."""
        _, rows, cols = missing.shape
        down, across = (sharpening(length, self._ratio, self._blur) for length in (rows, cols))
        # Band by band, as one more copy of the frame would be held otherwise.
        for band in missing:
            band[:] = down @ band @ across.T


@functools.lru_cache(maxsize=16)
def sharpening(length: int, ratio: int, blur: Blur) -> Float:
    """`(length, length)`: the inverse of bicubic interpolation followed by blur and decimation along an axis."""
    _, interpolation = upsampling_matrix(0, length * ratio, length, ratio, "bicubic")
    both = decimate_rows(interpolation[None], ratio, blur, (0, length), (True, True))[0]
    inverse: Float = np.linalg.inv(both.astype(np.float64)).astype(np.float32)
    return inverse
