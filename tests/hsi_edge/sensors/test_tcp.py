from __future__ import annotations

import itertools
import socket
import struct

import numpy as np
import pytest

from hsi_edge.errors import InputError, SensorError, SensorTimeout
from hsi_edge.records import record_from_plain
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.framing import bytes_from_frame
from hsi_edge.sensors.tcp import TcpSettings, TcpSource
from tests.hsi_edge.sensors.source_contract import Case


def frame_bytes(sequence, shape=(2, 3, 4)):
    data = np.full(shape, sequence, np.uint16)
    return bytes_from_frame(SensorFrame(data=data, timestamp_ns=sequence * 10, sequence=sequence, arrival_ns=0))


def settings(**changes):
    return TcpSettings(**{"source": "tcp", "listen": "127.0.0.1:0"} | changes)


def connected(source):
    return socket.create_connection(source.address, timeout=10)


def contract_case(folder, stack):
    source = TcpSource(settings())
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    sequences = itertools.count(step=3)

    def feed():
        peer = stack.enter_context(connected(source))
        first = next(sequences)
        peer.sendall(b"".join(frame_bytes(first + index) for index in range(3)))

    missing = TcpSource(settings(listen=f"127.0.0.1:{taken.getsockname()[1]}"))
    return Case(source=source, n_frames=3, ends=False, feed=feed, missing=missing)


@pytest.fixture
def source():
    source = TcpSource(settings(silence_s=0.5))
    source.open()
    yield source
    source.close()


def wait_for_refusal(source, count, reason):
    for _ in range(100):
        with pytest.raises(SensorTimeout) as caught:
            source.read(0.05)
        if source.refused == count and reason in str(caught.value):
            return
    pytest.fail(f"{source.refused} peers refused, with {source.error!r}; wanted {count} with {reason!r}")


def test_the_next_peer_may_connect_after_every_kind_of_bad_one(source):
    huge = struct.pack("<4sHHIQI", b"HSIF", 1, 0, 100, 2**40, 0)
    broken = bytearray(frame_bytes(1))
    broken[-1] ^= 1
    bad = {
        "something else": b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100,
        "payload of 1099511627776 bytes": huge,
        "damaged": bytes(broken),
        "completed no frame within 0.5 s": b"HSIF",
    }
    for count, (reason, data) in enumerate(bad.items(), 1):
        with connected(source) as peer:
            peer.sendall(data)
            wait_for_refusal(source, count, reason)
    with connected(source) as peer:
        peer.sendall(frame_bytes(1)[:-1])
        peer.close()
        wait_for_refusal(source, 5, "hung up inside a frame")
    with connected(source):
        wait_for_refusal(source, 6, "completed no frame")
    with connected(source) as peer:
        peer.sendall(frame_bytes(7))
        assert source.read(10).sequence == 7


def test_a_peer_that_trickles_bytes_is_dropped(source):
    data = frame_bytes(1)
    with connected(source) as peer:
        for start in range(len(data)):
            try:
                peer.sendall(data[start : start + 1])
            except OSError:
                break
            if source.refused:
                break
            with pytest.raises(SensorTimeout):
                source.read(0.03)
    wait_for_refusal(source, 1, "completed no frame")


def test_a_peer_that_floods_is_dropped_and_the_newest_frames_are_kept(source):
    tiny = frame_bytes(0, (1, 1, 1))
    with connected(source) as peer:
        try:
            for _ in range(50):
                peer.sendall(tiny * 100)
        except OSError:
            pass
        for _ in range(100):
            if source.refused:
                break
            source._stop.wait(0.05)
    assert "more than 1000 frames in a second" in source.error
    assert source.dropped >= 900
    for _ in range(4):
        source.read(1)
    with pytest.raises(SensorTimeout):
        source.read(0.01)


def test_a_slow_reader_gets_the_newest_frames(source):
    with connected(source) as peer:
        peer.sendall(b"".join(map(frame_bytes, range(20))))
        for _ in range(200):
            if source.dropped == 16:
                break
            source._stop.wait(0.02)
    assert [source.read(1).sequence for _ in range(4)] == [16, 17, 18, 19]
    assert source.dropped == 16


def test_a_peer_may_hang_up_between_frames_and_come_again(source):
    for sequence in range(3):
        with connected(source) as peer:
            peer.sendall(frame_bytes(sequence))
            assert source.read(10).sequence == sequence
    assert source.refused == 0


def test_it_listens_on_ipv6():
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    source = TcpSource(settings(listen="[::1]:0"))
    try:
        source.open()
    except SensorError as err:
        pytest.skip(f"this machine has no IPv6 loopback: {err}")
    try:
        with connected(source) as peer:
            peer.sendall(frame_bytes(5))
            assert source.read(10).sequence == 5
    finally:
        source.close()


def test_a_port_in_use_and_a_foreign_address_say_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = TcpSource(settings(listen=f"127.0.0.1:{other.getsockname()[1]}"))
        with pytest.raises(SensorError, match="another program listens there; stop it, or choose another port"):
            taken.open()
    with pytest.raises(SensorError, match="this machine has no such address"):
        TcpSource(settings(listen="192.0.2.1:9100")).open()


def test_a_restart_gets_its_port_back_at_once():
    source = TcpSource(settings())
    source.open()
    port = source.address[1]
    with connected(source) as peer:
        peer.sendall(frame_bytes(1))
        source.read(10)
        source.close()
    again = TcpSource(settings(listen=f"127.0.0.1:{port}"))
    again.open()
    again.close()


@pytest.mark.parametrize("listen", ["9100", "localhost", "127.0.0.1:", "127.0.0.1:99999", "::1:9100", ":9100", "a b:1"])
def test_what_is_no_address_is_refused(listen):
    with pytest.raises(InputError, match="wanted address and port"):
        TcpSource(settings(listen=listen))


def test_limits_must_be_positive():
    for change in ({"max_frame_mb": 0}, {"silence_s": 0.0}, {"silence_s": float("nan")}):
        with pytest.raises(InputError, match="must be positive"):
            TcpSource(settings(**change))


def test_its_settings_are_read_from_plain_values():
    assert record_from_plain(TcpSettings, {"source": "tcp"}) == TcpSettings(source="tcp")
