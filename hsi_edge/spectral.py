"""Bring a cube to other bands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError

_FloatArray = NDArray[np.float64]

_FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
_SIGMAS = 3.0  # a Gaussian is cut here; 0.3 percent of it lies beyond
_BLOCK_BYTES = 32 * 2**20
_cdf = np.vectorize(lambda z: 0.5 * math.erf(z / math.sqrt(2)), otypes=[np.float64])


def resample_cube(cube: Cube, wavelengths_nm: ArrayLike, fwhm_nm: ArrayLike | None = None) -> Cube:
    """Resample a cube spectrally; the result holds physical values as float32 (scale factor 1, NaN for no measurement).

    Bands that the file flags as bad, and bands without a single finite value, are left out and bridged by their
    neighbours. A pixel is NaN in those target bands alone to which one of its NaN values contributes.

    Args:
        cube: Needs wavelengths, in any order.
        wavelengths_nm: Centres of the wanted bands, `(targets,)`.
        fwhm_nm: Widths of the wanted bands, `(targets,)`; None keeps the sensor's own.

    Raises:
        InputError: If the cube has no wavelengths or no usable band, or a target lies outside of their range.
    """
    if cube.wavelengths_nm is None:
        raise InputError("this cube has no wavelengths, so it cannot be resampled; add them to its header or metadata")
    target = _checked("wavelengths_nm", wavelengths_nm)
    usable = _usable_bands(cube)
    source_fwhm = None if cube.fwhm_nm is None else cube.fwhm_nm[usable]
    weights = np.zeros((target.size, cube.n_bands), np.float32)
    weights[:, usable] = resampling_matrix(cube.wavelengths_nm[usable], target, source_fwhm, fwhm_nm)
    data = np.empty((cube.rows, cube.cols, target.size), np.float32)
    for rows, values in _blocks(cube):
        data[rows] = _weighted(values, weights)
    return Cube(
        data=data,
        wavelengths_nm=target,
        fwhm_nm=None if fwhm_nm is None else np.asarray(fwhm_nm, np.float64),
        quantity=cube.quantity,
        unit=cube.unit,
        mask=cube.mask,
        georeference=cube.georeference,
        timestamp_ns=cube.timestamp_ns,
    )


def resampling_matrix(
    source_nm: ArrayLike,
    target_nm: ArrayLike,
    source_fwhm_nm: ArrayLike | None = None,
    target_fwhm_nm: ArrayLike | None = None,
) -> _FloatArray:
    """Weights `(targets, sources)` that turn source bands into target bands; each row sums to 1.

    The source spectrum, interpolated linearly, is integrated under a Gaussian of `sqrt(target_fwhm² - source_fwhm²)`,
    which widens the source's bands (Gaussian too) to the target's. Where the target is no wider, and without
    `target_fwhm_nm`, this is plain linear interpolation. Near the ends of the source's range the Gaussian is cut on
    both sides alike, so that a linear spectrum stays what it is.

    Args:
        source_nm: Band centres in any order; bands at the same centre share its weight.
        target_nm: Wanted centres, at most half a band spacing outside of the source's range.
        source_fwhm_nm: None takes the band spacing.
        target_fwhm_nm: None takes the source's.

    Raises:
        InputError: If a target lies outside of the range, or an argument is not a list of positive numbers.
    """
    source, target = _checked("source_nm", source_nm), _checked("target_nm", target_nm)
    centres, band_of, count = np.unique(source, return_inverse=True, return_counts=True)
    spacing = np.gradient(centres) if centres.size > 1 else np.ones(1)
    _check_range(centres, spacing, target)
    target = np.clip(target, centres[0], centres[-1])
    sigma = np.zeros(target.size)
    if target_fwhm_nm is not None:
        width = spacing
        if source_fwhm_nm is not None:
            fwhm = _checked("source_fwhm_nm", source_fwhm_nm, source.size)
            width = np.bincount(band_of, fwhm) / count
        wanted = _checked("target_fwhm_nm", target_fwhm_nm, target.size)
        sigma = np.sqrt(np.maximum(wanted**2 - np.interp(target, centres, width) ** 2, 0)) / _FWHM_PER_SIGMA
    rows = [_row(centres, centre, width) for centre, width in zip(target.tolist(), sigma.tolist(), strict=True)]
    return np.stack(rows)[:, band_of] / count[band_of]


def match_bands(source_nm: ArrayLike, target_nm: ArrayLike, tolerance_nm: float) -> NDArray[np.intp] | None:
    """The index of the source band at each target, `(targets,)`; None unless all have one of their own in tolerance."""
    source, target = _checked("source_nm", source_nm), _checked("target_nm", target_nm)
    distance = np.abs(target[:, None] - source)
    nearest = distance.argmin(axis=1)
    within = distance.min(axis=1) <= tolerance_nm
    return nearest if within.all() and np.unique(nearest).size == target.size else None


def _checked(name: str, values: ArrayLike, size: int | None = None) -> _FloatArray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size == 0 or not (np.isfinite(array).all() and (array > 0).all()):
        raise InputError(f"{name} is {_shown(array)}; wanted a list of positive numbers in nanometres")
    if size is not None and array.size != size:
        raise InputError(f"{name} has {array.size} values; wanted {size}, one per band")
    return array


def _shown(array: NDArray[Any]) -> str:
    return f"of shape {array.shape}" if array.ndim != 1 else np.array2string(array, threshold=8)


def _check_range(centres: _FloatArray, spacing: _FloatArray, target: _FloatArray) -> None:
    low, high = centres[0] - spacing[0] / 2, centres[-1] + spacing[-1] / 2
    if target.min() < low or target.max() > high:
        raise InputError(
            f"the wanted bands span {target.min():g} to {target.max():g} nm, the usable source bands only "
            f"{centres[0]:g} to {centres[-1]:g} nm (half a band spacing beyond is allowed); "
            "check the units, or use a model for this sensor's range"
        )


def _row(centres: _FloatArray, target: float, sigma: float) -> _FloatArray:
    """Integral of each band's triangle of linear interpolation under the Gaussian, in closed form."""
    reach = min(_SIGMAS * sigma, target - centres[0], centres[-1] - target)
    if reach <= 1e-6 * sigma:  # no width, or a target at the end of the range
        return _linear_row(centres, target)
    z = (np.clip(centres, target - reach, target + reach) - target) / sigma
    mass = np.diff(_cdf(z))
    moment = -np.diff(np.exp(-z * z / 2)) / math.sqrt(2 * math.pi) * sigma  # of (wavelength - target)
    to_upper = ((target - centres[:-1]) * mass + moment) / np.diff(centres)
    row = np.zeros(centres.size)
    row[1:] += to_upper
    row[:-1] += mass - to_upper
    row[np.abs(row) < 1e-12] = 0  # rounding alone; a NaN there must not spread
    row /= row.sum()
    return row


