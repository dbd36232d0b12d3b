"""What a sensor hands out: one exposure with its time and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Quantity
from hsi_edge.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorFrame:
    """One exposure of one sensor. Its arrays belong to the receiver: no source writes to them again.

    Attributes:
        data: `(rows, cols, channels)` of uint8, uint16 or float32: red, green, blue for a camera, the bands for a
            spectral sensor, one channel for a raw mosaic.
        timestamp_ns: When it was exposed, by the sensor's own clock, which need not be the host's; a sensor without a
            clock gives the time of arrival.
        sequence: The sensor's count of exposures; gaps are frames that were lost on the way.
        arrival_ns: When it reached the host, by `hsi_edge.host_clock`.
        exposure_us: Exposure time in microseconds; None if unknown.
        gain: Linear amplification, 1 for none; None if unknown.
        mask: `(rows, cols)` bool, True where the pixel is valid; None if all are.
        wavelengths_nm: Band centres, `(channels,)`, ascending; None for a camera or if unknown.
        quantity: What the numbers are.
    """

    data: NDArray[Any]
    timestamp_ns: int
    sequence: int
    arrival_ns: int
    exposure_us: float | None = None
    gain: float | None = None
    mask: NDArray[np.bool_] | None = None
    wavelengths_nm: NDArray[np.float64] | None = None
    quantity: Quantity = "dn"

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or 0 in self.data.shape:
            raise InputError(f"a frame is (rows, cols, channels), not empty; this one has shape {self.data.shape}")
        if self.data.dtype not in (np.uint8, np.uint16, np.float32):
            raise InputError(f"a frame is uint8, uint16 or float32; this one is {self.data.dtype}")
        if self.mask is not None and self.mask.shape != self.data.shape[:2]:
            raise InputError(f"the mask has shape {self.mask.shape}; the frame has {self.data.shape[:2]}")
        if self.wavelengths_nm is not None and self.wavelengths_nm.shape != self.data.shape[2:]:
            raise InputError(
                f"there are {self.wavelengths_nm.size} wavelengths for a frame of {self.data.shape[2]} channels"
            )
