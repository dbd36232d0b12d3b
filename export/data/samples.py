"""What a training draws from, and the order in which it does."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

Float = NDArray[np.float32]
Images = dict[str, Float]
"""`(channels, rows, cols)` by name: the network's inputs, and `truth`."""


class Source(Protocol):
    """Gives training samples, or whole batches of them where `whole_batches` is set."""

    whole_batches: ClassVar[bool]

    @property
    def places(self) -> int:
        """How many different samples there are before augmentation; 1 where every draw is another one anyway."""

    def sample(self, place: int, rng: np.random.Generator) -> Images:
        """The sample at a place; what is random of it comes from `rng`."""


class EpochSamples(Dataset[dict[str, Tensor]]):
    """The samples of one epoch.

    All places are visited in random order, then again in another, and so on across the epochs: how long an epoch is
    makes no difference. Sample `i` of epoch `e` is always the same for the same seed, so a run that was killed goes on
    as if it had not been.

    Args:
        source: Where samples come from.
        length: Samples per epoch.
        seed: Of the run.
        epoch: From 0.
    """

    def __init__(self, source: Source, *, length: int, seed: int, epoch: int) -> None:
        self._source = source
        self._seed = (seed, epoch)
        self._places = _visited(range(epoch * length, (epoch + 1) * length), source.places, seed)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((*self._seed, index))
        images = self._source.sample(int(self._places[index]), rng)
        return {name: torch.from_numpy(np.ascontiguousarray(image)) for name, image in images.items()}


def _visited(numbers: range, places: int, seed: int) -> NDArray[np.int64]:
    """The places of the samples with these numbers, counted from the run's first one."""
    first, last = numbers.start // places, (numbers.stop - 1) // places
    rounds = [np.random.default_rng((seed, number)).permutation(places) for number in range(first, last + 1)]
    start = numbers.start - first * places
    return np.concatenate(rounds)[start : start + len(numbers)]
