"""Hyperspectral super-resolution on drones and field devices.

`HSIEngine` opens a model bundle and fuses frame pairs; `Cube` is a spectral image with its metadata, read and written
by `hsi_edge.io`.
"""

from __future__ import annotations

from hsi_edge._version import __version__
from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import HSIEdgeError, InputError

__all__ = ["Cube", "HSIEdgeError", "HSIEngine", "InputError", "__version__"]
