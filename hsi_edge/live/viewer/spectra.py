"""The spectrum under a finger: of a pixel, or mean and spread of a rectangle, as the sensor and the result have it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.live.result import LiveResult

LARGEST_PX = 128 * 128
"""Pixels that are looked at: of a larger rectangle a regular grid of them, so that a visitor cannot keep us busy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """Mean and standard deviation in every band, `(bands,)`, NaN where no pixel is valid.

    Attributes:
        mean: Over the valid pixels.
        std: Of the pixels about their mean; None for one pixel.
        pixels: That were looked at.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64] | None
    pixels: int


@dataclass(frozen=True, kw_only=True)
class Area:
    """A rectangle of HR pixels, half-open; one pixel is a point."""

    left: int
    top: int
    right: int
    bottom: int


def spectra(result: LiveResult, area: Area) -> tuple[Spectrum, Spectrum]:
    """The sensor's and the fused spectrum.

    The sensor's are the LR pixels that have their centre in the rectangle; where there is none, the one in which the
    rectangle's centre lies.

    Raises:
        InputError: The rectangle is empty or reaches beyond the frame.
    """
    rows, cols = result.hr_hsi.rows, result.hr_hsi.cols
    if not (0 <= area.left < area.right <= cols and 0 <= area.top < area.bottom <= rows):
        raise InputError(f"the rectangle {area} is empty or reaches beyond the frame of {rows} x {cols} pixels")
    ratio = rows // result.lr_hsi.rows
    lr_rows, lr_cols = _lr_range(area.top, area.bottom, ratio), _lr_range(area.left, area.right, ratio)
    fused = _spectrum(result.hr_hsi, slice(area.top, area.bottom), slice(area.left, area.right))
    return _spectrum(result.lr_hsi, lr_rows, lr_cols), fused


def _lr_range(start: int, stop: int, ratio: int) -> slice:
    """LR pixel i has its centre at `(i + 0.5) * ratio`, HR pixel j its at `j + 0.5`."""
    first = -(-(2 * start - ratio) // (2 * ratio))
    end = -(-(2 * stop - ratio) // (2 * ratio))
    if end > first:
        return slice(first, end)
    middle = (start + stop - 1) // 2 // ratio
    return slice(middle, middle + 1)


def _spectrum(cube: Cube, rows: slice, cols: slice) -> Spectrum:
    count = (rows.stop - rows.start) * (cols.stop - cols.start)
    step = max(1, int(np.ceil(np.sqrt(count / LARGEST_PX))))
    rows, cols = slice(rows.start, rows.stop, step), slice(cols.start, cols.stop, step)
    mask = None if cube.mask is None else cube.mask[rows, cols]
    part = replace(cube, data=np.asarray(cube.data[rows, cols]), mask=mask)
    values = part.physical().reshape(-1, cube.n_bands).astype(np.float64)
    valid = np.isfinite(values)
    counts = valid.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(valid, values, 0).sum(axis=0) / np.where(counts > 0, counts, np.nan)
        squares = (np.where(valid, values - mean, 0.0) ** 2).sum(axis=0)
        std = np.sqrt(squares / np.where(counts > 0, counts, np.nan))
    return Spectrum(mean=mean, std=None if len(values) == 1 else std, pixels=len(values))
