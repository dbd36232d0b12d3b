"""Where the tiles of a frame lie. Integers only; rows before columns; all intervals are half-open."""

from __future__ import annotations

from dataclasses import dataclass

from hsi_edge.errors import TilingError


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels, rows `top` to `bottom` and columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def rows(self) -> tuple[int, int]:
        """First row and the one after the last."""
        return self.top, self.bottom

    @property
    def cols(self) -> tuple[int, int]:
        """First column and the one after the last."""
        return self.left, self.right

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index a `(rows, cols, ...)` array with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def scaled(self, ratio: int) -> Region:
        """The same ground on a grid with `ratio` times as many pixels per side."""
        return Region(self.top * ratio, self.bottom * ratio, self.left * ratio, self.right * ratio)

    def clipped(self, shape: tuple[int, int]) -> Region:
        """The part of it that lies in the first `shape` rows and columns."""
        return Region(self.top, min(self.bottom, shape[0]), self.left, min(self.right, shape[1]))

    def within(self, other: Region) -> Region:
        """This region in coordinates that count from `other`'s corner."""
        return Region(self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left)


@dataclass(frozen=True)
class Tile:
    """One step of a plan: what is read, and the part of it that is right and gets written."""

    read: Region
    core: Region


def plan_tiles(frame: tuple[int, int], tile: tuple[int, int], *, halo: int, alignment: int = 1) -> tuple[Tile, ...]:
    """Cut a frame into tiles of exactly one size, the last ones moved inwards.

    The cores cover every pixel once. Each keeps `halo` pixels to every side of its tile that is not the frame's border;
    at the border there is none, so that a network pads there as it does for a whole frame.

    Args:
        frame: Rows and columns, in LR pixels.
        tile: Rows and columns of a tile with its halo, in LR pixels; cut to the frame where it is larger.
        halo: Margin per side, in LR pixels.
        alignment: Origins and sizes of tiles are multiples of this.

    Raises:
        TilingError: The tile is too small to hold two halos and a core, or a size does not fit the alignment.
    """
    rows = _plan_axis(frame[0], min(tile[0], frame[0]), halo, alignment)
    cols = _plan_axis(frame[1], min(tile[1], frame[1]), halo, alignment)
    return tuple(
        Tile(Region(*read_rows, *read_cols), Region(*core_rows, *core_cols))
        for read_rows, core_rows in rows
        for read_cols, core_cols in cols
    )


Interval = tuple[int, int]


def _plan_axis(length: int, tile: int, halo: int, alignment: int) -> list[tuple[Interval, Interval]]:
    if length < 1:
        raise TilingError(f"a frame side has {length} pixels; it needs at least 1")
    if length % alignment or tile % alignment:
        raise TilingError(f"frame side {length} and tile side {tile} must be multiples of {alignment}")
    if tile == length:
        return [((0, length), (0, length))]
    step = (tile - 2 * halo) // alignment * alignment
    if step < 1:
        raise TilingError(
            f"a tile of {tile} LR pixels cannot hold a halo of {halo} on both sides and a core; "
            f"it needs at least {2 * halo + alignment}"
        )
    intervals = []
    done = 0
    for start in [*range(0, length - tile, step), length - tile]:
        end = length if start == length - tile else start + tile - halo
        intervals.append(((start, start + tile), (done, end)))
        done = end
    return intervals
