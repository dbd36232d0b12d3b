"""Global statistics: where a network's means over the frame come from when the frame is run in tiles.

A network that subtracts means over the frame (PZRes-Net), or weighs its features by them (GELIN), gives another result
for a tile than for the frame, unless the tile is given the frame's means. They are measured by running the network once
on images that stand for the frame:

| mode | what the network is run on to measure |
|---|---|
| `whole` | nothing: the frame is run in one piece, at any cost in memory |
| `exact` | the whole frame; the tiles then equal it, at any cost in memory |
| `reduced` | the frame reduced by 2 |
| `sampled` | windows of the frame at full resolution, spread evenly and put side by side |
| `previous` | as `sampled`, but of the frame before in a stream, so that no result waits for it |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsi_edge.frame import Frame
from hsi_edge.guide import strips
from hsi_edge.manifest import LR_IMAGES, StatisticsMode
from hsi_edge.resampling import Float
from hsi_edge.spread import spread
from hsi_edge.tiling.geometry import Region

SAMPLE_PX = 192
"""HR side of all windows of `sampled` together; a larger sample costs time and brings the tiles hardly closer."""

Images = dict[str, Float]


def sample_shape(tile_lr: int, ratio: int, alignment: int, grid_lr: tuple[int, int] | None = None) -> tuple[int, int]:
    """LR rows and columns of the images that `sampled` measures.

    Args:
        tile_lr: Largest side that memory allows.
        ratio: HR pixels per LR pixel.
        alignment: Of the model's tiles.
        grid_lr: Rows and columns of the frame, aligned; None for any large one.
    """
    largest = max(1, min(tile_lr, SAMPLE_PX // ratio) // alignment)
    if grid_lr is None:
        return largest * alignment, largest * alignment
    # At most a quarter of the frame: more costs time, and the tiles come close enough without.
    rows, cols = (min(largest, -(-length // alignment // 2)) * alignment for length in grid_lr)
    return rows, cols


def images_to_measure(frame: Frame, mode: StatisticsMode, sample_lr: tuple[int, int]) -> Images:
    """The graph's images, `(channels, rows, cols)` by name, whose statistics stand for the frame's.

    Args:
        frame: The frame.
        mode: Any but `whole`.
        sample_lr: Rows and columns of the sampled images, in LR pixels (`sample_shape`).
    """
    if mode == "exact":
        return frame.window(frame.grid).images
    return _reduced(frame) if mode == "reduced" else _sampled(frame, sample_lr)


def _reduced(frame: Frame) -> Images:
    rows, cols = frame.grid.shape
    # Whole LR pixels of the reduced frame, and as many as the alignment asks for.
    step = 2 * frame.alignment
    parts = []
    for first, last in strips(-(-rows // step), 4 * step * frame.ratio**2 * cols * len(frame.dead_bands)):
        images = frame.window(Region(first * step, min(rows, last * step), 0, cols)).images
        parts.append(
            {name: _halved(image, step if name in LR_IMAGES else step * frame.ratio) for name, image in images.items()}
        )
    return _joined(parts, axis=1)


def _halved(image: Float, multiple: int) -> Float:
    """Means of 2 x 2 pixels, the last row and column repeated up to an (even) multiple."""
    bands, rows, cols = image.shape
    padded = np.pad(image, ((0, 0), (0, -rows % multiple), (0, -cols % multiple)), mode="edge")
    halved: Float = padded.reshape(bands, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2).mean(axis=(2, 4))
    return halved


def _sampled(frame: Frame, lengths: tuple[int, int]) -> Images:
    unit, grid = frame.alignment, frame.grid.shape
    heights, widths = (spread(whole // unit, part // unit) for whole, part in zip(grid, lengths, strict=True))
    rows = [
        _joined([frame.window(Region(top, bottom, left, right).scaled(unit)).images for left, right in widths], axis=2)
        for top, bottom in heights
    ]
    return _joined(rows, axis=1)


def _joined(parts: Sequence[Images], axis: int) -> Images:
    return {name: np.concatenate([part[name] for part in parts], axis=axis) for name in parts[0]}