def _linear_row(centres: _FloatArray, target: float) -> _FloatArray:
    row = np.zeros(centres.size)
    upper = min(int(np.searchsorted(centres, target)), centres.size - 1)
    row[upper] = 1.0
    if centres[upper] > target:
        row[upper - 1] = (centres[upper] - target) / (centres[upper] - centres[upper - 1])
        row[upper] -= row[upper - 1]
    return row


def _usable_bands(cube: Cube) -> NDArray[np.intp]:
    good = np.ones(cube.n_bands, np.bool_) if cube.bad_bands is None else ~cube.bad_bands
    seen = np.zeros(cube.n_bands, np.bool_)
    for _, values in _blocks(cube):
        seen |= np.isfinite(values).any(axis=(0, 1))
        if seen[good].all():
            break
    usable = np.flatnonzero(good & seen)
    if usable.size == 0:
        raise InputError(f"none of the {cube.n_bands} bands is usable: each is flagged as bad or holds no finite value")
    return usable


def _blocks(cube: Cube) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Physical values in blocks of rows, so that a lazy cube is never in memory as a whole."""
    step = max(1, _BLOCK_BYTES // max(1, cube.cols * cube.n_bands * 4))
    for first in range(0, cube.rows, step):
        rows = slice(first, first + step)
        mask = None if cube.mask is None else cube.mask[rows]
        yield rows, replace(cube, data=cube.data[rows], mask=mask).physical()


def _weighted(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    unknown = ~np.isfinite(values)
    values[unknown] = 0  # 0 times NaN is NaN, and would reach every target
    result: NDArray[np.float32] = values @ weights.T
    if unknown.any():
        result[(unknown.astype(np.float32) @ (weights != 0).astype(np.float32).T) > 0] = np.nan
    return result
