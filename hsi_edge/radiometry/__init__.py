"""Radiometry: from what a sensor counts to reflectance, with a mask of what it could not measure."""

from __future__ import annotations

from hsi_edge.radiometry.correction import Radiometry
from hsi_edge.radiometry.settings import RadiometrySettings, read_radiometry

__all__ = ["Radiometry", "RadiometrySettings", "read_radiometry"]
