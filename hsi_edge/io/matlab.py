"""MATLAB `.mat` files: versions 4 to 7 through scipy, read whole; version 7.3, which is HDF5, lazily through h5py."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, require
from hsi_edge.io.variables import choose_cube, find_wavelengths, wavelengths_nm_from
from hsi_edge.io.window import FileHandle, LazyArray, reading

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATLAB_HEADER_BYTES = 512  # of text, which MATLAB 7.3 puts before the HDF5 signature
_REAL_CLASSES = {"single", "double"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def read_matlab(path: Path, wanted: Sequence[str] = ()) -> Cube:
    """Read the cube of a `.mat` file, `(rows, cols, bands)` as MATLAB shows it.

    The cube is the only variable with 3 axes or, of several, the first that is called as in
    `hsi_edge.io.variables.CUBE_NAMES`; wavelengths come from a vector of the right length called as in
    `WAVELENGTH_NAMES` there. Version 7.3 is read window by window.

    Args:
        path: The file.
        wanted: Names of the cube's variable, where they are known and nothing else will do.

    Raises:
        InputError: If the file is damaged or none of its variables is the cube; lists the variables.
    """
    with reading(path):
        return _read_hdf5(path, wanted) if _is_hdf5(path) else _read_classic(path, wanted)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(_MATLAB_HEADER_BYTES + len(_HDF5_SIGNATURE))
    return start.startswith(_HDF5_SIGNATURE) or start[_MATLAB_HEADER_BYTES:] == _HDF5_SIGNATURE


def _read_classic(path: Path, wanted: Sequence[str]) -> Cube:
    scipy_io = require("scipy.io", feature="reading MATLAB files", extra="matlab")
    shapes = {name: shape for name, shape, kind in scipy_io.whosmat(path) if kind in _REAL_CLASSES}
    name = choose_cube(shapes, wanted)
    wavelengths = find_wavelengths(shapes, shapes[name][2])
    # Only the variables of interest: a file may hold many more.
    needed = [name] if wavelengths is None else [name, wavelengths]
    variables = scipy_io.loadmat(path, variable_names=needed)
    data = _native(variables[name])
    if data.dtype.kind not in "uif":
        raise InputError(f"'{name}' holds {data.dtype}; a cube holds integers or real numbers")
    return Cube(
        data=data,
        wavelengths_nm=None if wavelengths is None else wavelengths_nm_from(wavelengths, variables[wavelengths]),
    )


def _read_hdf5(path: Path, wanted: Sequence[str]) -> Cube:
    handle = FileHandle(_open_hdf5, path)
    file = handle.get()
    # MATLAB stores columns first, so that HDF5 sees each array with its axes in reverse: (bands, cols, rows).
    shapes = {name: tuple(reversed(item.shape)) for name, item in file.items() if _is_real(item)}
    name = choose_cube(shapes, wanted)
    rows, cols, bands = shapes[name]
    wavelengths = find_wavelengths(shapes, bands)
    return Cube(
        data=LazyArray((rows, cols, bands), file[name].dtype.newbyteorder("="), partial(_read_window, handle, name)),
        wavelengths_nm=None if wavelengths is None else wavelengths_nm_from(wavelengths, file[wavelengths][()]),
    )


def _open_hdf5(path: Path) -> Any:
    h5py = require("h5py", feature="reading MATLAB 7.3 files", extra="matlab")
    return h5py.File(path, "r")


def _is_real(item: Any) -> bool:
    # MATLAB's text, too, is stored as integers; its class tells. Files by other programs may have no class.
    kind = item.attrs.get("MATLAB_class", b"double")
    is_number = hasattr(item, "dtype") and item.dtype.kind in "uif"
    return is_number and (kind.decode() if isinstance(kind, bytes) else str(kind)) in _REAL_CLASSES


def _read_window(handle: FileHandle[Any], name: str, rows: slice, cols: slice, bands: slice) -> NDArray[Any]:
    with reading(handle.path):
        stored: NDArray[Any] = handle.get()[name][bands, cols, rows]
        return _native(stored.transpose(2, 1, 0))


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)
