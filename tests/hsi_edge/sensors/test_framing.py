from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hsi_edge.errors import InputError, SensorError
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.framing import MAX_HEADER_BYTES, FrameReader, bytes_from_frame, frame_from_bytes

INT64 = st.integers(-(2**63), 2**63 - 1)
POSITIVE = st.none() | st.floats(0, 1e9)


@st.composite
def frames(draw):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4)))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    return SensorFrame(
        data=draw(arrays.arrays(dtype, shape)),
        timestamp_ns=draw(INT64),
        sequence=draw(INT64),
        arrival_ns=0,
        exposure_us=draw(POSITIVE),
        gain=draw(POSITIVE),
        mask=draw(st.none() | arrays.arrays(np.bool_, shape[:2])),
        wavelengths_nm=draw(st.none() | arrays.arrays(np.float64, shape[2], elements=st.floats(300, 2600))),
        quantity=draw(st.sampled_from(["dn", "radiance", "reflectance"])),
    )


def small_frame(sequence=3):
    return SensorFrame(
        data=np.arange(24, dtype=np.uint16).reshape(2, 3, 4),
        timestamp_ns=5,
        sequence=sequence,
        arrival_ns=0,
        mask=np.array([[True, False, True], [False, True, True]]),
        wavelengths_nm=np.array([450.0, 550.0, 650.0, 750.0]),
    )


def assert_same(frame, wanted, arrival_ns):
    assert frame.data.dtype == wanted.data.dtype
    np.testing.assert_array_equal(frame.data, wanted.data)
    for name in ("mask", "wavelengths_nm"):
        value, other = getattr(frame, name), getattr(wanted, name)
        assert (value is None) == (other is None)
        if value is not None:
            np.testing.assert_array_equal(value, other)
    for name in ("timestamp_ns", "sequence", "exposure_us", "gain", "quantity"):
        assert getattr(frame, name) == getattr(wanted, name)
    assert frame.arrival_ns == arrival_ns


def fed(reader, data, step):
    """What the reader makes of bytes that come in pieces of `step`."""
    found, start = [], 0
    while start < len(data):
        space = reader.space
        n_bytes = min(step, len(space), len(data) - start)
        space[:n_bytes] = data[start : start + n_bytes]
        start += n_bytes
        frame = reader.received(n_bytes, 9)
        found += [] if frame is None else [frame]
    return found


