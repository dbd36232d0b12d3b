"""Hyperspectral super-resolution on drones and field devices.

`HSIEngine` opens a model bundle and fuses frame pairs; `Cube` is a spectral image with its metadata, read and written
by `hsi_edge.io`.
"""

from __future__ import annotations

import importlib

from hsi_edge._version import __version__

TYPE_CHECKING = False  # as typing's own, which takes longer to import than all the rest before `hsi_edge.interrupt`
if TYPE_CHECKING:
    from hsi_edge.cube import Cube
    from hsi_edge.engine import HSIEngine
    from hsi_edge.errors import HSIEdgeError, InputError

__all__ = ["Cube", "HSIEdgeError", "HSIEngine", "InputError", "__version__"]

_HOMES = {"Cube": "cube", "HSIEdgeError": "errors", "HSIEngine": "engine", "InputError": "errors"}


def __getattr__(name: str) -> object:
    """Import what is asked for on its first use: the program must hear Ctrl-C before NumPy is there."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
