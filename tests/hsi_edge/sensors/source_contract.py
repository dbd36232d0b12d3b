"""What every source promises (`hsi_edge.sensors.source.Source`), as one set of tests for all of them.

A source joins by a line in `CASES`: its name, and the function that makes its case, named as text and imported on use.
The function gets a folder of its own, and an ExitStack for what must be closed in the end.
"""

from __future__ import annotations

import importlib
import itertools
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from hsi_edge.errors import SensorEnded, SensorError, SensorTimeout
from hsi_edge.host_clock import host_time_ns
from hsi_edge.sensors.source import Source

CASES: dict[str, str] = {
    "images": "tests.hsi_edge.sensors.test_images:contract_case",
    "video": "tests.hsi_edge.sensors.test_video:contract_case",
    "usb": "tests.hsi_edge.sensors.test_camera:contract_case",
    "tcp": "tests.hsi_edge.sensors.test_tcp:contract_case",
    "folder": "tests.hsi_edge.sensors.test_watched_folder:contract_case",
    "reopening": "tests.hsi_edge.sensors.test_reopening:contract_case",
    "simulated": "tests.hsi_edge.sensors.test_simulated:contract_case",
}


@dataclass(kw_only=True)
class Case:
    """A source that will give `n_frames` frames.

    Attributes:
        source: Not open yet.
        n_frames: How many frames it gives, from 2.
        ends: Whether it says `SensorEnded` after them; else it is silent.
        feed: Called after each `open`, so that frames come.
        missing: A source of the same kind whose sensor is not there; None if there is no such thing.
        arrives_now: Whether its frames' arrival is the host's present time, as for all but those from a recording.
    """

    source: Source
    n_frames: int
    ends: bool
    feed: Callable[[], None] = lambda: None
    missing: Source | None = None
    arrives_now: bool = True


def make_case(name: str, folder: Path, stack: ExitStack) -> Case:
    """The case of that name."""
    module, _, function = CASES[name].partition(":")
    make = getattr(importlib.import_module(module), function)
    return cast(Callable[[Path, ExitStack], Case], make)(folder, stack)


class SourceContract:
    """Collected by test_source_contract.py, for each name."""

    @pytest.fixture(params=sorted(CASES))
    def case(self, request, tmp_path):
        with ExitStack() as stack:
            case = make_case(request.param, tmp_path, stack)
            stack.callback(case.source.close)
            yield case

    def test_frames_come_in_order_with_growing_times_and_belong_to_the_reader(self, case):
        case.source.open()
        case.feed()
        before_ns = host_time_ns()
        frames = [case.source.read(10) for _ in range(case.n_frames)]
        for one, next_one in itertools.pairwise(frames):
            assert one.sequence < next_one.sequence
            assert one.timestamp_ns < next_one.timestamp_ns
            assert one.arrival_ns <= next_one.arrival_ns
            assert not np.shares_memory(one.data, next_one.data)
        assert all(frame.data.flags.writeable for frame in frames)
        if case.arrives_now:
            assert before_ns - 60e9 < frames[0].arrival_ns <= frames[-1].arrival_ns <= host_time_ns()

    def test_after_the_last_frame_it_says_so_or_waits_no_longer_than_told(self, case):
        case.source.open()
        case.feed()
        for _ in range(case.n_frames):
            case.source.read(10)
        for _ in range(2):
            started_ns = host_time_ns()
            with pytest.raises(SensorEnded if case.ends else SensorTimeout):
                case.source.read(0.05)
            assert host_time_ns() - started_ns < 2e9

    def test_it_may_be_closed_at_any_time_twice_and_without_an_open(self, case):
        case.source.close()
        case.source.open()
        case.source.close()
        case.source.close()

    def test_a_closed_source_does_not_read(self, case):
        for prepare in (lambda: None, case.source.open):
            prepare()
            case.source.close()
            with pytest.raises(SensorError, match="open") as caught:
                case.source.read(0.01)
            assert not isinstance(caught.value, (SensorTimeout, SensorEnded))

    def test_it_may_be_opened_again(self, case):
        for _ in range(2):
            case.source.open()
            case.feed()
            assert case.source.read(10).data.ndim == 3
            case.source.close()

    def test_closing_from_another_thread_ends_a_waiting_read(self, case):
        case.source.open()
        case.feed()
        for _ in range(case.n_frames):
            case.source.read(10)
        outcome = []

        def wait():
            try:
                case.source.read(30)
            except SensorError as err:
                outcome.append(err)

        reader = threading.Thread(target=wait)
        reader.start()
        reader.join(0.1)  # time to begin to wait; an ended source does not
        case.source.close()
        reader.join(10)
        assert not reader.is_alive()
        assert len(outcome) == 1

    def test_a_sensor_that_is_not_there_is_a_clear_error_each_time(self, case):
        if case.missing is None:
            pytest.skip("this source has no sensor that could be missing")
        for _ in range(2):
            with pytest.raises(SensorError) as caught:
                case.missing.open()
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) > 20
        case.missing.close()
