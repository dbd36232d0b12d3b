from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import TilingError
from hsi_edge.tiling.geometry import Region, plan_tiles


@st.composite
def cuts(draw):
    """Frame, tile, halo and alignment that fit together."""
    unit = draw(st.integers(1, 3))
    halo = draw(st.integers(0, 5))
    least = -(-(2 * halo + unit) // unit)
    tile = tuple(unit * draw(st.integers(least, least + 8)) for _ in range(2))
    frame = tuple(unit * draw(st.integers(1, 40)) for _ in range(2))
    return frame, tile, halo, unit


@given(cuts())
def test_cores_cover_each_pixel_once(cut):
    frame, tile, halo, unit = cut
    written = np.zeros(frame, int)
    for step in plan_tiles(frame, tile, halo=halo, alignment=unit):
        written[step.core.slices] += 1
    assert (written == 1).all()


@given(cuts())
def test_each_read_has_the_full_size_lies_inside_and_is_aligned(cut):
    frame, tile, halo, unit = cut
    full = tuple(min(sides) for sides in zip(frame, tile, strict=True))
    for step in plan_tiles(frame, tile, halo=halo, alignment=unit):
        assert step.read.shape == full
        assert 0 <= step.read.top <= step.read.bottom <= frame[0]
        assert 0 <= step.read.left <= step.read.right <= frame[1]
        assert step.read.top % unit == step.read.left % unit == 0


@given(cuts())
def test_each_core_keeps_the_halo_on_every_side_but_the_frames_border(cut):
    frame, tile, halo, unit = cut
    for step in plan_tiles(frame, tile, halo=halo, alignment=unit):
        read, core = step.read, step.core
        sides = [
            (core.top - read.top, read.top == 0),
            (read.bottom - core.bottom, read.bottom == frame[0]),
            (core.left - read.left, read.left == 0),
            (read.right - core.right, read.right == frame[1]),
        ]
        for margin, at_border in sides:
            assert margin >= (0 if at_border else halo)


def in_tiles(image, tiles, function):
    result = np.empty_like(image)
    for step in tiles:
        result[step.core.slices] = function(image[step.read.slices])[step.core.within(step.read).slices]
    return result


def box_sum(radius):
    """A local filter with zero padding, as a network's."""

    def apply(image):
        padded = np.pad(image, radius)
        return np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1, 2 * radius + 1)).sum(axis=(2, 3))

    return apply


@given(cuts(), st.integers(0, 2**32 - 1))
def test_an_identity_comes_back_bit_for_bit(cut, seed):
    frame, tile, halo, unit = cut
    image = np.random.default_rng(seed).random(frame)
    tiles = plan_tiles(frame, tile, halo=halo, alignment=unit)
    np.testing.assert_array_equal(in_tiles(image, tiles, lambda part: part), image)


@given(cuts(), st.data())
def test_a_filter_within_the_halo_gives_the_same_tiled_as_whole(cut, data):
    frame, tile, halo, unit = cut
    local = box_sum(data.draw(st.integers(0, halo)))
    # Whole numbers, so that no order of sums matters.
    image = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).integers(0, 1000, frame)
    tiles = plan_tiles(frame, tile, halo=halo, alignment=unit)
    np.testing.assert_array_equal(in_tiles(image, tiles, local), local(image))


def test_a_filter_beyond_the_halo_shows_at_the_seams():
    image = np.random.default_rng(0).integers(0, 1000, (20, 20))
    tiles = plan_tiles((20, 20), (8, 8), halo=2)
    assert (in_tiles(image, tiles, box_sum(3)) != box_sum(3)(image)).any()


def test_the_last_tile_moves_inwards():
    tiles = plan_tiles((10, 4), (4, 4), halo=0)
    assert [step.read.rows for step in tiles] == [(0, 4), (4, 8), (6, 10)]
    assert [step.core.rows for step in tiles] == [(0, 4), (4, 8), (8, 10)]


def test_a_frame_within_one_tile_is_one_tile_without_margin():
    (step,) = plan_tiles((5, 7), (64, 64), halo=3)
    assert step.read == step.core == Region(0, 5, 0, 7)


@pytest.mark.parametrize(
    ("frame", "tile", "halo", "unit", "message"),
    [
        ((20, 20), (6, 6), 3, 1, "cannot hold a halo of 3 on both sides and a core; it needs at least 7"),
        ((20, 20), (7, 20), 3, 2, "frame side 20 and tile side 7 must be multiples of 2"),
        ((21, 20), (8, 8), 1, 2, "frame side 21 and tile side 8 must be multiples of 2"),
        ((0, 20), (8, 8), 1, 1, "a frame side has 0 pixels; it needs at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(frame, tile, halo, unit, message):
    with pytest.raises(TilingError, match=message):
        plan_tiles(frame, tile, halo=halo, alignment=unit)
