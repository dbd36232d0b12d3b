from __future__ import annotations

import os
import socket

import pytest

from hsi_edge.live.sd_notify import ServiceNotifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """systemd's end: a socket, and the address as the service is told it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@hsi-edge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0"))
        listening.settimeout(5)
        yield listening, address


def test_a_service_says_that_it_is_ready_alive_and_stopping(manager):
    listening, address = manager
    notifier = ServiceNotifier({"NOTIFY_SOCKET": address})
    notifier.ready("two sensors")
    notifier.alive()
    notifier.status("fusion, 10 frames per second\nsecond line")
    notifier.stopping()
    assert [listening.recv(1000).decode() for _ in range(4)] == [
        "READY=1\nSTATUS=two sensors",
        "WATCHDOG=1",
        "STATUS=fusion, 10 frames per second second line",
        "STOPPING=1",
    ]


def test_nothing_is_sent_outside_of_systemd(monkeypatch):
    opened = []
    monkeypatch.setattr("socket.socket", lambda *_: opened.append(1))
    notifier = ServiceNotifier({})
    notifier.ready()
    notifier.alive("well")
    assert opened == []


def test_a_manager_that_is_gone_does_not_end_the_flight(tmp_path):
    ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive()
