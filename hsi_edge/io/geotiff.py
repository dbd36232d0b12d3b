"""GeoTIFF through rasterio: pixels window by window, metadata in GDAL's own places where it has one.

| cube | in the file |
|---|---|
| wavelengths_nm, fwhm_nm | band tags `wavelength`, `fwhm`, `wavelength_units` (as GDAL's ENVI driver names them), and in the IMAGERY domain `CENTRAL_WAVELENGTH_UM`, `FWHM_UM` |
| band_names | band descriptions |
| gain, offset, unit, nodata, georeference | scale, offset, unit type, nodata, geotransform and CRS |
| scale_factor | tag `reflectance_scale_factor`; its inverse as every band's scale, for other readers |
| bad_bands | tag `bbl`, as in ENVI: 1 is good |
| quantity, timestamp_ns | tags of these names |
| mask | the file's internal mask; an alpha band is read as one |
"""  # noqa: E501  (a table)

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import QUANTITIES, Cube, Georeference
from hsi_edge.errors import InputError, OutputError, require
from hsi_edge.io.atomic import atomic_path
from hsi_edge.io.wavelengths import in_nm, nm_per_unit, wavelengths_nm_from_names
from hsi_edge.io.window import FileHandle, LazyArray, reading, row_blocks

_BLOCK = 64  # a tile of 31 float32 bands is half a megabyte, and the padding at the edges stays small
_TILED_FROM = 512  # pixels per side; below, strips of rows waste nothing
_REAL_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {"float32", "float64"}
_FILTERS_LOCK = threading.Lock()

Tags = Mapping[str, str]


def read_geotiff(path: Path) -> Cube:
    """Read a GeoTIFF (or plain TIFF) lazily: only metadata and, where the file has one, the validity mask.

    Numbers stay as stored. The file is kept open while the cube lives, once per thread that reads.

    Raises:
        InputError: If the file is damaged, cut short, no TIFF, or holds complex numbers or colour table indices.
            Damage within the pixels shows when they are read, with the same error.
    """
    with reading(path):
        handle = FileHandle(_open, path)
        source = handle.get()
        bands = _spectral_bands(source)
        _check_complete(path, source)
        shape = (source.height, source.width, len(bands))
        data = LazyArray(shape, np.dtype(source.dtypes[0]), partial(_read_window, handle, bands))
        return Cube(data=data, mask=_mask(source), **_metadata(source, bands))


def write_geotiff(path: Path, cube: Cube) -> None:
    """Write the cube's raw pixels and metadata as an uncompressed GeoTIFF, as a BigTIFF where the size asks for it.

    A lazy cube is written piece by piece. float16 is widened to float32 and bool to uint8, which GeoTIFF lacks.

    Raises:
        InputError: If the cube is empty, or GeoTIFF has no such number type or coordinate reference system.
        OutputError: If the file cannot be written; what lay there before is untouched.
    """
    rasterio = require("rasterio", feature="writing GeoTIFF", extra="geotiff")
    profile = _profile(cube)
    # Auxiliary files are off: one beside the unfinished file would stay behind under its name.
    options = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False)
    with atomic_path(path) as unfinished:
        with options, _create(unfinished, profile) as target:
            _write_metadata(target, cube)
            _write_pixels(target, cube)
        _check_written(unfinished, path)


@contextmanager
def _plain_tiff_is_normal() -> Iterator[None]:
    errors = require("rasterio.errors", feature="GeoTIFF", extra="geotiff")
    # Python's list of warning filters is one for all threads: two that change it at once would undo each other.
    with _FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
        yield


def _open(path: Path) -> Any:
    rasterio = require("rasterio", feature="reading GeoTIFF", extra="geotiff")
    with _plain_tiff_is_normal():
        return rasterio.open(path, driver="GTiff")  # never a file that points to others, as a VRT does


def _create(path: Path, profile: dict[str, Any]) -> Any:
    rasterio = require("rasterio", feature="writing GeoTIFF", extra="geotiff")
    with _plain_tiff_is_normal():
        return rasterio.open(path, "w", **profile)


def _read_window(handle: FileHandle[Any], indexes: list[int], rows: slice, cols: slice, bands: slice) -> NDArray[Any]:
    windows = require("rasterio.windows", feature="reading GeoTIFF", extra="geotiff")
    with reading(handle.path):
        source = handle.get()
        shape = (rows.stop - rows.start, cols.stop - cols.start, bands.stop - bands.start)
        block = np.empty(shape, source.dtypes[0])
        window = windows.Window.from_slices(rows, cols)
        source.read(indexes=indexes[bands], window=window, out=block.transpose(2, 0, 1))
        return block


