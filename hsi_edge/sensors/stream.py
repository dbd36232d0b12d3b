"""The two sensors' names, wherever frames of both meet."""

from __future__ import annotations

from typing import Literal

Stream = Literal["rgb", "spectral"]
