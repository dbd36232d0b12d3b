"""ENVI images: a text header and a flat binary file, read as a memory map and written atomically.

An own reader, since the libraries lose metadata or divide by the scale factor: raw values are kept and the factor is
carried (see `Cube`). Source: NV5 Geospatial, "ENVI Header Files"
(https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.io.atomic import atomic_paths
from hsi_edge.io.envi_header import EnviHeader, header_text, read_header
from hsi_edge.io.envi_metadata import cube_from_header, metadata_fields

Interleave = Literal["bsq", "bil", "bip"]

DATA_ENDINGS = (".img", ".raw", ".dat", ".bil", ".bip", ".bsq", ".bin")

# Which axis of (rows, cols, bands) is stored first, second and third.
_STORED_AXES: dict[Interleave, tuple[int, int, int]] = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}
_DTYPES: dict[int, str] = {
    1: "u1",
    2: "i2",
    3: "i4",
    4: "f4",
    5: "f8",
    6: "c8",
    9: "c16",
    12: "u2",
    13: "u4",
    14: "i8",
    15: "u8",
}
_CODES: dict[np.dtype[np.generic], int] = {np.dtype(name): code for code, name in _DTYPES.items()}
# What ENVI lacks goes into the next type that holds every value of it.
_WIDENED: dict[np.dtype[np.generic], np.dtype[np.generic]] = {
    np.dtype("f2"): np.dtype("f4"),
    np.dtype("i1"): np.dtype("i2"),
    np.dtype("?"): np.dtype("u1"),
}
_NOT_FLAT = ("spectral library", "tiff", "jpeg", "hdf", "meta", "virtual")
_BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How pixels lie in the data file."""

    shape: tuple[int, int, int]  # (rows, cols, bands)
    dtype: np.dtype[np.generic]
    interleave: Interleave
    offset: int = 0

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        first, second, third = _STORED_AXES[self.interleave]
        return self.shape[first], self.shape[second], self.shape[third]

    @property
    def n_bytes(self) -> int:
        rows, cols, bands = self.shape
        return rows * cols * bands * self.dtype.itemsize


def read_envi(path: str | Path) -> Cube:
    """Open an ENVI image by its header or its data file.

    The pixels are a read-only memory map, seen as (rows, cols, bands) whatever the interleave, with the stored dtype
    and byte order. A missing `byte order` means 0, little endian; a missing `header offset` means 0.

    Raises:
        InputError: If one of the two files is missing, the header is damaged or promises more than the data file
            holds, or the data are compressed or framed.
    """
    header_path, data_path = _find_pair(Path(path))
    header = read_header(header_path)
    layout = _layout_from(header)
    return cube_from_header(header, _mapped(data_path, header_path, layout))


def write_envi(path: str | Path, cube: Cube, *, interleave: Interleave | None = None) -> None:
    """Write an ENVI image: header and data file, which appear together once they are complete.

    Values, dtype and byte order are kept as they are in the cube; float16, int8 and bool, which ENVI lacks, become
    float32, int16 and uint8. Pixels outside of the cube's mask get the ignore value, or NaN where there is none.

    Args:
        path: The data file, or the header, whose data file then ends in `.img`.
        cube: Read in blocks of rows, so that a lazy cube larger than memory can be written.
        interleave: None takes it from the ending `.bsq`, `.bil` or `.bip`, else `bip`, the order of the arrays.

    Raises:
        InputError: If ENVI has no type for the data, or no value for the pixels outside of the mask.
        OutputError: If the system refuses to write; what was there before is untouched.
    """
    header_path, data_path = _pair_to_write(Path(path))
    layout = _layout_of(cube, interleave or _interleave_of(data_path))
    fill = _fill_value(cube, layout.dtype)
    fields = _layout_fields(layout) | metadata_fields(cube)
    with atomic_paths(data_path, header_path) as (new_data, new_header):
        new_header.write_text(header_text(fields), encoding="utf-8")
        with new_data.open("wb") as file:
            _write_pixels(file, cube, layout, fill)


