from __future__ import annotations

import socket

import pytest

from hsi_edge.live.viewer.access import host_allowed
from hsi_edge.live.viewer.settings import Place

HERE = Place(host="127.0.0.1", port=8080, loopback=True)
EVERYWHERE = Place(host="0.0.0.0", port=8080, loopback=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9000", "[::1]:8080", "LOCALHOST"])
def test_this_machines_own_names_are_answered(host):
    assert host_allowed(host, HERE)
    assert host_allowed(host, EVERYWHERE)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "[evil]"]
)
def test_a_name_that_another_sites_dns_points_at_us_is_not(host):
    assert not host_allowed(host, HERE)
    assert not host_allowed(host, EVERYWHERE)


def test_on_the_network_an_address_in_numbers_and_the_machines_name_are_answered():
    for host in ("192.168.4.1:8080", "[fe80::1]:8080", socket.gethostname(), f"{socket.gethostname()}.local:8080"):
        assert host_allowed(host, EVERYWHERE)
    assert not host_allowed("192.168.4.1:8080", HERE)