def _spectral_bands(source: Any) -> list[int]:
    """GDAL's numbers, from 1, of the bands that are no alpha band."""
    if source.dtypes[0] not in _REAL_TYPES:
        raise InputError(f"its numbers are {source.dtypes[0]}; a cube holds integers or real numbers")
    colours = [colour.name for colour in source.colorinterp]
    if "palette" in colours:
        raise InputError("its numbers are indices into a colour table; expand it: gdal_translate -expand rgb IN OUT")
    return [index for index, colour in zip(source.indexes, colours, strict=True) if colour != "alpha"]


def _check_complete(path: Path, source: Any) -> None:
    """Each band's last block lies inside the file: what is cut short fails here, and not in mid flight."""
    block_rows, block_cols = source.block_shapes[0]
    last = f"{(source.width - 1) // block_cols}_{(source.height - 1) // block_rows}"
    size = path.stat().st_size
    for band in (1, source.count):
        offset = source.get_tag_item(f"BLOCK_OFFSET_{last}", "TIFF", bidx=band)
        length = source.get_tag_item(f"BLOCK_SIZE_{last}", "TIFF", bidx=band)
        if offset is not None and int(offset) + int(length or 0) > size:
            raise InputError(f"it is cut short: its pixels end at byte {int(offset) + int(length)}, the file at {size}")


def _mask(source: Any) -> NDArray[np.bool_] | None:
    if all(flag.name != "per_dataset" for flag in source.mask_flag_enums[0]):
        return None
    valid: NDArray[np.bool_] = source.dataset_mask() != 0
    return None if valid.all() else valid


def _metadata(source: Any, bands: list[int]) -> dict[str, Any]:
    tags = _lower(source.tags())
    descriptions = tuple(source.descriptions[band - 1] or "" for band in bands)
    scale_factor = float(tags.get("reflectance_scale_factor", 1.0))
    gain = np.array([source.scales[band - 1] for band in bands])
    offset = np.array([source.offsets[band - 1] for band in bands])
    # The inverse of the scale factor says the same again, for readers that do not know the tag.
    repeats_factor = bool((gain == 1.0 / scale_factor).all()) and not offset.any()
    quantity = tags.get("quantity")
    wavelengths_nm, fwhm_nm = _wavelengths(source, bands, descriptions)
    return {
        "wavelengths_nm": wavelengths_nm,
        "fwhm_nm": fwhm_nm,
        "bad_bands": np.array([flag == "0" for flag in tags["bbl"].split(",")]) if "bbl" in tags else None,
        "quantity": quantity if quantity in QUANTITIES else None,
        "unit": source.units[bands[0] - 1] or "",
        "scale_factor": scale_factor,
        "gain": None if repeats_factor or (gain == 1.0).all() else gain,
        "offset": offset if offset.any() else None,
        "nodata": source.nodata,
        "georeference": _georeference(source),
        "timestamp_ns": int(tags["timestamp_ns"]) if "timestamp_ns" in tags else None,
        "band_names": descriptions if any(descriptions) else (),
    }


