"""Zarr stores, formats 2 and 3: chunks are read as they are asked for, metadata are attributes of the array.

A store that we write is a group with the array `cube`, `(rows, cols, bands)`, and, where pixels are invalid, `mask`.
Attributes have the names of `Cube`'s fields, the georeference as `transform`, `crs_wkt` and `map_info`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import QUANTITIES, Cube, Georeference
from hsi_edge.errors import InputError, require
from hsi_edge.io.atomic import atomic_path
from hsi_edge.io.variables import choose_cube, find_wavelengths, wavelengths_nm_from
from hsi_edge.io.window import FileHandle, LazyArray, reading, row_blocks

_CHUNK = 128  # pixels per side, all bands: the tile that the engine reads by default
_PER_BAND = ("wavelengths_nm", "fwhm_nm", "bad_bands", "gain", "offset")
_SINGLE = ("quantity", "unit", "scale_factor", "nodata", "timestamp_ns")


def read_zarr(path: Path) -> Cube:
    """Read a Zarr store lazily: an array `(rows, cols, bands)`, or a group with one.

    Of several arrays with 3 axes the first is taken that is called as in `hsi_edge.io.variables.CUBE_NAMES`.
    Attributes of the group count for the array, too. Two kinds of damage go unseen, as the format and its libraries
    cannot tell: a chunk that was lost reads as the fill value, like one that was never written; and the end of a
    Blosc chunk that was cut short (other programs' stores, ours have no Blosc) reads as noise.

    Raises:
        InputError: If the store is damaged or none of its arrays is the cube; lists the arrays. Damage within a chunk
            shows when it is read, with the same error.
    """
    with reading(path):
        root = _open(path)
        if hasattr(root, "dtype"):
            return _cube_from(path, "", root, {"": root}, dict(root.attrs))
        arrays = {name: array for name, array in root.arrays() if array.dtype.kind in "uifb"}
        name = choose_cube({name: array.shape for name, array in arrays.items() if array.dtype.kind in "uif"})
        return _cube_from(path, name, arrays[name], arrays, {**root.attrs, **arrays[name].attrs})


def write_zarr(path: Path, cube: Cube) -> None:
    """Write the cube's raw pixels and metadata as a Zarr store, in the format that the installed zarr prefers.

    A lazy cube is written piece by piece.

    Raises:
        OutputError: If the store cannot be written; what lay there before is untouched.
    """
    zarr = require("zarr", feature="writing Zarr", extra="zarr")
    with atomic_path(path) as unfinished:
        root = zarr.open_group(str(unfinished), mode="w")
        array = _create(root, "cube", cube.data.shape, np.dtype(cube.data.dtype).newbyteorder("="))
        for rows in row_blocks(cube.rows, _CHUNK):
            array[rows] = np.asarray(cube.data[rows], array.dtype)
        array.attrs.update(_attributes(cube))
        if cube.mask is not None:
            _create(root, "mask", cube.mask.shape, cube.mask.dtype)[...] = cube.mask


def _open(path: Path) -> Any:
    zarr = require("zarr", feature="reading Zarr", extra="zarr")
    return zarr.open(str(path), mode="r")


def _create(root: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    chunks = tuple(max(1, min(_CHUNK, size)) for size in shape[:2]) + tuple(max(1, size) for size in shape[2:])
    if hasattr(root, "create_array"):  # zarr 3
        return root.create_array(name, shape=shape, chunks=chunks, dtype=dtype)
    # zarr 2 has Blosc, which makes up the rest of a chunk that was cut short; Zstandard, as in zarr 3, reports it.
    numcodecs = require("numcodecs", feature="writing Zarr", extra="zarr")
    return root.create_dataset(name, shape=shape, chunks=chunks, dtype=dtype, compressor=numcodecs.Zstd())


def _read_window(handle: FileHandle[Any], name: str, rows: slice, cols: slice, bands: slice) -> NDArray[Any]:
    with reading(handle.path):
        root = handle.get()
        return np.asarray((root[name] if name else root)[rows, cols, bands])


def _cube_from(path: Path, name: str, array: Any, arrays: dict[str, Any], attributes: dict[str, Any]) -> Cube:
    if array.ndim != 3 or array.dtype.kind not in "uif":
        raise InputError(f"its array is {array.shape} of {array.dtype}; a cube is (rows, cols, bands) of real numbers")
    data = LazyArray(array.shape, array.dtype, partial(_read_window, FileHandle(_open, path), name))
    metadata = _metadata(attributes)
    if "wavelengths_nm" not in metadata:
        found = find_wavelengths({key: item.shape for key, item in arrays.items()}, array.shape[2])
        metadata["wavelengths_nm"] = None if found is None else wavelengths_nm_from(found, arrays[found][...])
    mask = np.asarray(arrays["mask"][...]) != 0 if "mask" in arrays else None
    return Cube(data=data, mask=mask, **metadata)


def _metadata(attributes: dict[str, Any]) -> dict[str, Any]:
    known = {key: attributes[key] for key in (*_PER_BAND, *_SINGLE) if attributes.get(key) is not None}
    if known.get("quantity") not in QUANTITIES:
        known.pop("quantity", None)
    if "nodata" in known:
        known["nodata"] = float(known["nodata"])  # text where JSON has no such number
    if "transform" in attributes:
        a, b, c, d, e, f = (float(number) for number in attributes["transform"])
        map_info = tuple(attributes.get("map_info", ()))
        known["georeference"] = Georeference((a, b, c, d, e, f), attributes.get("crs_wkt", ""), map_info)
    return known | {"band_names": tuple(attributes.get("band_names", ()))}


def _attributes(cube: Cube) -> dict[str, Any]:
    attributes = {key: getattr(cube, key) for key in _SINGLE}
    attributes |= {key: None if (value := getattr(cube, key)) is None else value.tolist() for key in _PER_BAND}
    if cube.nodata is not None and not np.isfinite(cube.nodata):
        attributes["nodata"] = str(cube.nodata)
    if cube.georeference is not None:
        attributes["transform"] = list(cube.georeference.transform)
        attributes["crs_wkt"] = cube.georeference.crs_wkt
        attributes["map_info"] = list(cube.georeference.map_info)
    attributes["band_names"] = list(cube.band_names)
    return {key: value for key, value in attributes.items() if value not in (None, "", [])}
