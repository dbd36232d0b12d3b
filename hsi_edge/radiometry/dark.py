"""What a sensor counts without light, and which of its pixels count what they should not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.io import read
from hsi_edge.radiometry.settings import BlackLevel, DarkFrames

Float = NDArray[np.float32]

MAD_TO_DEVIATION = 1.4826
"""Standard deviations of a normal distribution per median absolute deviation."""
SMALLEST_DEVIATION_DN = 0.5
"""A quiet sensor's dark frame has a median absolute deviation of 0, and a step of one is no fault."""


@dataclass(frozen=True, eq=False)
class Dark:
    """The dark signal, `(rows, cols, bands)` with 1 for an axis along which it does not change.

    Attributes:
        offset: In DN; at no exposure, where `per_us` is given.
        per_us: What a microsecond of exposure adds, in DN; None if the signal does not depend on the exposure.
        hot: Pixels whose dark signal is out of line, `(rows, cols, bands)`; None if not looked for.
    """

    offset: Float
    per_us: Float | None = None
    hot: NDArray[np.bool_] | None = None

    def at(self, exposure_us: float | None, what: str) -> Float:
        """The dark signal of an exposure.

        Raises:
            InputError: It depends on the exposure, which is unknown; `what` says of what.
        """
        if self.per_us is None:
            return self.offset
        if exposure_us is None:
            raise InputError(
                f"the exposure of {what} is unknown, and the dark signal depends on it (dark.exposures_us); give it, "
                "or record dark frames with the flight's exposure alone and leave dark.exposures_us out"
            )
        signal: Float = self.offset + np.float32(exposure_us) * self.per_us
        return signal


def read_dark(settings: BlackLevel | DarkFrames | None) -> Dark:
    """The dark signal that settings describe; zero for None.

    Raises:
        InputError: A file cannot be read, or is of another size than the first.
    """
    if settings is None:
        return Dark(np.zeros((1, 1, 1), np.float32))
    if isinstance(settings, BlackLevel):
        return Dark(np.array(settings.level, np.float32).reshape(1, 1, -1))
    frames = read_frames(settings.files)
    hot = None if settings.hot_deviations is None else hot_pixels(frames.mean(axis=0), settings.hot_deviations)
    if len(set(settings.exposures_us)) < 2:
        return Dark(frames.mean(axis=0), None, hot)
    exposures = np.array(settings.exposures_us, np.float32)
    spread = exposures - exposures.mean()
    per_us = np.tensordot(spread, frames, axes=1) / np.float32((spread**2).sum())
    return Dark(frames.mean(axis=0) - exposures.mean() * per_us, per_us, hot)


def hot_pixels(dark: Float, deviations: float) -> NDArray[np.bool_]:
    """Which pixels of a dark frame `(rows, cols, bands)` are out of line, by the median and its absolute deviation."""
    off = np.abs(dark - np.median(dark, axis=(0, 1)))
    deviation = np.maximum(MAD_TO_DEVIATION * np.median(off, axis=(0, 1)), SMALLEST_DEVIATION_DN)
    return np.asarray(off > deviations * deviation)


def read_frames(files: Sequence[str]) -> Float:
    """Calibration frames as `(files, rows, cols, bands)`.

    Raises:
        InputError: A file cannot be read, or is of another size than the first.
    """
    frames: list[Float] = []
    for file in files:
        frames.append(read(file).physical())
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                f"{file} has shape {frames[-1].shape} and {files[0]} {frames[0].shape}; frames of one kind must be of "
                "one size"
            )
    return np.stack(frames)
