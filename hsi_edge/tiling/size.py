"""How large a tile should be: what fits into the memory budget, and of that what runs fastest on this device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from hsi_edge.errors import TilingError
from hsi_edge.manifest import Tiling

CANDIDATE_SIDES_PX = (64, 96, 128, 160, 192, 256, 384)
"""HR sides that are tried. On a CPU the small ones win, as their features stay in cache; a GPU wants the large ones."""
MOST_CUTS = 16
"""How many more cuts per axis than the fewest possible are considered."""


def candidate_sides(tiling: Tiling, ratio: int, budget_bytes: int) -> tuple[int, ...]:
    """The tile sides in LR pixels that a budget allows, ascending.

    Raises:
        TilingError: Not even the smallest tile fits.
    """
    unit, least = tiling.alignment_lr, _least_side(tiling)
    most = tiling.max_tile_lr or max(CANDIDATE_SIDES_PX)
    sides = {max(least, min(side // ratio, most) // unit * unit) for side in CANDIDATE_SIDES_PX}
    fitting = {side for side in sides if (side * ratio) ** 2 * tiling.bytes_per_px <= budget_bytes}
    if not fitting:
        smallest = (min(sides) * ratio) ** 2 * tiling.bytes_per_px
        raise TilingError(
            f"a memory budget of {budget_bytes / 2**20:.0f} MB holds no tile of this model; "
            f"the smallest needs {math.ceil(smallest / 2**20)} MB: raise memory_mb"
        )
    return tuple(sorted(fitting))


def fastest_tile(frame: tuple[int, int], tiling: Tiling, measured: Mapping[int, float]) -> tuple[int, int]:
    """The tile's rows and columns, in LR pixels, that get through a frame in the least time.

    Each axis is cut into equal parts, so that the last tile is not moved far inwards over what is already done.

    Args:
        frame: Rows and columns in LR pixels.
        tiling: Halo and alignment.
        measured: Seconds by side of a square tile; nothing larger than the largest is chosen.
    """
    sides = sorted(measured)
    per_pixel = [measured[side] / side**2 for side in sides]

    def cost(tile: tuple[int, int]) -> float:
        area = tile[0] * tile[1]
        tiles = _count(frame[0], tile[0], tiling) * _count(frame[1], tile[1], tiling)
        return tiles * area * float(np.interp(math.sqrt(area), sides, per_pixel))

    rows, cols = (_even_cuts(length, sides[-1], tiling) for length in frame)
    return min(itertools.product(rows, cols), key=cost)


def _even_cuts(length: int, largest: int, tiling: Tiling) -> list[int]:
    """The tile lengths that cut an axis into 1, 2, 3, ... equal parts, none above `largest`."""
    halo, alignment, least = tiling.halo_lr, tiling.alignment_lr, _least_side(tiling)
    most = MOST_CUTS + math.ceil(length / max(1, largest - 2 * halo))
    even = [math.ceil((length + 2 * halo * (parts - 1)) / parts / alignment) * alignment for parts in range(1, most)]
    return [tile for tile in dict.fromkeys(min(length, max(least, side)) for side in even) if tile <= largest]


def _least_side(tiling: Tiling) -> int:
    unit = tiling.alignment_lr
    return math.ceil(max(2 * tiling.halo_lr + unit, tiling.min_lr) / unit) * unit


def _count(length: int, tile: int, tiling: Tiling) -> int:
    if length <= tile:
        return 1
    step = (tile - 2 * tiling.halo_lr) // tiling.alignment_lr * tiling.alignment_lr
    return math.ceil((length - tile) / step) + 1
