"""What every published data set is to the rest: named images that are opened one by one, and words for a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.published.protocols import Dataset
from hsi_edge.cube import Array
from hsi_edge.errors import InputError
from hsi_edge.io.matlab import read_matlab
from hsi_edge.io.window import LazyArray


@dataclass(frozen=True)
class Source:
    """An image of a data set, not yet read.

    Attributes:
        name: Unique within the data set.
        path: Its file, or its folder where it is a stack of files.
        open: Returns the raw numbers `(rows, cols, bands)`, upright, bands from short to long wavelengths; lazily
            where the format allows.
    """

    name: str
    path: Path
    open: Callable[[Path], Array]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A data set as published.

    Attributes:
        dataset: Its name here, and the name of its folder.
        title: What its publisher calls it.
        publisher: Who hands it out, and on which page.
        layout: The files that are wanted in its folder.
        bands: Numbers of bands that its files have.
        wavelengths_nm: Band centres of its usual form, in nanometres.
        find: Lists the images below a folder; empty if there are none.
        scenes: Names of all its images where they are known; other files are left alone, and each must be there.
    """

    dataset: Dataset
    title: str
    publisher: str
    layout: str
    bands: tuple[int, ...]
    wavelengths_nm: NDArray[np.float64]
    find: Callable[[Path], list[Source]]
    scenes: tuple[str, ...] = ()

    def sources(self, home: Path) -> list[Source]:
        """The images below `home`, sorted by name.

        Raises:
            InputError: If there are none, or one of them is missing or there twice.
        """
        found = sorted(self.find(home), key=lambda source: source.name) if home.is_dir() else []
        found = [source for source in found if source.name in self.scenes] if self.scenes else found
        if not found:
            problem = "holds no such image" if home.is_dir() else "is missing"
            raise InputError(
                f"{home} {problem}: {self.title} belongs there, as {self.layout}; get it from {self.publisher} "
                "(docs/data.md says more)"
            )
        for one, other in pairwise(found):
            if one.name == other.name:
                raise InputError(f"{home} holds {one.name} twice: {one.path} and {other.path}; keep one of them")
        if missing := sorted(set(self.scenes) - {source.name for source in found}):
            raise InputError(f"{home} lacks {', '.join(missing)}, as {self.layout}; get it from {self.publisher}")
        return found


def files_below(folder: Path, pattern: str) -> Iterator[Path]:
    """The files below a folder whose name matches in whatever case, without what archives made on a Mac bring along."""
    for path in sorted(folder.rglob("*")):
        matches = fnmatch(path.name.lower(), pattern.lower()) and not path.name.startswith(".")
        if matches and path.is_file() and "__MACOSX" not in path.parts:
            yield path


def matlab_sources(folder: Path, *variables: str) -> list[Source]:
    """One source per `.mat` file below a folder, its cube being the variable of one of these names."""
    return [Source(path.stem, path, matlab_opener(*variables)) for path in files_below(folder, "*.mat")]


def matlab_opener(*variables: str) -> Callable[[Path], Array]:
    """Opens the cube of a MATLAB file, version 7.3 (HDF5) lazily."""
    return partial(_open_matlab, variables)


def _open_matlab(variables: tuple[str, ...], path: Path) -> Array:
    return read_matlab(path, variables).data


def part(array: Array, rows: slice, cols: slice, bands: slice) -> LazyArray:
    """A window of an array that is read on access; slices without a step."""
    axes = [range(*index.indices(size)) for index, size in zip((rows, cols, bands), array.shape, strict=True)]
    starts = (axes[0].start, axes[1].start, axes[2].start)
    shape = (len(axes[0]), len(axes[1]), len(axes[2]))
    return LazyArray(shape, np.dtype(array.dtype), partial(_read_part, array, starts))


def _read_part(array: Array, starts: tuple[int, int, int], *window: slice) -> NDArray[Any]:
    moved = (slice(index.start + start, index.stop + start) for index, start in zip(window, starts, strict=True))
    return np.asarray(array[tuple(moved)])