def _wavelengths(
    source: Any,
    bands: list[int],
    descriptions: tuple[str, ...],
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Centres and widths, from the first place that has the centres of all bands."""
    tags = [_lower(source.tags(band)) for band in bands]
    centres = _numbers(tags, "wavelength")
    factor = None if centres is None else nm_per_unit(tags[0].get("wavelength_units", ""), centres)
    if centres is not None and factor is not None:
        widths = _numbers(tags, "fwhm")
        return in_nm(centres, factor), None if widths is None else in_nm(widths, factor)
    imagery = [_lower(source.tags(band, ns="IMAGERY")) for band in bands]
    centres, widths = _numbers(imagery, "central_wavelength_um"), _numbers(imagery, "fwhm_um")
    if centres is not None:
        return in_nm(centres, 1000.0), None if widths is None else in_nm(widths, 1000.0)
    return wavelengths_nm_from_names(descriptions), None


def _lower(tags: Tags) -> Tags:
    return {key.lower(): value for key, value in tags.items()}


def _numbers(tags: list[Tags], key: str) -> NDArray[np.float64] | None:
    try:
        return np.array([float(band[key]) for band in tags])
    except (KeyError, ValueError):
        return None


def _georeference(source: Any) -> Georeference | None:
    transform = tuple(source.transform)[:6]
    if source.crs is None and transform == (1, 0, 0, 0, 1, 0):
        return None
    return Georeference(transform, source.crs.to_wkt() if source.crs else "")


def _profile(cube: Cube) -> dict[str, Any]:
    if 0 in cube.data.shape:
        raise InputError(f"a GeoTIFF needs at least one pixel and band; the cube is {tuple(cube.data.shape)}")
    dtype = _stored_type(np.dtype(cube.data.dtype))
    profile = {
        "driver": "GTiff",
        "height": cube.rows,
        "width": cube.cols,
        "count": cube.n_bands,
        "dtype": dtype.name,
        "interleave": "pixel",
        # GDAL would make the fourth of four uint8 bands an alpha band.
        "photometric": "RGB" if cube.n_bands == 3 and dtype.kind == "u" and dtype.itemsize < 4 else "MINISBLACK",
        "BIGTIFF": "IF_SAFER",
    }
    if min(cube.rows, cube.cols) >= _TILED_FROM:
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    if cube.nodata is not None and _holds(dtype, cube.nodata):
        profile["nodata"] = cube.nodata
    return profile | _georeference_profile(cube.georeference)


def _stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    wider = {"float16": "float32", "bool": "uint8"}
    stored: np.dtype[Any] = np.dtype(wider.get(dtype.name, dtype.name))
    if stored.name not in _REAL_TYPES:
        raise InputError(f"GeoTIFF has no number type {dtype}; convert the cube, for instance to float32")
    return stored


def _holds(dtype: np.dtype[Any], nodata: float) -> bool:
    """Whether any pixel can have this value: -9999 over uint16, a common header, marks none and GDAL refuses it."""
    if dtype.kind == "f":
        return bool(not np.isfinite(nodata) or abs(nodata) <= np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return bool(limits.min <= nodata <= limits.max) and float(nodata).is_integer()


def _georeference_profile(georeference: Georeference | None) -> dict[str, Any]:
    if georeference is None:
        return {}
    rasterio = require("rasterio", feature="writing GeoTIFF", extra="geotiff")
    crs = require("rasterio.crs", feature="writing GeoTIFF", extra="geotiff")
    profile = {"transform": rasterio.Affine(*georeference.transform)}
    if not georeference.crs_wkt:
        return profile
    try:
        return profile | {"crs": crs.CRS.from_wkt(georeference.crs_wkt)}
    except crs.CRSError as err:
        raise InputError(
            f"GDAL does not know the cube's coordinate reference system, {georeference.crs_wkt[:60]!r} ({err}); "
            "correct `georeference.crs_wkt` or leave it empty"
        ) from err


def _write_metadata(target: Any, cube: Cube) -> None:
    tags = {"quantity": cube.quantity, "timestamp_ns": cube.timestamp_ns}
    target.update_tags(**{key: str(value) for key, value in tags.items() if value is not None})
    if cube.bad_bands is not None:
        target.update_tags(bbl=",".join("0" if bad else "1" for bad in cube.bad_bands))
    if cube.band_names:
        target.descriptions = cube.band_names
    if cube.unit:
        target.units = [cube.unit] * cube.n_bands
    _write_scaling(target, cube)
    _write_wavelengths(target, cube)


def _write_scaling(target: Any, cube: Cube) -> None:
    if cube.scale_factor != 1.0:
        target.update_tags(reflectance_scale_factor=repr(float(cube.scale_factor)))
        if cube.gain is None and cube.offset is None:
            target.scales = [1.0 / cube.scale_factor] * cube.n_bands
    if cube.gain is not None:
        target.scales = cube.gain.tolist()
    if cube.offset is not None:
        target.offsets = cube.offset.tolist()


def _write_wavelengths(target: Any, cube: Cube) -> None:
    per_band = (("wavelength", "CENTRAL_WAVELENGTH_UM", cube.wavelengths_nm), ("fwhm", "FWHM_UM", cube.fwhm_nm))
    for band in range(cube.n_bands):
        known = [(key, imagery, float(values[band])) for key, imagery, values in per_band if values is not None]
        if known:
            target.update_tags(band + 1, wavelength_units="Nanometers", **{key: repr(nm) for key, _, nm in known})
            target.update_tags(band + 1, ns="IMAGERY", **{key: repr(nm / 1000.0) for _, key, nm in known})


def _write_pixels(target: Any, cube: Cube) -> None:
    windows = require("rasterio.windows", feature="writing GeoTIFF", extra="geotiff")
    dtype = np.dtype(target.dtypes[0])
    for rows in row_blocks(cube.rows, _BLOCK):
        block = np.asarray(cube.data[rows], dtype)
        target.write(block.transpose(2, 0, 1), window=windows.Window.from_slices(rows, slice(0, cube.cols)))
    if cube.mask is not None:
        target.write_mask(cube.mask)


def _check_written(unfinished: Path, path: Path) -> None:
    """GDAL writes its last blocks while closing and keeps quiet when the disk is full: look at what is there."""
    try:
        with _open(unfinished) as written:
            _check_complete(unfinished, written)
    except (OSError, InputError) as err:
        raise OutputError(f"{path} could not be written whole ({err}); is the disk full?") from err
