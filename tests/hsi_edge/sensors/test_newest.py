from __future__ import annotations

import threading

import pytest

from hsi_edge.errors import SensorError, SensorTimeout
from hsi_edge.sensors.newest import Newest


def test_the_newest_items_are_kept_in_order_and_the_others_counted():
    newest = Newest(2)
    for item in range(5):
        newest.put(item)
    assert [newest.take(0, "x"), newest.take(0, "x")] == [3, 4]
    assert newest.dropped == 3
    with pytest.raises(SensorTimeout, match="the camera: no frame within 0 s"):
        newest.take(0, "the camera")


def test_what_came_before_a_failure_is_still_taken_and_nothing_after_it():
    newest = Newest()
    newest.put(1)
    newest.fail("unplugged")
    newest.fail("a later reason")
    newest.put(2)
    assert newest.take(0, "x") == 1
    for _ in range(2):
        with pytest.raises(SensorError, match="unplugged"):
            newest.take(0, "x")


def test_after_closing_nothing_is_taken():
    newest = Newest()
    newest.put(1)
    newest.fail("unplugged")
    newest.close("closed")
    with pytest.raises(SensorError, match="closed"):
        newest.take(0, "x")


def test_a_waiting_taker_gets_what_comes():
    newest = Newest()
    giver = threading.Timer(0.02, newest.put, ["late"])
    giver.start()
    assert newest.take(10, "x") == "late"
    giver.join()