def _find_pair(path: Path) -> tuple[Path, Path]:
    """The header and the data file of an image named by either."""
    if not path.is_file():
        raise InputError(f"cannot read {path}: there is no such file; check the path")
    if path.suffix.lower() != ".hdr":
        header = next((candidate for candidate in _headers(path) if candidate.is_file()), None)
        if header is None:
            raise InputError(f"{path} has no ENVI header beside it; wanted {path.name}.hdr or {path.stem}.hdr")
        return header, path
    found = _data_files(path)
    if not found:
        raise InputError(f"{path} has no data file beside it; wanted {path.stem}, or {path.stem} with a usual ending")
    if len(found) > 1:
        names = ", ".join(candidate.name for candidate in found)
        raise InputError(f"{path} could belong to each of {names}; give the path of the data file instead")
    return path, found[0]


def _headers(data: Path) -> list[Path]:
    own = [data.with_name(data.name + ending) for ending in (".hdr", ".HDR")]
    return own + [data.with_suffix(ending) for ending in (".hdr", ".HDR")]


def _data_files(header: Path) -> list[Path]:
    """The data files that a header could belong to: X for X.hdr, else X.img and so on that have no X.img.hdr."""
    bare = header.with_suffix("")
    if bare.is_file():
        return [bare]
    endings = [cased for ending in DATA_ENDINGS for cased in (ending, ending.upper())]
    candidates = [bare.with_name(bare.name + ending) for ending in endings]
    return [file for file in candidates if file.is_file() and not file.with_name(f"{file.name}.hdr").is_file()]


def _pair_to_write(path: Path) -> tuple[Path, Path]:
    """Like `_find_pair`, but never takes the header of another image: X.raw beside X.img keeps X.hdr."""
    if path.suffix.lower() == ".hdr":
        owners = _data_files(path)
        return path, owners[0] if len(owners) == 1 else path.with_suffix(".img")
    shared, own = path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr")
    others = shared.is_file() and any(file != path for file in _data_files(shared))
    return (own if own.is_file() or others else shared), path


def _layout_from(header: EnviHeader) -> _Layout:
    _refuse_unreadable(header)
    rows, cols, bands = (header.integer(key, at_least=1) for key in ("lines", "samples", "bands"))
    code = header.integer("data type", at_least=1)
    if code not in _DTYPES:
        raise header.error("data type", f"is {code}", f"one of {', '.join(map(str, _DTYPES))}")
    order = header.integer("byte order", at_least=0, default=0)
    if order > 1:
        raise header.error("byte order", f"is {order}", "0 (little endian) or 1 (big endian)")
    interleave = header.text("interleave").lower()
    if interleave not in get_args(Interleave):
        found = f"is {interleave[:40]!r}" if interleave else "is missing"
        raise header.error("interleave", found, "bsq, bil or bip")
    return _Layout(
        shape=(rows, cols, bands),
        dtype=np.dtype(_DTYPES[code]).newbyteorder(">" if order else "<"),
        interleave=cast(Interleave, interleave),
        offset=header.integer("header offset", at_least=0, default=0),
    )


def _refuse_unreadable(header: EnviHeader) -> None:
    kind = header.text("file type")
    if any(word in kind.lower() for word in _NOT_FLAT):
        raise header.error("file type", f"is {kind[:40]!r}", "a flat binary image, such as 'ENVI Standard'")
    if header.text("file compression") not in ("", "0"):
        raise header.error("file compression", f"is {header.text('file compression')[:40]!r}", "uncompressed data")
    for key in ("major frame offsets", "minor frame offsets"):
        if any(item.strip("0.") for item in header.items(key)):
            raise header.error(key, f"is {header.text(key)[:40]!r}", "pixels without frames between them")


