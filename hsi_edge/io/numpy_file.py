"""NumPy files: `.npy`, memory-mapped and without metadata, and `.npz`, read whole. Never unpickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.io.variables import WAVELENGTH_NAMES, choose_cube, find_wavelengths, wavelengths_nm_from
from hsi_edge.io.window import reading, row_blocks

_ROWS_PER_BLOCK = 64


def read_numpy(path: Path) -> Cube:
    """Read a `.npy` or `.npz` file as a cube.

    A `.npy` holds the pixels alone and is memory-mapped. In a `.npz` the cube is `cube` or the only array with 3 axes,
    beside it, where present: `wavelength_nm` or another name of `hsi_edge.io.variables`, `bbl` (one number per band,
    0 is bad, as in ENVI) and `mask` (`(rows, cols)`, 0 is invalid).

    Raises:
        InputError: If the file is damaged, holds Python objects, or no `(rows, cols, bands)` of real numbers.
    """
    with reading(path):
        if path.suffix.lower() != ".npz":
            return Cube(data=_checked(np.load(path, mmap_mode="r", allow_pickle=False)))
        # Opened here, as np.load leaves a damaged archive open.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            return _cube_from(archive)


def write_numpy(path: Path, cube: Cube) -> None:
    """Write the cube's raw pixels as `.npy`, which keeps no metadata.

    Raises:
        OutputError: If the file cannot be written; what lay there before is untouched.
    """
    dtype = np.dtype(cube.data.dtype).newbyteorder("=")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(cube.data.shape)}
    # Not a memory map: a full disk would end the process there, and is an OSError here.
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in row_blocks(cube.rows, _ROWS_PER_BLOCK):
            file.write(np.ascontiguousarray(cube.data[rows], dtype).tobytes())


def _cube_from(archive: np.lib.npyio.NpzFile) -> Cube:
    # Members are decompressed one by one and as needed: others may be large, or objects that only a pickle could load.
    names = archive.files
    name = "cube" if "cube" in names else choose_cube({name: archive[name].shape for name in names})
    data = _checked(archive[name])
    vectors = {name: archive[name].shape for name in names if name.lower() in WAVELENGTH_NAMES}
    wavelengths = find_wavelengths(vectors, data.shape[2])
    return Cube(
        data=data,
        wavelengths_nm=None if wavelengths is None else wavelengths_nm_from(wavelengths, archive[wavelengths]),
        bad_bands=archive["bbl"].ravel() == 0 if "bbl" in names else None,
        mask=archive["mask"] != 0 if "mask" in names else None,
    )


def _checked(data: NDArray[Any]) -> NDArray[Any]:
    if data.dtype.kind not in "uif":
        raise InputError(f"its numbers are {data.dtype}; a cube holds integers or real numbers")
    if data.ndim != 3:
        raise InputError(f"its shape is {data.shape}; a cube has 3 axes (rows, cols, bands)")
    return data
