from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.data.samples import EpochSamples


class Places:
    """A sample tells its place, and a number that was drawn for it."""

    def __init__(self, places):
        self.places = places

    def sample(self, place, rng):
        return {"truth": np.full((1, 1, 1), place, np.float32), "drawn": rng.random((1, 1, 1), np.float32)}


def epoch(number, *, places=5, length=8, seed=3):
    return EpochSamples(Places(places), length=length, seed=seed, epoch=number)


def visited(samples):
    return [int(samples[index]["truth"]) for index in range(len(samples))]


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 5))
def test_all_places_are_visited_before_one_is_visited_again(places, length, epochs):
    order = [place for number in range(epochs) for place in visited(epoch(number, places=places, length=length))]
    for start in range(0, len(order) - places + 1, places):
        assert sorted(order[start : start + places]) == list(range(places))


@given(st.integers(1, 20), st.integers(1, 12))
def test_how_long_an_epoch_is_makes_no_difference_to_the_order(places, length):
    short = [place for number in range(4) for place in visited(epoch(number, places=places, length=length))]
    assert short == visited(epoch(0, places=places, length=4 * length))


def test_a_sample_is_the_same_for_the_same_seed_and_epoch_and_another_for_another():
    first, again, later, other = epoch(0), epoch(0), epoch(1), epoch(0, seed=4)
    drawn = [torch.stack([samples[index]["drawn"] for index in range(8)]) for samples in (first, again, later, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.isin(drawn[0], torch.stack(drawn[2:])).any()
    assert len(drawn[0].unique()) == 8
    assert visited(first) != visited(other)
