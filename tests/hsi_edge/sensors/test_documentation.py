"""docs/sensors.md is what integrators copy from."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from hsi_edge.records import plain_from_yaml, record_from_plain
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
from hsi_edge.sensors.framing import frame_from_bytes
from hsi_edge.sensors.images import ImagesSettings, ImagesSource
from hsi_edge.sensors.tcp import TcpSettings, TcpSource
from hsi_edge.sensors.video import VideoSettings, VideoSource
from hsi_edge.sensors.watched_folder import FolderSettings, FolderSource

TEXT = (Path(__file__).parents[3] / "docs" / "sensors.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SOURCES = {
    "usb": (UsbSettings, UsbCamera),
    "rtsp": (RtspSettings, RtspCamera),
    "gstreamer": (GStreamerSettings, GStreamerCamera),
    "csi": (CsiSettings, CsiCamera),
    "video": (VideoSettings, VideoSource),
    "images": (ImagesSettings, ImagesSource),
    "folder": (FolderSettings, FolderSource),
    "tcp": (TcpSettings, TcpSource),
}


def plain(block):
    ((_, settings),) = plain_from_yaml(block.encode(), 10_000).items()
    return settings


def test_every_source_is_documented():
    assert {plain(block)["source"] for block in BLOCKS} == set(SOURCES)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: plain(block)["source"])
def test_every_snippet_makes_a_source(block, monkeypatch):
    monkeypatch.setenv("CAMERA_PASSWORD", "geheim")
    settings, source = SOURCES[plain(block)["source"]]
    source(record_from_plain(settings, plain(block))).close()


def test_the_bytes_of_the_example_are_right():
    prefix = bytes.fromhex(re.search(r"starts with\n\n```\n(.*?)```", TEXT, re.DOTALL)[1])
    header = re.search(r"with `(\{.*?\})`", TEXT)[1].encode()
    frame = frame_from_bytes(prefix + header + b"\x07\x09", 0)
    assert frame.data.ravel().tolist() == [7, 9]
    assert zlib.crc32(prefix[:20] + header + b"\x07\x09") == int.from_bytes(prefix[20:], "little")
