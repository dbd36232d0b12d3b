"""Which reader and writer a path belongs to."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError

_ENVI_ENDINGS = (".hdr", ".img", ".raw", ".dat", ".bil", ".bip", ".bsq")

# "module:function", imported on use, so that a reader's packages are needed by those alone who use it.
READERS: dict[str, str] = {
    **dict.fromkeys(_ENVI_ENDINGS, "hsi_edge.io.envi:read_envi"),
    **dict.fromkeys((".tif", ".tiff"), "hsi_edge.io.geotiff:read_geotiff"),
    ".mat": "hsi_edge.io.matlab:read_matlab",
    **dict.fromkeys((".npy", ".npz"), "hsi_edge.io.numpy_file:read_numpy"),
    ".zarr": "hsi_edge.io.zarr_store:read_zarr",
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "hsi_edge.io.image:read_image"),
}
WRITERS: dict[str, str] = {
    **dict.fromkeys(_ENVI_ENDINGS, "hsi_edge.io.envi:write_envi"),
    **dict.fromkeys((".tif", ".tiff"), "hsi_edge.io.geotiff:write_geotiff"),
    ".npy": "hsi_edge.io.numpy_file:write_numpy",
    ".zarr": "hsi_edge.io.zarr_store:write_zarr",
}
_PNG_STACK = "hsi_edge.io.png_stack:read_png_stack"
_ZARR_METADATA = ("zarr.json", ".zgroup", ".zarray")


def read(path: str | Path) -> Cube:
    """Read a spectral image; lazily where the format allows (see the table in `hsi_edge.io`).

    A folder is Zarr if its name or its content says so, else one PNG per band. A file of any other ending with an ENVI
    header beside it is ENVI.

    Raises:
        InputError: If the file is missing, empty, damaged, or of no known format.
        MissingPackageError: If the format needs an optional package that is not installed.
    """
    path = Path(path)
    return cast(Callable[[Path], Cube], _imported(_reader(path)))(path)


def write(path: str | Path, cube: Cube) -> Path:
    """Write a spectral image in the format that the ending names, atomically, and return its path.

    Raises:
        InputError: If the ending names no format that can be written, or the format cannot hold the cube.
        OutputError: If the system refuses to write; what was there before is untouched.
        MissingPackageError: If the format needs an optional package that is not installed.
    """
    path = Path(path)
    target = WRITERS.get(path.suffix.lower())
    if target is None:
        raise InputError(f"cannot write {path}: {_ending(path)}; what can be written: {', '.join(WRITERS)}")
    if path.is_dir() and not _is_zarr(path):
        raise InputError(f"cannot write {path}: a folder of that name is in the way; choose another name")
    cast(Callable[[Path, Cube], None], _imported(target))(path, cube)
    return path


def _reader(path: Path) -> str:
    if path.is_dir():
        return READERS[".zarr"] if path.suffix.lower() == ".zarr" or _is_zarr(path) else _PNG_STACK
    if not path.exists():
        raise InputError(f"cannot read {path}: there is no such file or folder; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"cannot read {path}: the file is empty; copy or record it again")
    reader = READERS.get(path.suffix.lower())
    if reader is None and _has_header(path):
        reader = READERS[".hdr"]
    if reader is None:
        raise InputError(
            f"cannot read {path}: {_ending(path)}; what can be read: {', '.join(READERS)}, "
            "a folder with one PNG per band, and any file with an ENVI header (.hdr) beside it"
        )
    return reader


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ZARR_METADATA)


def _has_header(path: Path) -> bool:
    return any(header.is_file() for header in (path.with_name(f"{path.name}.hdr"), path.with_suffix(".hdr")))


def _ending(path: Path) -> str:
    return f"the ending '{path.suffix}' is unknown here" if path.suffix else "the name has no ending"


def _imported(target: str) -> object:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)
