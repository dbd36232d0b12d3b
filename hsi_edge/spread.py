"""Windows that stand for a whole frame: a few, spread evenly over it."""

from __future__ import annotations

from hsi_edge.tiling.geometry import Region

WINDOWS_PER_SIDE = 4


def spread_windows(shape: tuple[int, int], total: int) -> list[Region]:
    """Windows of together at most `total` rows and `total` columns; the frame itself where it is no larger.

    Args:
        shape: Rows and columns of the frame.
        total: Of all windows together, along each axis.
    """
    rows, cols = (spread(length, min(total, length)) for length in shape)
    return [Region(*row, *col) for row in rows for col in cols]


def spread(length: int, total: int) -> list[tuple[int, int]]:
    """Up to `WINDOWS_PER_SIDE` intervals of together `total` pixels, spread evenly over `length`, ends included."""
    count = max(1, min(WINDOWS_PER_SIDE, total))
    if count == 1 or total == length:
        return [(0, total)]
    sizes = [total // count + (index < total % count) for index in range(count)]
    gap = (length - total) / (count - 1)
    starts = [round(index * gap) + sum(sizes[:index]) for index in range(count)]
    return [(start, start + size) for start, size in zip(starts, sizes, strict=True)]
