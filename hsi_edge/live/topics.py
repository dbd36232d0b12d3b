"""What a recording's messages are: the raw frames of both sensors, telemetry, outputs, and tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from hsi_edge.live.mcap_file import Stored, Topic
from hsi_edge.live.result import LiveResult
from hsi_edge.live.telemetry import TELEMETRY_SCHEMA, telemetry
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.framing import bytes_from_frame
from hsi_edge.sensors.stream import Stream

STREAMS: tuple[Stream, ...] = get_args(Stream)
Outputs = Literal["none", "float16", "float32"]
"""Whether results are recorded, and how their numbers are kept."""

_FRAMING = """The bytes of a sensor frame, version 1; all numbers are little endian.
bytes 0-3    HSIF
bytes 4-5    u16 version, 1
bytes 6-7    u16 zero
bytes 8-11   u32 length of the header
bytes 12-19  u64 length of the payload
bytes 20-23  u32 CRC-32 (IEEE 802.3, as in zlib) over bytes 0-19, the header and the payload
then         the header, JSON in UTF-8: shape [rows, cols, channels], dtype (uint8, uint16, float32), timestamp_ns (the
             sensor's clock), sequence, exposure_us, gain, wavelengths_nm, quantity (dn, radiance, reflectance), mask
then         the payload: pixels in C order; where mask is true also one bit per pixel, 1 where it is valid, the highest
             bit of a byte first, padded to a whole byte at the end
The message's log_time is when the frame reached the host, its publish_time is timestamp_ns.
"""
FLOAT16 = (("uint16", "bits of IEEE 754 float16"),)
FRAMES: Mapping[Stream, Topic] = {
    stream: Topic(
        name=f"/{stream}", encoding="hsif", schema_name="hsi_edge.SensorFrame", schema_encoding="hsif", schema=_FRAMING
    )
    for stream in STREAMS
}
TELEMETRY = Topic(
    name="/telemetry",
    encoding="json",
    schema_name="hsi_edge.Telemetry",
    schema_encoding="jsonschema",
    schema=json.dumps(TELEMETRY_SCHEMA),
)
OUTPUT = Topic(
    name="/output",
    encoding="hsif",
    schema_name="hsi_edge.SensorFrame",
    schema_encoding="hsif",
    schema=_FRAMING,
    metadata=FLOAT16,
)
RESERVED_NAMES = (*STREAMS, "telemetry", "output")
"""Topics that no tag may be called by."""
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def frame_message(stream: Stream, frame: SensorFrame) -> Stored:
    """A raw frame.

    Raises:
        InputError: If its numbers cannot be kept (see `bytes_from_frame`).
    """
    return Stored(
        topic=FRAMES[stream],
        log_time_ns=frame.arrival_ns,
        publish_time_ns=frame.timestamp_ns,
        sequence=frame.sequence,
        data=bytes_from_frame(frame),
    )


def telemetry_message(result: LiveResult, now_ns: int) -> Stored:
    """What is said of a result."""
    return Stored(
        topic=TELEMETRY,
        log_time_ns=now_ns,
        publish_time_ns=result.timestamp_ns,
        sequence=result.number,
        data=json.dumps(telemetry(result), allow_nan=False).encode(),
    )


def output_message(result: LiveResult, outputs: Literal["float16", "float32"], now_ns: int) -> Stored:
    """A result's pixels; float16 keeps 11 bits of each, and gives way to float32 in a frame that has larger numbers."""
    cube = result.hr_hsi
    data = np.asarray(cube.data, np.float32)
    if outputs == "float16" and np.nanmax(np.abs(data), initial=0.0) <= _FLOAT16_MAX:
        data = data.astype(np.float16).view(np.uint16)
    frame = SensorFrame(
        data=data,
        timestamp_ns=result.timestamp_ns,
        sequence=result.number,
        arrival_ns=now_ns,
        mask=cube.mask,
        wavelengths_nm=cube.wavelengths_nm,
        quantity=cube.quantity or "dn",
    )
    return Stored(
        topic=OUTPUT,
        log_time_ns=now_ns,
        publish_time_ns=result.timestamp_ns,
        sequence=result.number,
        data=bytes_from_frame(frame),
    )


def tag_topic(name: str) -> Topic:
    """The topic of a kind of tag, such as a position."""
    schema = json.dumps({"title": f"hsi_edge.tag.{name}", "type": "object"})
    return Topic(
        name=f"/{name}",
        encoding="json",
        schema_name=f"hsi_edge.tag.{name}",
        schema_encoding="jsonschema",
        schema=schema,
    )


def tag_message(topic: Topic, values: Mapping[str, object], timestamp_ns: int) -> Stored:
    """Something that was noted at a moment of the host's time.

    Raises:
        TypeError, ValueError: If a value is no JSON.
    """
    data = json.dumps(dict(values), allow_nan=False).encode()
    return Stored(topic=topic, log_time_ns=timestamp_ns, publish_time_ns=timestamp_ns, sequence=0, data=data)
