"""NCALM 2018 (IEEE GRSS Data Fusion Contest 2018): Houston, CASI 48 bands at 1 m, and 5 cm RGB in tiles of 596 x 601 m.

The contest gave out the four training tiles first (601 x 2384 pixels), later all 14 (1202 x 4172).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.published.pairs import SensorPair, common_ground, cropped
from export.data.published.sources import Publication, Source, files_below, part
from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError, require
from hsi_edge.io import read
from hsi_edge.io.window import FileHandle, LazyArray, reading

_STEM = "20170218_UH_CASI_S4_NAD83"
_BANDS = 48
_EXTRA = 2  # the file's last two bands are no spectral ones
_WHOLE = slice(None)


def _find(home: Path) -> list[Source]:
    files = [file for file in files_below(home, f"{_STEM}.*") if file.suffix.lower() in (".pix", ".tif", ".tiff")]
    return [Source("houston", file, _open_spectral) for file in files]


def _open_spectral(path: Path) -> LazyArray:
    data: LazyArray = _read_spectral(path).data
    return data


def _read_spectral(path: Path) -> Cube:
    """The 48 spectral bands, lazily; files with more or fewer than 50 bands are left as they are."""
    cube = _read_pcidsk(path) if path.suffix.lower() == ".pix" and not _has_header(path) else read(path)
    kept = slice(_BANDS) if cube.n_bands == _BANDS + _EXTRA else _WHOLE
    return Cube(data=part(cube.data, _WHOLE, _WHOLE, kept), georeference=cube.georeference)


def _has_header(path: Path) -> bool:
    return any(header.is_file() for header in (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr")))


def _read_pcidsk(path: Path) -> Cube:
    with reading(path):
        handle = FileHandle(_open_pcidsk, path)
        source = handle.get()
        shape = (source.height, source.width, source.count)
        data = LazyArray(shape, np.dtype(source.dtypes[0]), partial(_read_pcidsk_window, handle))
        return Cube(data=data, georeference=Georeference(tuple(source.transform)[:6]))


def _open_pcidsk(path: Path) -> Any:
    return require("rasterio", feature="reading PCIDSK files", extra="geotiff").open(path, driver="PCIDSK")


def _read_pcidsk_window(handle: FileHandle[Any], rows: slice, cols: slice, bands: slice) -> NDArray[Any]:
    window = require("rasterio.windows", feature="reading PCIDSK files", extra="geotiff").Window.from_slices(rows, cols)
    with reading(handle.path):
        indexes = list(range(bands.start + 1, bands.stop + 1))
        block: NDArray[Any] = np.moveaxis(handle.get().read(indexes=indexes, window=window), 0, 2)
        return block


def ncalm2018_pairs(folder: Path) -> Iterator[SensorPair]:
    """Each RGB tile with the part of the spectral image that it covers.

    Tiles beyond the spectral image, as the contest's first release has them, are left out.

    Args:
        folder: Published data, with the folder `ncalm2018` in it.

    Raises:
        InputError: If a file has no georeference, or there is no RGB tile on the spectral image.
    """
    home = folder / NCALM2018.dataset
    spectral_path = NCALM2018.sources(home)[0].path
    spectral = _read_spectral(spectral_path)
    pairs = 0
    for file in files_below(home, "UH_NAD83_*.tif"):
        guide = read(file)
        ratio = round(_pixel(spectral, spectral_path) / _pixel(guide, file))
        window = _ground(spectral, guide, ratio)
        if window is not None:
            pairs += 1
            yield common_ground(file.stem, cropped(spectral, *window), guide, ratio)
    if not pairs:
        raise InputError(f"{home} holds no RGB tile on the spectral image; wanted Final RGB HR Imagery/UH_NAD83_*.tif")


def _pixel(cube: Cube, path: Path) -> float:
    if cube.georeference is None:
        raise InputError(f"{path} has no georeference, so that its place is unknown; get it from its publisher again")
    return abs(cube.georeference.transform[0])


def _ground(spectral: Cube, guide: Cube, ratio: int) -> tuple[slice, slice] | None:
    """The rows and columns of the spectral image that the tile covers; None if they lie outside."""
    if spectral.georeference is None or guide.georeference is None:
        return None
    width, _, left, _, height, top = spectral.georeference.transform
    _, _, x, _, _, y = guide.georeference.transform
    row, col = round((y - top) / height), round((x - left) / width)
    rows, cols = slice(row, row + guide.rows // ratio), slice(col, col + guide.cols // ratio)
    inside = row >= 0 and col >= 0 and rows.stop <= spectral.rows and cols.stop <= spectral.cols
    return (rows, cols) if inside else None


NCALM2018 = Publication(
    dataset="ncalm2018",
    title="the data of the 2018 IEEE GRSS Data Fusion Contest",
    publisher="the University of Houston, Hyperspectral Image Analysis Laboratory, page '2018 IEEE GRSS Data Fusion "
    "Contest'",
    layout=f"FullHSIDataset/{_STEM}.pix (with its .hdr, if there is one) and Final RGB HR Imagery/UH_NAD83_*.tif",
    bands=(_BANDS,),
    # Centres of 48 equal parts of 380 to 1050 nm; the publisher's own list could not be checked.
    wavelengths_nm=np.linspace(380, 1050, 2 * _BANDS + 1)[1::2],
    find=_find,
)