def message(header, payload, *, magic=b"HSIF", version=1, zero=0):
    """Bytes as another program would write them, its checksum right."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    start = struct.pack("<4sHHIQ", magic, version, zero, len(header), len(payload))
    return start + struct.pack("<I", zlib.crc32(start + header + payload)) + header + payload


HEADER = {"shape": [1, 2, 1], "dtype": "uint8", "timestamp_ns": 1, "sequence": 2}


@given(frame=frames())
@settings(max_examples=60)
def test_a_frame_comes_back_as_it_was(frame):
    assert_same(frame_from_bytes(bytes_from_frame(frame), 7), frame, 7)


@given(sent=st.lists(frames(), min_size=1, max_size=3), step=st.integers(1, 400))
@settings(max_examples=40)
def test_a_stream_gives_its_frames_however_it_is_cut(sent, step):
    received = fed(FrameReader(10_000), b"".join(map(bytes_from_frame, sent)), step)
    assert len(received) == len(sent)
    for frame, wanted in zip(received, sent, strict=True):
        assert_same(frame, wanted, 9)
        assert frame.data.flags.writeable


def test_every_truncation_is_refused():
    data = bytes_from_frame(small_frame())
    for length in range(len(data)):
        with pytest.raises(SensorError):
            frame_from_bytes(data[:length], 0)
        reader = FrameReader(10_000)
        assert fed(reader, data[:length], 1000) == []
        assert reader.is_inside_frame == (length > 0)
    with pytest.raises(SensorError, match="lengths"):
        frame_from_bytes(data + b"\0", 0)


def test_every_bit_flip_is_refused_or_waits_for_more_than_came():
    data = bytearray(bytes_from_frame(small_frame()))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SensorError):
            frame_from_bytes(data, 0)
        reader = FrameReader(10_000)
        try:
            assert fed(reader, data, 1000) == []
        except SensorError:
            pass
        else:
            assert reader.is_inside_frame
        data[bit // 8] ^= 1 << bit % 8
    assert_same(frame_from_bytes(data, 0), small_frame(), 0)


@given(data=st.binary(max_size=200), tail=st.binary(max_size=100))
def test_noise_never_crashes(data, tail):
    for noise in (data, b"HSIF\1\0\0\0" + data, message(data, tail), message(HEADER, tail)):
        try:
            frame_from_bytes(noise, 0)
            fed(FrameReader(1000), noise, 50)
        except SensorError:
            pass


def test_the_documented_bytes_of_a_frame_do_not_change():
    data = message(HEADER | {"mask": True}, b"\7\x09\x40")
    frame = frame_from_bytes(data, 4)
    np.testing.assert_array_equal(frame.data, [[[7], [9]]])
    np.testing.assert_array_equal(frame.mask, [[False, True]])
    written = bytes_from_frame(frame)
    assert written[:8] == b"HSIF\1\0\0\0"
    assert written.endswith(b"\7\x09\x40")


def test_a_big_frame_is_refused_before_it_is_allocated():
    reader = FrameReader(2**20)
    with pytest.raises(SensorError, match="bytes 12 to 19: a payload of 1099511627776 bytes"):
        fed(reader, struct.pack("<4sHHIQI", b"HSIF", 1, 0, 100, 2**40, 0), 1000)
    with pytest.raises(SensorError, match="bytes 8 to 11"):
        fed(FrameReader(2**40), struct.pack("<4sHHIQI", b"HSIF", 1, 0, MAX_HEADER_BYTES + 1, 5, 0), 1000)


def test_a_payload_that_the_header_does_not_explain_is_refused_before_it_is_allocated():
    header = json.dumps(HEADER).encode()
    reader = FrameReader(2**40)
    with pytest.raises(SensorError, match="shape, dtype and mask make 2"):
        fed(reader, struct.pack("<4sHHIQI", b"HSIF", 1, 0, len(header), 2**39, 0) + header, 1000)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"shape": [1, 2]}, "shape is"),
        ({"shape": [0, 2, 1]}, "shape is"),
        ({"shape": [1, 2, 1.5]}, "whole number"),
        ({"shape": [-1, -2, 1]}, "shape is"),
        ({"dtype": "float64"}, "dtype is 'float64'; wanted one of uint8, uint16, float32"),
        ({"timestamp_ns": "now"}, "timestamp_ns"),
        ({"timestamp_ns": 2**63}, "64 bits"),
        ({"sequence": None}, "sequence"),
        ({"exposure_us": float("nan")}, "exposure_us"),
        ({"wavelengths_nm": [1.0, 2.0]}, "2 wavelengths_nm for 1 channels"),
        ({"quantity": "albedo"}, "quantity"),
        ({"wavelength_nm": [500.0]}, "unknown key wavelength_nm .did you mean wavelengths_nm"),
    ],
)
def test_a_wrong_header_is_named(change, wanted):
    with pytest.raises(SensorError, match=wanted):
        frame_from_bytes(message(HEADER | change, b"\0\0"), 0)


@pytest.mark.parametrize("header", [b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b"null"])
def test_a_header_that_is_no_json_object_is_refused(header):
    with pytest.raises(SensorError, match="header"):
        frame_from_bytes(message(header, b"\0\0"), 0)


def test_a_newer_version_and_another_protocol_are_named():
    with pytest.raises(SensorError, match="version 2"):
        frame_from_bytes(message(HEADER, b"\0\0", version=2), 0)
    with pytest.raises(SensorError, match="something else"):
        frame_from_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 0)


def test_a_frame_that_json_cannot_hold_is_refused_when_it_is_written():
    frame = small_frame()
    object.__setattr__(frame, "gain", float("nan"))
    with pytest.raises(InputError, match="finite"):
        bytes_from_frame(frame)
    with pytest.raises(InputError, match="64 bits"):
        bytes_from_frame(small_frame(sequence=2**63))


def test_views_are_written_as_they_look():
    wide = np.arange(48, dtype=np.float32).reshape(4, 6, 2)
    frame = SensorFrame(data=wide[::-2, ::3].transpose(1, 0, 2), timestamp_ns=0, sequence=0, arrival_ns=0)
    np.testing.assert_array_equal(frame_from_bytes(bytes_from_frame(frame), 0).data, frame.data)
