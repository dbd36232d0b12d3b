"""The spectral image that every part of the package passes on: an array and what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError

Quantity = Literal["dn", "radiance", "reflectance"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)

# Anything that slices like a NumPy array: ndarray, memmap, or a lazy file window (see `hsi_edge.io`).
Array = Any


@dataclass(frozen=True)
class Georeference:
    """Where a pixel lies on the ground.

    Attributes:
        transform: `(a, b, c, d, e, f)` with `x = a * col + b * row + c` and `y = d * col + e * row + f`, at the upper
            left corner of the pixel (the order of rasterio's Affine; GDAL's geotransform is `(c, a, b, f, d, e)`).
        crs_wkt: The coordinate reference system as WKT, or an empty string where the file names none.
        map_info: ENVI's `map info` fields as the file had them, so that they survive a round trip.
    """

    transform: tuple[float, float, float, float, float, float]
    crs_wkt: str = ""
    map_info: tuple[str, ...] = ()

    def scaled(self, ratio: int) -> Georeference:
        """The same ground, with pixels `ratio` times smaller."""
        a, b, c, d, e, f = self.transform
        return Georeference(
            (a / ratio, b / ratio, c, d / ratio, e / ratio, f), self.crs_wkt, _scaled_map_info(self.map_info, ratio)
        )


def _scaled_map_info(fields: tuple[str, ...], ratio: int) -> tuple[str, ...]:
    """ENVI map info: name, reference col and row (counted from 1, 1 is the outer edge), x, y, pixel width, height."""
    if len(fields) < 7:
        return fields
    col, row, width, height = (float(fields[index]) for index in (1, 2, 5, 6))
    scaled = list(fields)
    scaled[1] = repr((col - 1) * ratio + 1)
    scaled[2] = repr((row - 1) * ratio + 1)
    scaled[5] = repr(width / ratio)
    scaled[6] = repr(height / ratio)
    return tuple(scaled)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cube:
    """A spectral image with its metadata; frozen, and its array is never changed by this package.

    Attributes:
        data: `(rows, cols, bands)`, raw values as stored. May be a memory map or a lazy window: index it.
        wavelengths_nm: Band centres, `(bands,)` float64 in nanometres, in the order of the bands; None if unknown.
        fwhm_nm: Band widths, `(bands,)` float64 in nanometres; None if unknown.
        bad_bands: `(bands,)` bool, True where the file flags the band as bad; None if the file says nothing.
        quantity: What the numbers are; None if unknown. Never converted silently.
        unit: Unit of a radiance as the file spells it.
        scale_factor: Stored value per unit: `physical = raw / scale_factor` (ENVI `reflectance scale factor`).
        gain, offset: Per band, `physical = raw * gain + offset` (ENVI `data gain values`, `data offset values`);
            used instead of `scale_factor` where present.
        nodata: Stored value that means "no measurement"; None if there is none.
        mask: `(rows, cols)` bool, True where the pixel is valid; None if all are.
        georeference: Where the pixels lie; None if unknown.
        timestamp_ns: Time of the exposure in nanoseconds; None if unknown.
        band_names: One name per band, or empty.
    """

    data: Array
    wavelengths_nm: NDArray[np.float64] | None = None
    fwhm_nm: NDArray[np.float64] | None = None
    bad_bands: NDArray[np.bool_] | None = None
    quantity: Quantity | None = None
    unit: str = ""
    scale_factor: float = 1.0
    gain: NDArray[np.float64] | None = None
    offset: NDArray[np.float64] | None = None
    nodata: float | None = None
    mask: NDArray[np.bool_] | None = None
    georeference: Georeference | None = None
    timestamp_ns: int | None = None
    band_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.data.shape) != 3:
            raise InputError(f"a cube is (rows, cols, bands); this array has shape {tuple(self.data.shape)}")
        for name in ("wavelengths_nm", "fwhm_nm", "gain", "offset"):
            self._check_per_band(name, np.float64)
        self._check_per_band("bad_bands", np.bool_)
        if self.band_names and len(self.band_names) != self.n_bands:
            raise InputError(f"band_names has {len(self.band_names)} names for {self.n_bands} bands")
        if self.quantity is not None and self.quantity not in QUANTITIES:
            raise InputError(f"quantity is {self.quantity!r}; it is one of {', '.join(QUANTITIES)}, or None if unknown")
        if not (np.isfinite(self.scale_factor) and self.scale_factor > 0):
            raise InputError(f"scale_factor is {self.scale_factor}; it must be a positive number")
        if self.mask is not None and self.mask.shape != (self.rows, self.cols):
            raise InputError(f"mask has shape {self.mask.shape}; the cube has ({self.rows}, {self.cols})")

    def _check_per_band(self, name: str, dtype: type) -> None:
        value = getattr(self, name)
        if value is None:
            return
        array: NDArray[Any] = np.asarray(value, dtype)
        if array.shape != (self.n_bands,):
            raise InputError(f"{name} has shape {array.shape}; the cube has {self.n_bands} bands")
        object.__setattr__(self, name, array)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.data.shape[0])

    @property
    def cols(self) -> int:
        """Number of columns."""
        return int(self.data.shape[1])

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return int(self.data.shape[2])

    @property
    def is_raw(self) -> bool:
        """Whether stored values differ from physical ones (a scale factor, gains or a nodata value apply)."""
        return self.scale_factor != 1.0 or self.gain is not None or self.offset is not None or self.nodata is not None

    def physical(self) -> NDArray[np.float32]:
        """Physical values as a new float32 array `(rows, cols, bands)`; no measurement becomes NaN."""
        raw = np.asarray(self.data[...])
        values = raw.astype(np.float32)
        if self.gain is not None or self.offset is not None:
            if self.gain is not None:
                values *= self.gain.astype(np.float32)
            if self.offset is not None:
                values += self.offset.astype(np.float32)
        elif self.scale_factor != 1.0:
            values /= np.float32(self.scale_factor)
        if self.nodata is not None and not np.isnan(self.nodata):
            # GDAL gives float32 files nodata values that only a double holds.
            with np.errstate(over="ignore"):
                values[raw == self.nodata] = np.nan
        if self.mask is not None:
            values[~self.mask] = np.nan
        return values

    def select_bands(self, indices: NDArray[np.intp] | list[int]) -> Cube:
        """The given bands in the given order, with their metadata; the pixels are read and copied."""
        index = np.asarray(indices, np.intp)
        per_band = ("wavelengths_nm", "fwhm_nm", "bad_bands", "gain", "offset")
        chosen: dict[str, Any] = {name: None if (v := getattr(self, name)) is None else v[index] for name in per_band}
        names = tuple(self.band_names[i] for i in index) if self.band_names else ()
        return replace(self, data=np.asarray(self.data[...])[:, :, index], band_names=names, **chosen)
