from __future__ import annotations

import pytest

from hsi_edge.errors import InputError
from hsi_edge.live.viewer.settings import ViewerSettings, checked_place

TOKEN = "long enough a token"


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65535)],
)
def test_this_machine_needs_no_token(address, host, port):
    place = checked_place(ViewerSettings(address=address))
    assert (place.host, place.port, place.loopback) == (host, port, True)


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "192.168.4.1:8080", "[::]:8080", "drone.local:8080"])
def test_any_other_address_needs_a_token_and_says_how_to_make_one(address):
    with pytest.raises(InputError, match=r"needs a token; make one with: python3 -c .*token_urlsafe"):
        checked_place(ViewerSettings(address=address))
    assert not checked_place(ViewerSettings(address=address, token=TOKEN)).loopback


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"address": "8080"}, "wanted HOST:PORT"),
        ({"address": "127.0.0.1:70000"}, "wanted HOST:PORT"),
        ({"address": "::1:8080"}, "wanted HOST:PORT"),
        ({"token": "short"}, "wanted 16 or more"),
        ({"fps": 0}, "more than 0"),
        ({"clients": 0}, "wanted 1 to 64"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        checked_place(ViewerSettings(**wrong))
