"""The loop over a frame's tiles on the CPU: prepare, compute, write the core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.frame import Frame
from hsi_edge.network import Network
from hsi_edge.resampling import Float
from hsi_edge.tiling.geometry import Tile

Progress = Callable[[int, int], None]
"""Called with the number of tiles done and of all tiles."""


def run_tiles(
    frame: Frame,
    tiles: tuple[Tile, ...],
    network: Network | None,
    statistics: Float | None,
    result: NDArray[Any],
    progress: Progress | None,
) -> float | None:
    """Run every tile and write its core; the next tile's inputs are made while the present one is computed.

    Args:
        frame: Prepared.
        tiles: Whose cores fill the frame.
        network: None for a model without a graph: the base image is the output.
        statistics: Of the frame, `(1, size)`; None where a network has none, or one tile is the frame.
        result: `(rows, cols, bands)`, written to.
        progress: See `Progress`.

    Returns:
        How far the output had to be corrected to agree with the LR-HSI, if the frame asks for that.
    """
    consistency = frame.consistency()
    with ThreadPoolExecutor(1, thread_name_prefix="hsi-edge-tile") as pool:
        ahead = pool.submit(frame.window, tiles[0].read)
        for done, tile in enumerate(tiles, 1):
            window = ahead.result()
            if done < len(tiles):
                ahead = pool.submit(frame.window, tiles[done].read)
            images = window.images
            output = images["base"] if network is None else network.refine(images, statistics)
            _write_core(frame, tile, output, window.valid, result)
            if consistency is not None:
                consistency.add(tile, output)
            if progress is not None:
                progress(done, len(tiles))
    return None if consistency is None else consistency.correct(result, frame.scale)


def _write_core(frame: Frame, tile: Tile, output: Float, valid: NDArray[np.bool_], result: NDArray[Any]) -> None:
    """Write the core of a tile, as far as it lies in the frame."""
    lr_core = tile.core.clipped(frame.lr_shape)
    inner = lr_core.within(tile.read).scaled(frame.ratio).slices
    core = result[lr_core.scaled(frame.ratio).slices]
    # Row by row, as a row of all bands fits the cache: three times as fast as turning the whole core at once.
    for line, row in zip(core, np.moveaxis(output[:, inner[0], inner[1]], 1, 0), strict=True):
        line[:] = frame.bands_from(row).T
    if not valid[inner].all():
        core[~valid[inner]] = np.nan
    if frame.dead_bands.any():
        core[:, :, frame.dead_bands] = np.nan
