"""What is known of a mosaic sensor: which filter lies on which pixel, and what the filters let through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.records import read_settings
from hsi_edge.sensors.filter_curves import correction_from_curves, read_curves


@dataclass(frozen=True, kw_only=True)
class CorrectionMatrix:
    """A vendor's matrix: one row per band, one column per filter."""

    correction: Literal["matrix"]
    matrix: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class CorrectionFromCurves:
    """A matrix computed from measured filter curves (see `correction_from_curves`).

    Attributes:
        correction: The tag.
        file: The table of curves, its columns in the order of the filters' numbers (see `read_curves`).
        first_nm, last_nm: The part of the curves that light reaches: the camera's band-pass filter. None for all.
        noise: Of the signals, relative to their size.
    """

    correction: Literal["curves"]
    file: str
    first_nm: float | None = None
    last_nm: float | None = None
    noise: float = 0.01


@dataclass(frozen=True, kw_only=True)
class MosaicCalibration:
    """What is known of a mosaic sensor.

    Attributes:
        pattern: The filters of one macro-pixel, row by row: the number of the filter on each pixel, from 0, each once.
        wavelengths_nm: Centres of the bands: of the filters in the order of their numbers, or, with a correction, of
            its rows. In any order; frames have them ascending.
        fwhm_nm: Widths of the bands; only needed for a correction from curves.
        first_row, first_col: The pixel of the raw frame that the pattern starts at.
        rows, cols: Size of the active area from there on, in raw pixels; None for all that is left.
        saturation_level: A raw value at or above it is no measurement, in DN; None if raw frames tell it otherwise.
        correction: What undoes the crosstalk between the filters; None leaves their signals as they are.
        note: Where the calibration is from, in words.
    """

    pattern: tuple[tuple[int, ...], ...]
    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...] = ()
    first_row: int = 0
    first_col: int = 0
    rows: int | None = None
    cols: int | None = None
    saturation_level: float | None = None
    correction: CorrectionMatrix | CorrectionFromCurves | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            ManifestError: Names the key and what was wanted.
        """
        filters = [number for row in self.pattern for number in row]
        if not filters or len({len(row) for row in self.pattern}) != 1 or sorted(filters) != list(range(len(filters))):
            raise ManifestError(
                f"pattern is {[list(row) for row in self.pattern]}; wanted rows of one length with each of the numbers "
                "from 0 once"
            )
        wanted = len(filters)
        if isinstance(self.correction, CorrectionMatrix):
            wanted = _rows_of(self.correction, len(filters))
        if isinstance(self.correction, CorrectionFromCurves):
            wanted = len(self.wavelengths_nm)
            if len(self.fwhm_nm) != wanted or min(self.fwhm_nm, default=0) <= 0:
                raise ManifestError(f"fwhm_nm is {list(self.fwhm_nm)}; a correction from curves wants one per band")
        if len(self.wavelengths_nm) != wanted or len(set(self.wavelengths_nm)) != wanted:
            raise ManifestError(f"wavelengths_nm has {len(self.wavelengths_nm)} numbers; wanted {wanted}, each once")
        if min(self.first_row, self.first_col) < 0 or min(self.rows or 0, self.cols or 0) < 0:
            raise ManifestError("first_row, first_col, rows and cols cannot be negative")

    @property
    def n_filters(self) -> int:
        """How many filters a macro-pixel has."""
        return len(self.pattern) * len(self.pattern[0])

    def correction_matrix(self) -> NDArray[np.float64] | None:
        """The matrix from the filters to the bands, `(bands, filters)`, or None for none.

        Raises:
            InputError: The curves cannot be read, or do not fit.
        """
        if self.correction is None or isinstance(self.correction, CorrectionMatrix):
            return None if self.correction is None else np.array(self.correction.matrix, np.float64)
        wanted = self.correction
        nm, curves = read_curves(Path(wanted.file))
        if len(curves) != self.n_filters:
            raise InputError(f"{wanted.file} has {len(curves)} filter curves; the pattern has {self.n_filters} filters")
        first = -np.inf if wanted.first_nm is None else wanted.first_nm
        reached = (nm >= first) & (nm <= (np.inf if wanted.last_nm is None else wanted.last_nm))
        if reached.sum() < 2:
            raise InputError(f"{wanted.file} has no curves between first_nm and last_nm; correct the two")
        return correction_from_curves(
            curves[:, reached],
            nm[reached],
            np.array(self.wavelengths_nm),
            np.array(self.fwhm_nm),
            noise=wanted.noise,
        )


def _rows_of(correction: CorrectionMatrix, n_filters: int) -> int:
    if not correction.matrix or {len(row) for row in correction.matrix} != {n_filters}:
        raise ManifestError(f"correction.matrix must have rows of {n_filters} numbers, one per filter of the pattern")
    return len(correction.matrix)


def read_mosaic(path: Path) -> MosaicCalibration:
    """Read a mosaic sensor's calibration file; a file of curves lies relative to its folder.

    Raises:
        InputError: There is no such file, it is no YAML, or a key is unknown or of the wrong type.
    """
    found = read_settings(MosaicCalibration, path, "mosaic calibration")
    if not isinstance(found.correction, CorrectionFromCurves):
        return found
    return replace(found, correction=replace(found.correction, file=str(path.parent / found.correction.file)))
