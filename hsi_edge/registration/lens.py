"""The radial distortion of the RGB camera's lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Radial distortion: an ideal point at distance `r` from the centre is seen at `r (1 + k1 r^2 + k2 r^4)`.

    The radial part of D. C. Brown, "Close-Range Camera Calibration", Photogrammetric Engineering 1971, with
    `r` in units of `radius_px`.

    Attributes:
        centre_x, centre_y: In RGB pixels, counted from the image's upper left corner.
        radius_px: The distance that counts as 1, such as half of the image's diagonal.
        k1, k2: Coefficients, without a unit.
    """

    centre_x: float
    centre_y: float
    radius_px: float
    k1: float
    k2: float = 0.0

    @classmethod
    def centred(cls, msi_shape: tuple[int, int], k1: float, k2: float = 0.0) -> Lens:
        """A lens about the middle of an image of that many rows and columns; half of its diagonal counts as 1."""
        rows, cols = msi_shape
        radius_px = float(np.hypot(rows, cols)) / 2
        return cls(centre_x=cols / 2, centre_y=rows / 2, radius_px=radius_px, k1=k1, k2=k2)

    def seen(self, points: Points) -> Points:
        """Where ideal points `(..., 2)`, as (x, y) in pixels, are seen."""
        centre = np.array([self.centre_x, self.centre_y])
        off = points - centre
        square = np.square(off).sum(axis=-1, keepdims=True) / self.radius_px**2
        seen: Points = centre + off * (1 + square * (self.k1 + square * self.k2))
        return seen
