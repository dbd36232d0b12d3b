"""The page on which a flight is watched, served by the device itself (see docs/viewer.md)."""

from __future__ import annotations

from hsi_edge.live.viewer.server import Viewer
from hsi_edge.live.viewer.settings import ViewerSettings
from hsi_edge.live.viewer.source import ViewerSource

__all__ = ["Viewer", "ViewerSettings", "ViewerSource"]
