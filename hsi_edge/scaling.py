"""What the networks see: numbers around 0 to 1, whatever the sensor's own numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PEAK_PERCENTILE = 99.9
"""Of all valid values of a frame; the few beyond it are mostly glints, which must not darken the rest."""


def frame_peak(lr_image: NDArray[Any]) -> float:
    """The value that `frame_peak` scaling maps to 1; 1 for a frame without positive values.

    Args:
        lr_image: The LR-HSI, or the MSI degraded to its grid, in any order of axes; NaN where there is no measurement.
    """
    # "lower" picks a value of the frame itself: exact in every dtype, and the same for every order of the pixels.
    peak = float(np.nanpercentile(lr_image, PEAK_PERCENTILE, method="lower"))
    return peak if peak > 0 else 1.0
