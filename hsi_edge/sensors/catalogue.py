"""Which source a flight file's sensor section names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hsi_edge.sensors.camera import (
    CsiCamera,
    CsiSettings,
    GStreamerCamera,
    GStreamerSettings,
    RtspCamera,
    RtspSettings,
    UsbCamera,
    UsbSettings,
)
from hsi_edge.sensors.images import ImagesSettings, ImagesSource
from hsi_edge.sensors.recorded import RecordedSettings, RecordedSource
from hsi_edge.sensors.source import Source
from hsi_edge.sensors.tcp import TcpSettings, TcpSource
from hsi_edge.sensors.video import VideoSettings, VideoSource
from hsi_edge.sensors.watched_folder import FolderSettings, FolderSource

RgbSettings = (
    UsbSettings | RtspSettings | CsiSettings | GStreamerSettings | VideoSettings | ImagesSettings | RecordedSettings
)
SpectralSettings = TcpSettings | FolderSettings | RecordedSettings

_SOURCES: dict[type, Callable[[Any], Source]] = {
    UsbSettings: UsbCamera,
    RtspSettings: RtspCamera,
    CsiSettings: CsiCamera,
    GStreamerSettings: GStreamerCamera,
    VideoSettings: VideoSource,
    ImagesSettings: ImagesSource,
    TcpSettings: TcpSource,
    FolderSettings: FolderSource,
    RecordedSettings: RecordedSource,
}


def source_of(settings: RgbSettings | SpectralSettings) -> Source:
    """The source that a section describes; nothing is opened yet.

    Raises:
        InputError: Its settings make no sense.
    """
    return _SOURCES[type(settings)](settings)
