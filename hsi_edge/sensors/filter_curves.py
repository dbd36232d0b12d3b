"""Measured responses of a sensor's filters, and the matrix that makes clean bands of what such filters see."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError

Float = NDArray[np.float64]

FWHM_PER_SIGMA = 2.354820045


def read_curves(path: Path) -> tuple[Float, Float]:
    """Read a table of filter responses: `.csv` (the first column in nm, then one column per filter) or `.npz`.

    A `.csv` may start with lines of text, such as a heading; a `.npz` has `wavelength_nm` `(k,)` and `curves` `(n, k)`.

    Returns:
        Wavelengths `(k,)`, ascending, and responses `(n, k)`.

    Raises:
        InputError: There is no such file, or it is no such table.
    """
    try:
        wavelengths, curves = _from_npz(path) if path.suffix.lower() == ".npz" else _from_csv(path)
    except (OSError, ValueError, KeyError) as err:
        raise InputError(
            f"cannot read the filter curves {path} ({err}); wanted a .csv with nm in the first column and one column "
            "per filter, or a .npz with wavelength_nm and curves"
        ) from err
    if curves.ndim != 2 or wavelengths.shape != curves.shape[1:] or len(wavelengths) < 2:
        raise InputError(
            f"the filter curves {path} are {curves.shape} at {wavelengths.shape} wavelengths; wanted (n, k)"
        )
    if not (np.isfinite(curves).all() and (np.diff(wavelengths) > 0).all()):
        raise InputError(f"the filter curves {path} must be finite, at ascending wavelengths")
    return wavelengths, curves


def _from_npz(path: Path) -> tuple[Float, Float]:
    with np.load(path, allow_pickle=False) as archive:
        return np.array(archive["wavelength_nm"], np.float64), np.array(archive["curves"], np.float64)


def _from_csv(path: Path) -> tuple[Float, Float]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    while rows and not _is_number(rows[0][0]):
        rows = rows[1:]
    table = np.array(rows, np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError("no table of numbers")
    return table[:, 0], table[:, 1:].T


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def correction_from_curves(
    curves: Float, curve_wavelengths_nm: Float, wavelengths_nm: Float, fwhm_nm: Float, *, noise: float
) -> Float:
    """The matrix from what filters see to what ideal bands would have seen.

    Each row combines the filters' measured responses so that they come near, by least squares, to a Gaussian band, as
    vendors of mosaic sensors do for their "virtual bands". As that would blow up noise where filters are alike, the
    squares of the weights are held down (Tikhonov; W. Press et al., "Numerical Recipes", section on linear
    regularization). In each band, light of the same strength at all wavelengths has the mean of the filters' signals
    (a constraint, met by Lagrange's method).

    Args:
        curves: Filter responses, `(n, k)`, in any one unit, including all that stands before the sensor.
        curve_wavelengths_nm: `(k,)`, ascending.
        wavelengths_nm: Centres of the ideal bands, `(m,)`.
        fwhm_nm: Their widths, `(m,)`.
        noise: Noise of the signals relative to their size, such as 0.01: the larger, the more cautious the matrix.

    Returns:
        `(m, n)`.

    Raises:
        InputError: A band lies beyond the curves.
    """
    outside = (wavelengths_nm < curve_wavelengths_nm[0]) | (wavelengths_nm > curve_wavelengths_nm[-1])
    if outside.any():
        raise InputError(
            f"the band at {wavelengths_nm[outside][0]:g} nm lies beyond the filter curves, which go from "
            f"{curve_wavelengths_nm[0]:g} to {curve_wavelengths_nm[-1]:g} nm"
        )
    steps = np.gradient(curve_wavelengths_nm)
    distance = (curve_wavelengths_nm - wavelengths_nm[:, None]) * FWHM_PER_SIGMA / fwhm_nm[:, None]
    ideal = np.exp(-0.5 * distance**2)
    flat = curves @ steps
    ideal *= flat.mean() / (ideal @ steps)[:, None]
    gram = (curves * steps) @ curves.T
    held = gram + noise**2 * np.diag(gram).mean() * np.eye(len(gram))
    free = np.linalg.solve(held, (curves * steps) @ ideal.T).T
    towards_flat = np.linalg.solve(held, flat)
    matrix: Float = free + np.outer(flat.mean() - free @ flat, towards_flat / (flat @ towards_flat))
    return matrix
