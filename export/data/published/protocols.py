"""How each paper used each data set: split, crop, normalisation, degradation, read from `protocols.yaml`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from export.data.degradation import BLURS
from export.data.scenes import Split
from hsi_edge.errors import InputError, ManifestError
from hsi_edge.records import plain_from_yaml, record_from_plain

Dataset = Literal[
    "cave",
    "harvard",
    "icvl",
    "nus",
    "foster",
    "chikusei",
    "pavia_centre",
    "pavia_university",
    "worldview2",
    "ncalm2018",
]
Paper = Literal["ssrnet", "gelin", "pzres", "msssf"]
Place = Literal["top_left", "centre"]

TABLE = Path(__file__).with_name("protocols.yaml")
_MAX_TABLE_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Files:
    """Whole scenes for each split, found in the order of their names.

    Attributes:
        rule: `random` draws without replacement; `first_last` takes the first for training and the last for testing;
            `folders` goes by the folder's name, `train*` or `test*`.
        train: How many scenes to train on; below 1 it is a share of those that are there, and the rest is for testing.
        test: How many scenes to test on.
        seed: Of the draw.
    """

    rule: Literal["random", "first_last", "folders"]
    train: float
    test: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """A regular grid of tiles without overlap, cut from each image of the data set.

    Attributes:
        rows, cols: Size of a tile in pixels.
        down, across: Number of tiles; 0 takes as many as fit.
        place: Where the grid lies in the image.
        test_share: Share of the grid's rows, from below, that are for testing; rounded down to whole rows.
        validation: How many of the testing tiles, from the end, are for validation instead.
        whole: Leave out tiles that reach beyond what the sensor saw: a pixel there is 0 in all bands.
    """

    rows: int
    cols: int
    down: int = 0
    across: int = 0
    place: Place = "top_left"
    test_share: float
    validation: int = 0
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A part of each scene, for the splits named."""

    place: Place
    rows: int
    cols: int
    splits: tuple[Split, ...]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What papers did with a data set; what they do not state is marked in `protocols.yaml`.

    Attributes:
        papers: Whose protocol it is.
        dataset: Which data set.
        origin: `paper`, or `own` where no paper gives one and this project fills the gap.
        subset: Folder within the data set's own that is used; empty for all of it.
        files, tiles: One of the two: how scenes come into a split.
        crop: Cut from the scene after it was normalised.
        scaling: What the numbers are divided by: the largest value of the `stored_type`, the largest value of the whole
            image (`image_maximum`), or a `constant`.
        full_scale: That constant.
        bands: How many bands are kept, from the first on; 0 keeps all.
        ratios: HR pixels per LR pixel that the paper reports.
        blur: Spatial degradation, a name in `export.data.degradation.BLURS`.
        response: Camera whose response makes the HR-MSI; `none` where the method uses the LR-HSI alone.
        note: What a user should know who asks for a split that is not there.
    """

    papers: tuple[Paper, ...]
    dataset: Dataset
    origin: Literal["paper", "own"]
    subset: str = ""
    files: Files | None = None
    tiles: Tiles | None = None
    crop: Crop | None = None
    scaling: Literal["stored_type", "image_maximum", "constant"]
    full_scale: float = 0.0
    bands: int = 0
    ratios: tuple[int, ...]
    blur: str
    response: Literal["nikon_d700", "none"]
    note: str = ""

    def __post_init__(self) -> None:
        if (self.files is None) == (self.tiles is None):
            raise ManifestError(f"{self.title} needs either 'files' or 'tiles'")
        if self.blur not in BLURS:
            raise ManifestError(f"{self.title} has blur {self.blur!r}; wanted one of {', '.join(BLURS)}")
        if (self.scaling == "constant") != (self.full_scale > 0):
            raise ManifestError(f"{self.title} needs a full_scale above 0 with scaling 'constant', and with no other")

    @property
    def title(self) -> str:
        """For messages: `ssrnet, gelin on cave`."""
        return f"{', '.join(self.papers)} on {self.dataset}"

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that hold something."""
        if self.tiles is None:
            return ("train", "test")
        has = {
            "train": self.tiles.test_share < 1,
            "validation": self.tiles.validation > 0,
            "test": self.tiles.test_share > 0,
        }
        return tuple(split for split in get_args(Split) if has[split])


@dataclass(frozen=True, kw_only=True)
class _Table:
    protocols: tuple[Protocol, ...]


@functools.cache
def protocols() -> tuple[Protocol, ...]:
    """All protocols."""
    return record_from_plain(_Table, plain_from_yaml(TABLE.read_bytes(), _MAX_TABLE_BYTES)).protocols


def find_protocol(dataset: Dataset, paper: Paper) -> Protocol:
    """The protocol of a paper for a data set.

    Raises:
        InputError: If there is none; names the data sets for which the paper has one.
    """
    for protocol in protocols():
        if protocol.dataset == dataset and paper in protocol.papers:
            return protocol
    used = [protocol.dataset for protocol in protocols() if paper in protocol.papers]
    if not used:
        raise InputError(f"there is no paper {paper!r}; there are {', '.join(get_args(Paper))}")
    raise InputError(f"there is no protocol of {paper} for {dataset!r}; there is one for {', '.join(used)}")
