"""The published data sets of the papers, from the files as their publishers lay them out (see docs/data.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.data.published.catalogue import DATASETS
from export.data.published.cutting import cropped_to_ratio, scenes_of
from export.data.published.protocols import Dataset, Paper, Protocol, find_protocol
from export.data.scenes import Scene, Split

__all__ = [
    "Dataset",
    "Paper",
    "Protocol",
    "cropped_to_ratio",
    "find_protocol",
    "published_scenes",
    "wavelengths_nm",
]


def published_scenes(folder: Path, dataset: Dataset, paper: Paper, split: Split) -> Iterator[Scene]:
    """The scenes of a split as the paper had them, one at a time, the same ones in the same order on every call.

    Args:
        folder: Published data, with one folder per data set in it (`cave`, `harvard`, ...).
        dataset: Which data set.
        paper: Whose split, crop and normalisation.
        split: Which scenes.

    Returns:
        Scenes of `(rows, cols, bands)` float32, normalised as in that paper; a file is read when its turn comes.

    Raises:
        InputError: At once, if the paper has no such data set or split, or files are missing (says which, where they
            belong and who publishes them); while iterating, if a file holds something else than it should.
    """
    return scenes_of(folder, DATASETS[dataset], find_protocol(dataset, paper), split)


def wavelengths_nm(dataset: Dataset) -> NDArray[np.float64]:
    """Band centres of a data set as published, in nanometres, ascending."""
    return np.array(DATASETS[dataset].wavelengths_nm)
