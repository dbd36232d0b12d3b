"""The thread that reads sources: how often, at what cost, and what it does when one fails."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from hsi_edge.acceptance.telemetry import Signal, Sources
from hsi_edge.acceptance.telemetry.found import find_sources
from hsi_edge.acceptance.telemetry.sampler import Sampler

POWER, HEAT = Signal("power_w", "board"), Signal("temperature_c", "board")


class Source:
    name = "board"
    rails: ClassVar = {}

    def __init__(self, *, fails_after=1000, seconds=0.0):
        self.left, self.seconds = fails_after, seconds
        self.reads = 0

    def facts(self):
        return {"mode": "15W"}

    def read(self):
        self.reads += 1
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass
        self.left -= 1
        if self.left < 0:
            raise OSError("the bus is gone")
        return {POWER: 5.0}

    def close(self):
        pass


class Warm(Source):
    name = "warm"

    def read(self):
        self.reads += 1
        return {HEAT: 40.0}


def wait_for(source, reads):
    """On a busy machine a thread may wait long for its turn."""
    until = time.perf_counter() + 10
    while source.reads < reads and time.perf_counter() < until:
        time.sleep(0.005)


def test_values_are_kept_with_their_times():
    source = Source()
    with Sampler((source, Warm()), interval_s=0.01) as sampler:
        start = time.perf_counter()
        wait_for(source, 4)
        end = time.perf_counter()
    times, values = sampler.series(POWER)
    assert len(times) == len(values) >= 3
    assert (times[1:] > times[:-1]).all()
    assert set(sampler.within(POWER, (start, end))) == {5.0}
    assert sampler.signals("temperature_c") == [HEAT]


def test_even_the_shortest_block_is_read_at_its_end():
    with Sampler((Source(),)) as sampler:
        pass
    assert len(sampler.series(POWER)[0]) >= 1


def test_a_source_that_fails_is_named_and_the_others_go_on():
    warm = Warm()
    with Sampler((Source(fails_after=2), warm), interval_s=0.005) as sampler:
        wait_for(warm, 4)
    assert sampler.failed == {"board": "it stopped telling: the bus is gone"}
    assert len(sampler.series(HEAT)[0]) > len(sampler.series(POWER)[0]) == 2


def test_a_slow_source_is_read_less_often():
    with Sampler((Source(seconds=0.01),), interval_s=0.001) as sampler:
        time.sleep(0.2)
    # 2 percent of a core: after 10 ms of reading, half a second of rest.
    assert len(sampler.series(POWER)[0]) <= 2


def test_the_end_of_the_block_stops_the_reading_also_when_the_work_fails():
    sampler = Sampler((Source(),), interval_s=0.005)

    def work():
        with sampler:
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        work()
    count = len(sampler.series(POWER)[0])
    time.sleep(0.05)
    assert len(sampler.series(POWER)[0]) == count


def test_what_this_system_does_not_tell_is_told_with_its_reason():
    sources = find_sources()
    try:
        opened = {source.name for source in sources.opened}
        assert isinstance(sources, Sources)
        assert "process memory" in opened
        assert not opened & set(sources.untold)
        assert all(sources.untold.values())
    finally:
        sources.close()
