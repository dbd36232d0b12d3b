"""Whether an RGB frame can be fused: it may be of the wrong size, black, overexposed, frozen or blurred."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.live.sharpness import sharpness
from hsi_edge.sensors.frame import SensorFrame

EVERY_PX = 16
"""Rows and columns of the grid that exposure is judged on."""
BRIGHT_PERCENTILE = 99
FULL = 0.98
"""Part of full scale from which on a value counts as saturated."""
RECENT, FEWEST = 31, 3
"""Good frames that a frame's sharpness is compared with: at most, and at least."""


@dataclass(frozen=True, kw_only=True)
class RgbHealthSettings:
    """From where on an RGB frame is not fused; the defaults were chosen by measurement.

    Attributes:
        full_scale: The camera's largest value; None for that of its number type, 1 for floating point.
        black: Part of full scale that 99 percent of a black frame stay below.
        saturated: Part of an overexposed frame's values that are saturated.
        frozen_frames: Exposures in a row with one and the same picture.
        sharpness: Part of its recent median that a blurred frame's sharpness falls below.
    """

    full_scale: float | None = None
    black: float = 0.06
    saturated: float = 0.5
    frozen_frames: int = 3
    sharpness: float = 0.35

    def __post_init__(self) -> None:
        if self.full_scale is not None and not self.full_scale > 0:
            raise InputError(f"the RGB camera's full_scale is {self.full_scale}; wanted a positive number")
        for name in ("black", "saturated", "sharpness"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; wanted a part, between 0 and 1")
        if self.frozen_frames < 2:
            raise InputError(f"frozen_frames is {self.frozen_frames}; wanted 2 or more: one frame is not frozen")


class RgbHealth:
    """Looks at RGB frames in their order; keeps the newest one and the sharpness of some good ones.

    Args:
        settings: From where on a frame is not fused.
        expected_shape: `(rows, cols)` that the rig was calibrated for.
        channels: That the model takes; 0 for any number.
    """

    def __init__(self, settings: RgbHealthSettings, expected_shape: tuple[int, int], channels: int = 0) -> None:
        self._settings = settings
        self._channels = channels
        self._expected = expected_shape
        self._newest: SensorFrame | None = None
        self._doubts: tuple[str, ...] = ()
        self._alike = 1
        self._sharp: deque[NDArray[np.float64]] = deque(maxlen=RECENT)

    def judge(self, frame: SensorFrame) -> tuple[str, ...]:
        """What speaks against fusing a frame, in words; empty where nothing does.

        An exposure that is handed in again, as a slow camera's is for two spectral frames, is judged as before.
        """
        if self._newest is not None and _exposure(frame) == _exposure(self._newest):
            return self._doubts
        if frame.data.shape[:2] != self._expected:
            # Neither its picture nor its sharpness is comparable with any other frame's.
            return (_wrong_size(frame.data.shape[:2], self._expected),)
        if self._channels not in (0, frame.data.shape[2]):
            return (f"the RGB frame has {frame.data.shape[2]} channels; the model takes {self._channels}",)
        self._alike = self._alike + 1 if self._newest is not None and _same(frame.data, self._newest.data) else 1
        self._newest = frame
        self._doubts = tuple(self._found(frame.data, frame.mask))
        return self._doubts

    def _found(self, data: NDArray[Any], mask: NDArray[np.bool_] | None) -> Iterator[str]:
        settings = self._settings
        some = data[::EVERY_PX, ::EVERY_PX]
        if mask is not None:
            # What lies in pixels that were not measured says nothing of the picture.
            some = some[mask[::EVERY_PX, ::EVERY_PX]]
            data = np.where(mask[:, :, None], data, data.dtype.type(0))
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            yield "the RGB frame holds values that are not finite"
            return
        scale = settings.full_scale or (1.0 if data.dtype.kind == "f" else float(np.iinfo(data.dtype).max))
        if some.size and (exposure := _exposure_doubt(some, scale, settings)):
            yield exposure
            return
        frozen = self._alike >= settings.frozen_frames
        if frozen:
            yield f"the RGB picture is frozen: {self._alike} exposures show the very same"
        sharp = sharpness(data[:, :, data.shape[2] // 2], scale)
        if sharp is None:
            return
        if len(self._sharp) >= FEWEST:
            part = float((sharp / np.median(self._sharp, axis=0)).min())
            if part < settings.sharpness:
                yield f"the RGB frame is blurred: {100 * part:.0f} % as sharp as those before it"
                return
        # The same picture again is no news of how sharp pictures are.
        if self._alike == 1:
            self._sharp.append(sharp)


def _exposure(frame: SensorFrame) -> tuple[int, int]:
    return frame.sequence, frame.timestamp_ns


def _wrong_size(got: tuple[int, ...], wanted: tuple[int, int]) -> str:
    return f"the RGB frame has {got[0]} x {got[1]} pixels; the rig was calibrated for {wanted[0]} x {wanted[1]}"


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two pictures are one; a live camera's noise differs in the very first pixels that are looked at."""
    few = (slice(None, None, EVERY_PX),) * 2
    return np.array_equal(one[few], other[few]) and np.array_equal(one, other)


def _exposure_doubt(some: NDArray[Any], scale: float, settings: RgbHealthSettings) -> str:
    bright = float(np.percentile(some, BRIGHT_PERCENTILE)) / scale
    if bright < settings.black:
        return f"the RGB frame is black (cap on, or underexposed): its brightest parts reach {100 * bright:.0f} %"
    part = float((some >= FULL * scale).mean())
    if part > settings.saturated:
        return f"the RGB frame is overexposed: {100 * part:.0f} % of it is saturated"
    return ""
