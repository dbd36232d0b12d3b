"""Pictures of spectral images: false colour, sizes fit for a page, and the place with the most detail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Array
from hsi_edge.errors import InputError

_RGB_NM = (650.0, 550.0, 450.0)
_PERCENTILES = (2.0, 98.0)
_PAGE_PX = (600, 1600)  # smallest and largest longer side of a picture on a page
_EXTREME = 1e37  # differences of values up to this, and their inverses, stay within float32

Rgb = NDArray[np.uint8]
Window = tuple[slice, slice]


def rgb_bands(
    n_bands: int, wavelengths_nm: NDArray[np.float64] | None, bad_bands: NDArray[np.bool_] | None = None
) -> tuple[int, int, int]:
    """Return the bands to show as red, green and blue.

    They are the good bands nearest to 650, 550 and 450 nm. Where the wavelengths are unknown or do not tell three
    bands apart (an infrared sensor), they are taken from the upper, middle and lower third of the band axis.
    """
    good = np.arange(n_bands) if bad_bands is None or bad_bands.all() else np.flatnonzero(~bad_bands)
    if wavelengths_nm is None:
        return _thirds(good)
    nearest = [int(good[np.argmin(np.abs(wavelengths_nm[good] - nm))]) for nm in _RGB_NM]
    if len(set(nearest)) < 3:
        return _thirds(good[np.argsort(wavelengths_nm[good], kind="stable")])
    return nearest[0], nearest[1], nearest[2]


def _thirds(bands: NDArray[np.intp]) -> tuple[int, int, int]:
    red, green, blue = (int(bands[len(bands) * sixths // 6]) for sixths in (5, 3, 1))
    return red, green, blue


def stretch_limits(
    data: Array, wavelengths_nm: NDArray[np.float64] | None, bad_bands: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the values shown as black and as full red, green and blue, `(3, 2)`: the 2nd and 98th percentile.

    They are those of the three bands together, so that a grey surface is shown grey.
    """
    bands = rgb_bands(data.shape[2], wavelengths_nm, bad_bands)
    shown = np.concatenate([np.asarray(data[:, :, band], np.float64).ravel() for band in bands])
    shown = shown[np.isfinite(shown)]
    limits = np.percentile(shown, _PERCENTILES) if shown.size else np.array([0.0, 1.0])
    return np.tile(limits, (3, 1))


def false_colour(
    data: Array,
    wavelengths_nm: NDArray[np.float64] | None,
    limits: NDArray[np.float64] | None = None,
    *,
    bad_bands: NDArray[np.bool_] | None = None,
) -> Rgb:
    """Return a spectral image as an 8-bit RGB picture `(rows, cols, 3)`.

    Args:
        data: `(rows, cols, bands)`, of any numeric type. Values that are not finite become black.
        wavelengths_nm: Band centres, `(bands,)`, or None; they choose the bands (see `rgb_bands`).
        limits: `(3, 2)`, the value shown as 0 and as 255 per channel. None stretches the picture by itself
            (`stretch_limits`); pictures to be compared take the limits of one of them.
        bad_bands: `(bands,)`, True for bands that are not to be shown.

    Raises:
        InputError: If `data` is not a spectral image.
    """
    if len(data.shape) != 3 or 0 in data.shape:
        raise InputError(f"a spectral image is (rows, cols, bands), not empty; got shape {tuple(data.shape)}")
    if limits is None:
        limits = stretch_limits(data, wavelengths_nm, bad_bands)
    rgb = np.empty((*data.shape[:2], 3), np.uint8)
    for channel, band in enumerate(rgb_bands(data.shape[2], wavelengths_nm, bad_bands)):
        rgb[:, :, channel] = _stretched(np.array(data[:, :, band], np.float32), *limits[channel])
    return rgb


def _stretched(values: NDArray[np.float32], low: float, high: float) -> Rgb:
    """Change `values` in place: a band of a large frame is copied once and not four times."""
    low, high = max(low, -_EXTREME), min(high, _EXTREME)
    values[~np.isfinite(values)] = low
    np.clip(values, low, high, out=values)
    values -= np.float32(low)
    values /= np.float32(high - low if high - low > 1 / _EXTREME else 1.0)
    values *= np.float32(255.0)
    np.rint(values, out=values)
    return np.clip(values, 0.0, 255.0, out=values).astype(np.uint8)


def magnified(rgb: Rgb, factor: int) -> Rgb:
    """Return the picture with each pixel repeated `factor` times per side."""
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1)


def fit_to_page(rgb: Rgb) -> Rgb:
    """Return the picture with its longer side between about 600 and 1600 pixels, by a whole factor."""
    smallest, largest = _PAGE_PX
    longer = max(rgb.shape[:2])
    if longer > largest:
        return _reduced(rgb, -(-longer // largest))
    return magnified(rgb, max(1, smallest // longer)) if longer < smallest else rgb


def _reduced(rgb: Rgb, factor: int) -> Rgb:
    """Mean over blocks; a last part block is left out. A side shorter than a block keeps one row."""
    by_rows, by_cols = (min(factor, side) for side in rgb.shape[:2])
    rows, cols = rgb.shape[0] // by_rows, rgb.shape[1] // by_cols
    small = np.empty((rows, cols, 3), np.uint8)
    for channel in range(3):
        whole = rgb[: rows * by_rows, : cols * by_cols, channel].reshape(rows, by_rows, cols, by_cols)
        small[:, :, channel] = np.rint(whole.mean(axis=(1, 3), dtype=np.float32))
    return small


def most_detailed(rgb: Rgb, ratio: int) -> Window:
    """Return the window of a quarter of the sides with the steepest mean gradient, on whole LR pixels.

    Args:
        rgb: `(rows * ratio, cols * ratio, 3)`, a stretched picture: a glint cannot outweigh a whole window.
        ratio: HR pixels per LR pixel; the window begins and ends on LR pixels.
    """
    rows, cols = rgb.shape[0] // ratio, rgb.shape[1] // ratio
    steepness = _steepness(rgb).reshape(rows, ratio, cols, ratio).sum(axis=(1, 3), dtype=np.int64)
    high, wide = -(-rows // 4), -(-cols // 4)
    sums = np.pad(steepness, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    windows = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, col = np.unravel_index(np.argmax(windows), windows.shape)
    return slice(row * ratio, (row + high) * ratio), slice(col * ratio, (col + wide) * ratio)


def _steepness(rgb: Rgb) -> NDArray[np.int16]:
    green = rgb[:, :, 1].astype(np.int16)
    steepness = np.zeros(green.shape, np.int16)
    steepness[1:] += np.abs(np.diff(green, axis=0))
    steepness[:, 1:] += np.abs(np.diff(green, axis=1))
    return steepness
