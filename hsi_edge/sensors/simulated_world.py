"""The ground under a simulated flight: one cube, mirrored at its edges without end, seen by two sensors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, require
from hsi_edge.resampling import Blur, Float
from hsi_edge.spectral import resampling_matrix

RGB_NM = (620.0, 540.0, 460.0)
RGB_FWHM_NM = 80.0
WHITE_PERCENTILE = 99.5
RGB_WHITE = 220.0
"""8-bit number of what is brighter than `WHITE_PERCENTILE` percent of the world."""
RGB_EDGE_LR = 6
"""The RGB sees so far beyond the spectral frame without slowing down, in LR pixels."""


class World:
    """A cube, blurred once as the spectral sensor sees it and weighted once as the RGB camera does.

    What is asked for per frame is then a pick of pixels and one interpolation. Positions are those of the frame's upper
    left corner, in HR pixels to the right and down from the cube's corner, and may be any number.

    Args:
        cube: `(rows, cols, S)` on the HR grid, every value finite.
        ratio: HR pixels per LR pixel.
        lr_shape: Rows and columns of a spectral frame.
        psf_fwhm_px: Of the spectral sensor's blur, in HR pixels.
        srf: `(3, S)`, rows sum to 1: the camera's red, green, blue. None takes Gaussians, or thirds of the bands of a
            cube without wavelengths.

    Raises:
        InputError: The cube has values that are not finite or is black, or `srf` has another shape.

    Attributes:
        white: The cube's value that is white: brighter than almost all others.
    """

    def __init__(
        self, cube: Cube, *, ratio: int, lr_shape: tuple[int, int], psf_fwhm_px: float, srf: Float | None = None
    ) -> None:
        values = cube.physical()
        if not np.isfinite(values).all():
            raise InputError("the world has values that are not finite; leave out its bad bands and fill its gaps")
        weights = _srf(cube) if srf is None else np.asarray(srf, np.float32)
        if weights.shape != (3, cube.n_bands):
            raise InputError(f"srf has shape {weights.shape}; wanted (3, {cube.n_bands}) for this cube")
        self.white = float(np.percentile(values, WHITE_PERCENTILE))
        rgb = values @ weights.T
        rgb_white = float(np.percentile(rgb, WHITE_PERCENTILE))
        if min(self.white, rgb_white) <= 0:
            raise InputError(f"the world is black: its white is {self.white:g}; wanted a cube with positive values")
        self._size = (cube.rows, cube.cols)
        self._ratio = ratio
        self._lr_shape = lr_shape
        self._blurred = _blurred(values, ratio, psf_fwhm_px)
        self._margin = RGB_EDGE_LR * ratio
        self._rgb = self._mirrored(rgb * np.float32(RGB_WHITE / rgb_white))

    def _mirrored(self, rgb: Float) -> Float:
        """The RGB world over a whole period and a frame more, so that a frame is one interpolation without borders."""
        beyond = [
            (self._margin, side + lr_side * self._ratio + self._margin)
            for side, lr_side in zip(self._size, self._lr_shape, strict=True)
        ]
        return np.pad(rgb, (*beyond, (0, 0)), mode="symmetric")

    def spectral(self, right_px: int, down_px: int) -> Float:
        """`(h, w, S)`, the spectral frame at a whole position: a new array."""
        rows = self._indices(down_px, 0)
        cols = self._indices(right_px, 1)
        return self._blurred[rows[:, None], cols]

    def _indices(self, position_px: int, axis: int) -> NDArray[np.intp]:
        """Where the blurred world holds what is around the middles of the LR pixels, mirrored into the cube."""
        period = 4 * self._size[axis]
        doubled = 2 * (position_px + self._ratio * np.arange(self._lr_shape[axis])) + self._ratio
        doubled %= period
        doubled = np.where(doubled > period // 2, period - doubled, doubled)
        return (doubled // 2).astype(np.intp)

    def rgb(self, hr_from_msi: NDArray[np.float64], right_px: float, down_px: float, shape: tuple[int, int]) -> Float:
        """`(*shape, 3)` float32, what a camera without noise counts; white is `RGB_WHITE`.

        Args:
            hr_from_msi: `(2, 3)`, from RGB points (x, y) to HR points, counted from the upper left corners of the RGB
                and of the spectral frame.
            right_px: Position of that spectral frame, in HR pixels.
            down_px: The same, down.
            shape: Rows and columns of the RGB frame.
        """
        cv2 = require("cv2", feature="the simulated RGB camera", extra="opencv")
        # OpenCV counts from the middle of the first pixel, on both sides.
        matrix = np.array(hr_from_msi)
        inside = [position % (2 * side) for position, side in zip((down_px, right_px), self._size, strict=True)]
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) + (inside[1], inside[0]) + (self._margin - 0.5)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen: Float = cv2.warpAffine(self._rgb, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
        return seen


def _srf(cube: Cube) -> Float:
    if cube.wavelengths_nm is None:
        # Red is where long waves are in every spectrum: last.
        middles = ((np.array([5, 3, 1]) * cube.n_bands) // 6)[:, None]
        near = np.abs(np.arange(cube.n_bands) - middles) <= cube.n_bands // 6
        weights: Float = (near / near.sum(1, keepdims=True)).astype(np.float32)
        return weights
    targets = np.clip(RGB_NM, cube.wavelengths_nm.min(), cube.wavelengths_nm.max())
    return resampling_matrix(cube.wavelengths_nm, targets, cube.fwhm_nm, [RGB_FWHM_NM] * 3).astype(np.float32)


def _blurred(values: Float, ratio: int, psf_fwhm_px: float) -> Float:
    """The cube under the PSF around every middle that an LR pixel may have: HR pixels, or corners for even ratios."""
    cv2 = require("cv2", feature="the simulated spectral sensor", extra="opencv")
    blur = Blur.gaussian(psf_fwhm_px, ratio)
    taps = np.array(blur.taps, np.float32)
    beyond = ratio + len(taps)
    first = beyond - ratio // 2 + blur.offset
    more = 1 - ratio % 2
    rows, cols, bands = values.shape
    result = np.empty((rows + more, cols + more, bands), np.float32)
    for band in range(bands):
        plane = np.pad(values[:, :, band], beyond, mode="symmetric")
        seen = cv2.sepFilter2D(plane, -1, taps, taps, anchor=(0, 0))
        result[:, :, band] = seen[first : first + rows + more, first : first + cols + more]
    return result