def _mapped(data_path: Path, header_path: Path, layout: _Layout) -> NDArray[np.generic]:
    needed, found = layout.offset + layout.n_bytes, data_path.stat().st_size
    if found < needed:
        rows, cols, bands = layout.shape
        raise InputError(
            f"{data_path} holds {found} bytes, but {header_path.name} promises {needed}: {rows} lines x {cols} samples "
            f"x {bands} bands x {layout.dtype.itemsize} bytes after an offset of {layout.offset}. The file is cut "
            "short or the header belongs to another one; copy or record it again"
        )
    try:
        stored = np.memmap(data_path, layout.dtype, mode="r", offset=layout.offset, shape=layout.stored_shape)
    except OSError as err:
        raise InputError(f"cannot read {data_path}: {err}; check the path and its rights") from err
    view: NDArray[np.generic] = stored.transpose(np.argsort(_STORED_AXES[layout.interleave]))
    return view


def _interleave_of(data_path: Path) -> Interleave:
    ending = data_path.suffix.lower().removeprefix(".")
    return cast(Interleave, ending) if ending in get_args(Interleave) else "bip"


def _layout_of(cube: Cube, interleave: Interleave) -> _Layout:
    if interleave not in _STORED_AXES:
        raise InputError(f"interleave is {interleave!r}; wanted one of {', '.join(_STORED_AXES)}")
    if 0 in cube.data.shape:
        raise InputError(f"the cube has shape {tuple(cube.data.shape)}; ENVI has no empty images")
    stored: np.dtype[np.generic] = np.dtype(cube.data.dtype)
    dtype = _WIDENED.get(stored, stored)
    if dtype.newbyteorder("=") not in _CODES:
        raise InputError(f"ENVI has no type for {dtype}; convert the data to one of {', '.join(_DTYPES.values())}")
    return _Layout(shape=(cube.rows, cube.cols, cube.n_bands), dtype=dtype, interleave=interleave)


def _layout_fields(layout: _Layout) -> dict[str, str]:
    rows, cols, bands = layout.shape
    return {
        "samples": str(cols),
        "lines": str(rows),
        "bands": str(bands),
        "header offset": "0",
        "file type": "ENVI Standard",
        "data type": str(_CODES[layout.dtype.newbyteorder("=")]),
        "interleave": layout.interleave,
        "byte order": str(int(layout.dtype.newbyteorder("<") != layout.dtype)),
    }


def _fill_value(cube: Cube, dtype: np.dtype[np.generic]) -> float | None:
    """The value for pixels outside of the mask; None if there are none."""
    if cube.mask is None or cube.mask.all():
        return None
    if dtype.kind in "fc":
        return float("nan") if cube.nodata is None else cube.nodata
    limits = np.iinfo(cast(np.dtype[np.integer[Any]], dtype))
    if cube.nodata is None or not (limits.min <= cube.nodata <= limits.max and float(cube.nodata).is_integer()):
        raise InputError(
            f"the cube masks pixels, and its nodata value ({cube.nodata}) cannot mark them in {dtype} data; "
            "give the cube a nodata value of that type, or float data"
        )
    return cube.nodata


def _write_pixels(file: BinaryIO, cube: Cube, layout: _Layout, fill: float | None) -> None:
    """Write blocks of rows with plain writes: on a full disk a memory map would kill the process."""
    rows, cols, bands = layout.shape
    step = max(1, _BLOCK_BYTES // (cols * bands * layout.dtype.itemsize))
    for first in range(0, rows, step):
        block = np.array(cube.data[first : first + step], layout.dtype)
        if fill is not None and cube.mask is not None:
            block[~cube.mask[first : first + step]] = fill
        stored = np.ascontiguousarray(block.transpose(_STORED_AXES[layout.interleave]))
        if layout.interleave != "bsq":
            file.write(stored.reshape(-1).view(np.uint8).data)
            continue
        for band in range(bands):
            file.seek((band * rows + first) * cols * layout.dtype.itemsize)
            file.write(stored[band].reshape(-1).view(np.uint8).data)
