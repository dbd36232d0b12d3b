"""How large a tile should be: what fits into the memory budget, and of that what runs fastest on this device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hsi_edge.errors import TilingError
from hsi_edge.manifest import Tiling

CANDIDATE_SIDES_PX = (64, 96, 128, 160, 192, 256, 384)
"""HR sides that are tried. On a CPU the small ones win, as their features stay in cache; a GPU wants the large ones."""


def candidate_sides(tiling: Tiling, ratio: int, budget_bytes: int) -> tuple[int, ...]:
    """The tile sides in LR pixels that a budget allows, ascending.

    Raises:
        TilingError: Not even the smallest tile fits.
    """
    least = max(2 * tiling.halo_lr + tiling.alignment_lr, tiling.min_lr)
    wanted = {max(least, side // ratio) for side in CANDIDATE_SIDES_PX}
    aligned = {math.ceil(side / tiling.alignment_lr) * tiling.alignment_lr for side in wanted}
    fitting = {
        side
        for side in aligned
        if (side * ratio) ** 2 * tiling.bytes_per_px <= budget_bytes
        and (tiling.max_tile_lr == 0 or side <= tiling.max_tile_lr)
    }
    if not fitting:
        smallest = (min(aligned) * ratio) ** 2 * tiling.bytes_per_px
        raise TilingError(
            f"a memory budget of {budget_bytes / 2**20:.0f} MB holds no tile of this model; "
            f"the smallest needs {math.ceil(smallest / 2**20)} MB: raise memory_mb"
        )
    return tuple(sorted(fitting))


def measure_sides(sides: tuple[int, ...], seconds: Callable[[int], float]) -> dict[int, float]:
    """Time a tile of every side, ascending, and stop where larger ones have become clearly slower per pixel."""
    measured: dict[int, float] = {}
    best = math.inf
    for side in sides:
        measured[side] = seconds(side)
        per_pixel = measured[side] / side**2
        if per_pixel > 1.5 * best:
            break
        best = min(best, per_pixel)
    return measured


def fastest_side(frame: tuple[int, int], halo: int, measured: Mapping[int, float]) -> int:
    """The side, in LR pixels, that gets through a frame `(rows, cols)` in the least time."""

    def cost(side: int) -> float:
        tiles = 1
        shape = 1.0
        for length in frame:
            step = side - 2 * halo
            tiles *= 1 if length <= side else math.ceil((length - 2 * halo) / step)
            shape *= min(1.0, length / side)
        return tiles * shape * measured[side]

    return min(measured, key=cost)
