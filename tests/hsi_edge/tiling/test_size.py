from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import TilingError
from hsi_edge.manifest import Tiling
from hsi_edge.tiling.geometry import plan_tiles
from hsi_edge.tiling.size import CANDIDATE_SIDES_PX, candidate_sides, fastest_tile


def test_sides_are_hr_pixels_over_the_ratio():
    assert candidate_sides(Tiling(halo_lr=1), 8, 1 << 30) == tuple(side // 8 for side in CANDIDATE_SIDES_PX)


def test_a_smaller_budget_leaves_smaller_tiles():
    tiling = Tiling(halo_lr=1, bytes_per_px=1000)
    all_sides = candidate_sides(tiling, 4, 1 << 30)
    some = candidate_sides(tiling, 4, 30 << 20)
    assert 0 < len(some) < len(all_sides)
    assert some == all_sides[: len(some)]
    assert (some[-1] * 4) ** 2 * 1000 <= 30 << 20 < (all_sides[len(some)] * 4) ** 2 * 1000


@given(
    st.integers(0, 12), st.integers(1, 4), st.integers(1, 6), st.integers(0, 30), st.integers(1, 16), st.integers(1, 90)
)
def test_each_side_holds_two_halos_is_aligned_and_within_the_models_limit(halo, unit, min_lr, room, ratio, length):
    least = math.ceil(max(2 * halo + unit, min_lr) / unit) * unit
    most = 0 if room == 0 else least + room
    tiling = Tiling(halo_lr=halo, alignment_lr=unit, min_lr=min_lr, max_tile_lr=most)
    for side in candidate_sides(tiling, ratio, 1 << 40):
        assert side % unit == 0
        assert least <= side <= (most or max(least, CANDIDATE_SIDES_PX[-1]))
        assert plan_tiles((length * unit, length * unit), (side, side), halo=halo, alignment=unit)


def test_a_budget_without_room_for_a_tile_says_how_much_it_needs():
    with pytest.raises(TilingError, match="of 1 MB holds no tile of this model; the smallest needs 16 MB: raise mem"):
        candidate_sides(Tiling(halo_lr=1, bytes_per_px=4096), 8, 1 << 20)


@given(
    st.integers(0, 12),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sets(st.integers(0, 40), min_size=1, max_size=4),
    st.data(),
)
def test_the_fastest_tile_can_be_planned_and_is_none_too_large(halo, unit, min_lr, rooms, data):
    tiling = Tiling(halo_lr=halo, alignment_lr=unit, min_lr=min_lr)
    least = math.ceil(max(2 * halo + unit, min_lr) / unit) * unit
    measured = {least + room * unit: data.draw(st.floats(0.001, 10)) for room in rooms}
    frame = tuple(unit * data.draw(st.integers(math.ceil(min_lr / unit), 90)) for _ in range(2))
    tile = fastest_tile(frame, tiling, measured)
    assert max(tile) <= max(measured)
    for length, side in zip(frame, tile, strict=True):
        assert side >= min(length, least)
    assert plan_tiles(frame, tile, halo=halo, alignment=unit)


def test_tiles_are_cut_evenly():
    # Two tiles of 64 would do 20 rows twice, besides the halo.
    rows, cols = fastest_tile((100, 40), Tiling(halo_lr=4), {64: 1.0})
    assert (rows, cols) == (54, 40)
    tiles = plan_tiles((100, 40), (rows, cols), halo=4)
    assert [step.core.rows for step in tiles] == [(0, 50), (50, 100)]


def test_small_tiles_are_taken_where_they_are_clearly_faster_per_pixel():
    tiling = Tiling(halo_lr=1)
    even, slow = {16: 0.01 * 16**2, 64: 0.01 * 64**2}, {16: 0.01 * 16**2, 64: 1.0 * 64**2}
    assert fastest_tile((62, 62), tiling, even) == (62, 62)
    assert max(fastest_tile((62, 62), tiling, slow)) <= 24
    # A wide halo is done again in every small tile.
    assert min(fastest_tile((200, 200), Tiling(halo_lr=7), even)) > 32
