"""WorldView-2: 8 bands at 2 m and a panchromatic image at 0.5 m, GeoTIFF as Maxar (DigitalGlobe) delivers it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.data.published.pairs import SensorPair, common_ground
from export.data.published.sources import Publication, Source, files_below
from hsi_edge.cube import Array
from hsi_edge.errors import InputError
from hsi_edge.io import read

RATIO = 4
# 10APR05101516-M2AS_R1C1-052334580010_01_P001.TIF: time, product (M or P, level), part of a mosaic, order, part of it.
_NAME = re.compile(r"^[^-]+-(?P<kind>[MP])\d[AB]S(?P<order>[^.]*)\.tiff?$", re.IGNORECASE)


def _find(home: Path) -> list[Source]:
    return [Source(file.stem, file, _open) for file in _images(home, "M").values()]


def _images(home: Path, kind: str) -> dict[str, Path]:
    """Files of a kind by their order: the time in the name may differ by a second between the two of a pair."""
    found: dict[str, Path] = {}
    for file in files_below(home, "*.tif*"):
        name = _NAME.match(file.name)
        if name is None or name["kind"].upper() != kind:
            continue
        twin = found.setdefault(name["order"].upper(), file)
        if twin != file:
            raise InputError(f"{home} holds {name['order']} twice: {twin} and {file}; keep one of them")
    return found


def _open(path: Path) -> Array:
    return read(path).data


def worldview2_pairs(folder: Path) -> Iterator[SensorPair]:
    """The 8 bands and the panchromatic image of each order, on the same ground.

    Args:
        folder: Published data, with the folder `worldview2` in it.

    Raises:
        InputError: If an order's panchromatic image is missing, or is not four times as large as the bands.
    """
    home = folder / WORLDVIEW2.dataset
    sources, details = WORLDVIEW2.sources(home), _images(home, "P")
    orders = {file: order for order, file in _images(home, "M").items()}
    for source in sources:
        guide = details.get(orders[source.path])
        if guide is None:
            raise InputError(f"{source.path} has no panchromatic image: wanted a file *-P2AS{orders[source.path]}.TIF")
        yield common_ground(source.name, read(source.path), read(guide), RATIO)


WORLDVIEW2 = Publication(
    dataset="worldview2",
    title="a WorldView-2 scene with 8 bands",
    publisher="Maxar (DigitalGlobe), page 'Product Samples', or the European Space Agency's third-party missions",
    layout="<order>_MUL/*-M2AS*.TIF and <order>_PAN/*-P2AS*.TIF",
    bands=(8,),
    wavelengths_nm=np.array([427.0, 478.0, 546.0, 608.0, 659.0, 724.0, 833.0, 949.0]),
    find=_find,
)
