"""From the images of a data set to the scenes of a split: choose, normalise, crop or tile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from export.data.published.protocols import Files, Place, Protocol, Tiles
from export.data.published.sources import Publication, Source
from export.data.scenes import Scene, Split
from hsi_edge.cube import Array
from hsi_edge.errors import InputError
from hsi_edge.io.window import row_blocks

Float = NDArray[np.float32]
Window = tuple[slice, slice]

_BLOCK_ROWS = 64
_WHOLE: Window = (slice(None), slice(None))


def scenes_of(folder: Path, publication: Publication, protocol: Protocol, split: Split) -> Iterator[Scene]:
    """The scenes of a split; see `export.data.published.published_scenes`."""
    if split not in protocol.splits:
        hint = f"; {protocol.note}" if protocol.note else ""
        raise InputError(f"{protocol.title} has no {split} split; it has {', '.join(protocol.splits)}{hint}")
    home = folder / publication.dataset / protocol.subset
    sources = publication.sources(home)
    if protocol.files is not None:
        sources = _chosen(sources, protocol.files, split, f"{protocol.title} ({home})")
    return _read_in_turn(sources, publication, protocol, split)


def cropped_to_ratio(cube: Float, ratio: int) -> Float:
    """The upper left part of `(rows, cols, bands)` whose sides are multiples of the ratio, as papers evaluate it."""
    rows, cols, _ = cube.shape
    return cube[: rows - rows % ratio, : cols - cols % ratio]


def tile_windows(shape: tuple[int, int], tiles: Tiles, split: Split) -> list[Window]:
    """The windows of a split's tiles in an image of `shape` (rows, cols), row by row.

    Raises:
        InputError: If the image is smaller than the grid.
    """
    down, across = tiles.down or shape[0] // tiles.rows, tiles.across or shape[1] // tiles.cols
    size = (down * tiles.rows, across * tiles.cols)
    top, left = _corner(shape, size, tiles.place)
    first_test = (down - int(tiles.test_share * down)) * across
    first_validation = down * across - tiles.validation
    bounds = {
        "train": range(first_test),
        "test": range(first_test, first_validation),
        "validation": range(first_validation, down * across),
    }
    corners = [(top + index // across * tiles.rows, left + index % across * tiles.cols) for index in bounds[split]]
    return [(slice(row, row + tiles.rows), slice(col, col + tiles.cols)) for row, col in corners]


def _chosen(sources: list[Source], files: Files, split: Split, where: str) -> list[Source]:
    if files.rule == "folders":
        return _by_folder(sources, files, split, where)
    train = round(files.train * len(sources)) if files.train < 1 else int(files.train)
    test = len(sources) - train if files.train < 1 else files.test
    if train + test > len(sources) or min(train, test) < 1:
        wanted = f"{train} to train and {test} to test" if files.train >= 1 else "at least one to train and one to test"
        raise InputError(f"{where} has {len(sources)} scenes; wanted {wanted}: get the others")
    if files.rule == "first_last":
        return sources[:train] if split == "train" else sources[-test:]
    order = np.random.default_rng(files.seed).permutation(len(sources))
    picked = order[:train] if split == "train" else order[train : train + test]
    return [sources[index] for index in sorted(picked)]


def _by_folder(sources: list[Source], files: Files, split: Split, where: str) -> list[Source]:
    found = [source for source in sources if any(part.lower().startswith(split) for part in source.path.parts[-3:-1])]
    wanted = int(files.train) if split == "train" else files.test
    if len(found) != wanted:
        raise InputError(f"{where} has {len(found)} scenes in its folder {split}*; wanted {wanted}")
    return found


def _read_in_turn(sources: list[Source], publication: Publication, protocol: Protocol, split: Split) -> Iterator[Scene]:
    bands = publication.bands
    for source in sources:
        array = source.open(source.path)
        if len(array.shape) != 3 or array.shape[2] not in bands:
            wanted = " or ".join(map(str, bands))
            raise InputError(f"{source.path} holds (rows, cols, bands) = {tuple(array.shape)}; wanted {wanted} bands")
        # A network has one number of bands: the first scene decides where a data set has several.
        bands = (array.shape[2],)
        windows = _windows(source, array, protocol, split)
        divisor = _divisor(source, array, protocol) if windows else 1.0
        for number, window in enumerate(windows):
            cube = _cut(array, window, protocol.bands, divisor)
            if protocol.tiles is not None and protocol.tiles.whole and not cube.any(axis=2).all():
                continue
            yield Scene(source.name if protocol.tiles is None else f"{source.name}-{split}-{number}", cube)
            del cube
        del array  # before the next one is read: each may fill much of the memory


def _windows(source: Source, array: Array, protocol: Protocol, split: Split) -> list[Window]:
    shape = (array.shape[0], array.shape[1])
    try:
        if protocol.tiles is not None:
            return tile_windows(shape, protocol.tiles, split)
        crop = protocol.crop
        if crop is None or split not in crop.splits:
            return [_WHOLE]
        top, left = _corner(shape, (crop.rows, crop.cols), crop.place)
        return [(slice(top, top + crop.rows), slice(left, left + crop.cols))]
    except InputError as err:
        raise InputError(f"{source.path}: {err}; {protocol.title} cannot use it") from err


def _corner(shape: tuple[int, int], size: tuple[int, int], place: Place) -> tuple[int, int]:
    """The upper left corner of a part of an image; half a pixel goes to the upper left."""
    room = (shape[0] - size[0], shape[1] - size[1])
    if min(room) < 0 or not all(size):
        raise InputError(f"it has {shape[0]} x {shape[1]} pixels; wanted at least {size[0]} x {size[1]}")
    return (0, 0) if place == "top_left" else (room[0] // 2, room[1] // 2)


def _cut(array: Array, window: Window, bands: int, divisor: float) -> Float:
    # MATLAB's arrays lie column by column in memory; networks want them row by row.
    cube: Float = np.array(array[window[0], window[1], slice(bands or None)], np.float32, order="C")
    cube /= np.float32(divisor)
    return cube


def _divisor(source: Source, array: Array, protocol: Protocol) -> float:
    """What the raw numbers are divided by."""
    if protocol.scaling == "constant":
        return protocol.full_scale
    if protocol.scaling == "stored_type" and array.dtype.kind in "ui":
        return float(np.iinfo(cast("np.dtype[np.integer[Any]]", array.dtype)).max)
    largest = max(float(np.max(array[rows])) for rows in row_blocks(array.shape[0], _BLOCK_ROWS))
    if not (np.isfinite(largest) and largest > 0):
        raise InputError(f"{source.path}: its largest value is {largest}; wanted a positive number")
    if protocol.scaling == "stored_type":
        # Copies in floating point hold 0 to 1 already, or the 16-bit numbers.
        return 1.0 if largest <= 1 else 65535.0
    return largest
