"""A whole result, degraded to the LR grid again, in the order of its own array and on the calling thread alone."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.resampling import LARGEST_UNSHARED, Blur, Float, decimate_rows


def degraded_frame(image: NDArray[Any], ratio: int, blur: Blur) -> Float:
    """Blur and decimate `(H, W, bands)` to `(H // ratio, W // ratio, bands)`, as `hsi_edge.resampling.degrade` does.

    Of a fused frame this costs about what reading it from memory costs; to put bands first would cost several times as
    much. A value that is not finite spoils what its band has in the LR pixels whose taps touch it, and nothing else.
    """
    frame = np.ascontiguousarray(image, np.float32)
    rows, cols, bands = frame.shape
    with np.errstate(invalid="ignore", over="ignore"):
        narrow = _decimated(frame.reshape(rows, cols * bands), ratio, blur)
        return _decimated(narrow.reshape(-1, cols, bands), ratio, blur)


def _decimated(image: Float, ratio: int, blur: Blur) -> Float:
    """Blur and decimate the last axis but one.

    One LR pixel after the other: a product for several would multiply zeros, which keep no NaN out, and is no faster.
    """
    *ahead, length, width = image.shape
    matrix = _decimation(length, ratio, blur)
    result = np.empty((*ahead, len(matrix), width), np.float32)
    columns = max(1, LARGEST_UNSHARED // len(blur.taps))
    for pixel, weights in enumerate(matrix):
        start = max(0, pixel * ratio + blur.offset)
        stop = min(length, pixel * ratio + blur.offset + len(blur.taps))
        for left in range(0, width, columns):
            part = slice(left, left + columns)
            result[..., pixel, part] = weights[start:stop] @ image[..., start:stop, part]
    return result


@functools.lru_cache(maxsize=16)
def _decimation(length: int, ratio: int, blur: Blur) -> Float:
    """`(length // ratio, length)`: blur and decimation along an axis as a matrix, the border included."""
    unit = np.eye(length, dtype=np.float32)[None]
    whole: Float = decimate_rows(unit, ratio, blur, (0, length // ratio), (True, True))[0]
    return whole
