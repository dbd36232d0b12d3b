"""Global statistics: where a network's means over the frame come from when the frame is run in tiles.

A network that subtracts means over the frame (PZRes-Net) gives another result for a tile than for the frame, unless the
tile is given the frame's means. They are measured by running the network once on a pair that stands for the frame:

| mode | what the network is run on to measure |
|---|---|
| `whole` | nothing: the frame is run in one piece, at any cost in memory |
| `exact` | the whole frame; the tiles then equal it, at any cost in memory |
| `reduced` | the frame pair reduced by 2 |
| `sampled` | windows of the frame pair at full resolution, spread evenly and put side by side |
| `previous` | as `sampled`, but of the frame before in a stream, so that no result waits for it |
"""

from __future__ import annotations

import numpy as np

from hsi_edge.frame import Frame, strips
from hsi_edge.manifest import StatisticsMode
from hsi_edge.resampling import Float
from hsi_edge.tiling.geometry import Region

WINDOWS_PER_SIDE = 4
"""`sampled` takes this many windows along each axis."""
SAMPLE_PX = 192
"""HR side of all windows of `sampled` together; a larger sample costs time and brings the tiles hardly closer."""


def pair_to_measure(frame: Frame, mode: StatisticsMode, sample_lr: int) -> tuple[Float, Float | None]:
    """Base image and MSI, `(bands, rows, cols)`, whose statistics stand for the frame's.

    Args:
        frame: The frame.
        mode: Any but `whole`.
        sample_lr: Largest side of the sampled pair in LR pixels that memory allows.
    """
    if mode == "exact":
        base, msi, _ = frame.window(Region(0, frame.lr_shape[0], 0, frame.lr_shape[1]))
        return base, msi
    return _reduced(frame) if mode == "reduced" else _sampled(frame, sample_lr)


def _reduced(frame: Frame) -> tuple[Float, Float | None]:
    parts = []
    rows, cols = frame.lr_shape
    for first, last in strips(rows, 4 * frame.base.ratio**2 * cols * frame.base.remainder.shape[0]):
        base, msi, _ = frame.window(Region(first, last, 0, cols))
        parts.append((_halved(base), None if msi is None else _halved(msi)))
    bases, guides = zip(*parts, strict=True)
    return np.concatenate(bases, axis=1), None if guides[0] is None else np.concatenate(guides, axis=1)


def _halved(image: Float) -> Float:
    bands, rows, cols = image.shape
    even = image[:, : rows // 2 * 2, : cols // 2 * 2]
    halved: Float = even.reshape(bands, rows // 2, 2, cols // 2, 2).mean(axis=(2, 4))
    return halved


def _sampled(frame: Frame, side: int) -> tuple[Float, Float | None]:
    # At most a quarter of the frame: more costs time, and the tiles come close enough without.
    largest = min(side, max(1, SAMPLE_PX // frame.base.ratio))
    heights, widths = (_windows(length, min(largest, -(-length // 2))) for length in frame.lr_shape)
    strips_of_windows = []
    for top, bottom in heights:
        row = [frame.window(Region(top, bottom, left, right))[:2] for left, right in widths]
        bases, guides = zip(*row, strict=True)
        strips_of_windows.append(
            (np.concatenate(bases, axis=2), None if guides[0] is None else np.concatenate(guides, axis=2))
        )
    bases, guides = zip(*strips_of_windows, strict=True)
    return np.concatenate(bases, axis=1), None if guides[0] is None else np.concatenate(guides, axis=1)


def _windows(length: int, total: int) -> list[tuple[int, int]]:
    """Up to `WINDOWS_PER_SIDE` intervals of together `total` pixels, spread evenly over `length`, ends included."""
    count = max(1, min(WINDOWS_PER_SIDE, total))
    sizes = [total // count + (index < total % count) for index in range(count)]
    if count == 1:
        return [(0, total)]
    gap = (length - total) / (count - 1)
    starts = [round(index * gap) + sum(sizes[:index]) for index in range(count)]
    return [(start, start + size) for start, size in zip(starts, sizes, strict=True)]
