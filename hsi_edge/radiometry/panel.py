"""Where a reflectance panel is: the largest bright and even rectangle of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.radiometry.settings import PanelRegion

Float = NDArray[np.float64]

EVEN = 0.05
"""Largest standard deviation within a panel, relative to its mean; a clean one in flat light has under 0.04."""
BRIGHT = 0.5
"""A panel has at least this part of the 99th percentile of each band, in each band: what is bright in some bands only
(vegetation in the infrared) is no panel."""
CONTRAST = 1.5
"""And at least this many times the median of each band: what fills half the frame is the ground."""
WINDOWS = (1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 12, 1 / 16, 1 / 24)
"""Sides that are tried, largest first, as parts of the frame's shorter side."""
SMALLEST_PX = 6
MARGIN = 0.1
"""Part of each side that is left out at every edge, where the frame is blurred and the panel's border shows."""
STEPS_PER_WINDOW = 8


@dataclass(frozen=True, eq=False)
class _Sums:
    """Running sums over one band: the mean and the spread of any rectangle at four look-ups."""

    values: Float
    squares: Float
    valid: Float

    @classmethod
    def of(cls, band: NDArray[np.float32]) -> _Sums:
        valid = np.isfinite(band)
        values = np.where(valid, band, 0).astype(np.float64)
        return cls(_running(values), _running(values**2), _running(valid.astype(np.float64)))

    def unevenness(self, side: int, least: float) -> Float:
        """Spread over mean of all windows; infinite where one is darker than `least` or holds an invalid pixel."""
        count = side * side
        mean = _boxes(self.values, side) / count
        spread = np.sqrt(np.maximum(_boxes(self.squares, side) / count - mean**2, 0))
        fits = (_boxes(self.valid, side) > count - 0.5) & (mean > max(least, 0.0))
        return np.where(fits, spread / np.where(fits, mean, 1.0), np.inf)


def _running(values: Float) -> Float:
    return np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _boxes(sums: Float, side: int) -> Float:
    step = _step(side)
    low, high = sums[:-side:step], sums[side::step]
    boxes: Float = high[:, side::step] - high[:, :-side:step] - low[:, side::step] + low[:, :-side:step]
    return boxes


def _step(side: int) -> int:
    return max(1, side // STEPS_PER_WINDOW)


def find_panel(data: NDArray[np.float32]) -> PanelRegion:
    """Find the panel in a frame.

    Of the largest square windows that are even in every band and bright in every band, the most even one is taken; it
    is grown to the rectangle that is as bright, and its edges are left out.

    Args:
        data: `(rows, cols, bands)`, dark-corrected, NaN where invalid or saturated; bands show the panel at one place.

    Returns:
        A rectangle within the panel.

    Raises:
        InputError: Nothing in the frame looks like a panel.
    """
    shorter = min(data.shape[:2])
    sides = sorted({int(shorter * part) for part in WINDOWS if shorter * part >= SMALLEST_PX}, reverse=True)
    worst: dict[int, Float] = {}
    # Band by band, as the sums of all bands of a line scanner's frame would take gigabytes.
    for band in np.moveaxis(data, 2, 0):
        sums = _Sums.of(band)
        least = max(BRIGHT * float(np.nanpercentile(band, 99)), CONTRAST * float(np.nanmedian(band)))
        for side in sides:
            worst[side] = np.maximum(worst.get(side, 0.0), sums.unevenness(side, least))
    for side in sides:
        row, col = np.unravel_index(int(worst[side].argmin()), worst[side].shape)
        if worst[side][row, col] < EVEN:
            return _grown(data, int(row) * _step(side), int(col) * _step(side), side)
    raise InputError(
        "no panel was found: no rectangle is even and bright in every band; give its place (white.regions), or record "
        "the panel larger, alone in the light and unsaturated"
    )


def _grown(data: NDArray[np.float32], row: int, col: int, side: int) -> PanelRegion:
    """Move each edge of a square outwards while the line beyond it is of the panel, then leave a margin out."""
    rows, cols = slice(row, row + side), slice(col, col + side)
    like = np.ones(data.shape[:2], np.bool_)
    for band in np.moveaxis(data, 2, 0):
        like &= np.abs(band / band[rows, cols].mean() - 1) < 4 * EVEN
    first_row, end_row = _extent(like[:, cols].mean(axis=1) > 0.9, row, row + side)
    first_col, end_col = _extent(like[rows].mean(axis=0) > 0.9, col, col + side)
    row_margin, col_margin = int(MARGIN * (end_row - first_row)), int(MARGIN * (end_col - first_col))
    return PanelRegion(
        first_row=first_row + row_margin,
        end_row=end_row - row_margin,
        first_col=first_col + col_margin,
        end_col=end_col - col_margin,
    )


def _extent(inside: NDArray[np.bool_], first: int, end: int) -> tuple[int, int]:
    while first > 0 and inside[first - 1]:
        first -= 1
    while end < len(inside) and inside[end]:
        end += 1
    return first, end
