from __future__ import annotations

import threading

import pytest

from hsi_edge.errors import MissingPackageError, SensorEnded, SensorError, SensorTimeout
from hsi_edge.sensors.images import ImagesSettings, ImagesSource
from hsi_edge.sensors.reopening import Reopening
from tests.hsi_edge.sensors.source_contract import Case
from tests.hsi_edge.sensors.test_images import write_pictures


def contract_case(folder, stack):
    path = write_pictures(folder / "pictures", ["a1.png", "a2.png", "a3.png"])
    return Case(
        source=Reopening(ImagesSource(ImagesSettings(source="images", folder=path, fps=50.0))), n_frames=3, ends=True
    )


class Scripted:
    """Plays a script: what each `open` and each `read` raises, or returns."""

    def __init__(self, opens=(), reads=()):
        self.opens, self.reads, self.calls = list(opens), list(reads), []

    def _play(self, name, script):
        self.calls.append(name)
        step = script.pop(0) if script else None
        if isinstance(step, Exception):
            raise step
        return step

    def open(self):
        self._play("open", self.opens)

    def read(self, timeout_s):
        return self._play("read", self.reads)

    def close(self):
        self.calls.append("close")


class Pauses:
    def __init__(self):
        self.seconds = []

    def wait(self, seconds):
        self.seconds.append(seconds)
        return False


def read_until(source, wanted):
    for _ in range(100):
        try:
            assert source.read(1) == wanted
        except SensorTimeout:
            continue
        return
    pytest.fail("no frame came")


def test_a_lost_source_is_closed_and_opened_again():
    inner = Scripted(reads=["one", SensorError("unplugged"), "two"])
    source = Reopening(inner, Pauses().wait)
    source.open()
    assert source.read(1) == "one"
    with pytest.raises(SensorTimeout, match="unplugged; it will be opened again"):
        source.read(1)
    read_until(source, "two")
    assert source.reopened == 1
    assert source.error == ""
    source.close()
    assert inner.calls[2:] == ["read", "read", "close", "open", "read", "close", "close"]


def test_pauses_double_up_to_half_a_minute_and_start_anew_after_a_frame():
    pauses = Pauses()
    inner = Scripted(
        opens=[SensorError("not there")] * 9,
        reads=["one", SensorError("unplugged"), "two"],
    )
    source = Reopening(inner, pauses.wait)
    source.open()
    read_until(source, "one")
    read_until(source, "two")
    source.close()
    assert pauses.seconds == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5]
    assert source.reopened == 2


def test_a_source_that_opens_and_fails_at_once_is_not_tried_faster_and_faster():
    pauses = Pauses()
    source = Reopening(Scripted(reads=[SensorError("lost")] * 3 + ["one"]), pauses.wait)
    source.open()
    read_until(source, "one")
    source.close()
    assert pauses.seconds == [0.5, 1, 2]


def test_while_it_waits_reads_time_out_with_the_error_and_close_is_prompt():
    source = Reopening(Scripted(opens=[SensorError("no camera")] * 5))
    source.open()
    assert source.error == "no camera"
    with pytest.raises(SensorTimeout, match="no camera"):
        source.read(0.01)
    source.close()
    assert source.reopened == 0
    assert "reopening" not in {thread.name for thread in threading.enumerate()}


def test_closing_does_not_wait_for_an_open_that_blocks():
    class Blocking(Scripted):
        def __init__(self):
            super().__init__(opens=[SensorError("no camera")])
            self.is_opening, self.let_go = threading.Event(), threading.Event()

        def open(self):
            super().open()
            self.is_opening.set()
            self.let_go.wait(20)

        def close(self):
            super().close()
            if self.is_opening.is_set():
                self.let_go.set()

    inner = Blocking()
    source = Reopening(inner, Pauses().wait)
    source.open()
    assert inner.is_opening.wait(10)
    with pytest.raises(SensorTimeout):
        source.read(0.01)
    source.close()
    assert inner.calls[-2:] == ["close", "close"]


def test_the_end_and_a_timeout_pass_through():
    source = Reopening(Scripted(reads=[SensorTimeout("silent"), SensorEnded("over")]))
    source.open()
    with pytest.raises(SensorTimeout, match="silent"):
        source.read(1)
    with pytest.raises(SensorEnded, match="over"):
        source.read(1)
    source.close()
    assert source.error == ""


def test_a_missing_package_is_raised_as_no_pause_helps():
    source = Reopening(Scripted(opens=[MissingPackageError("cv2")]))
    with pytest.raises(MissingPackageError):
        source.open()
    later = Reopening(Scripted(opens=[SensorError("lost"), MissingPackageError("cv2")]), Pauses().wait)
    later.open()
    with pytest.raises(MissingPackageError):
        read_until(later, "never")
    later.close()


def test_a_source_that_is_needed_now_and_is_not_there_is_an_error_at_once():
    source = Scripted(opens=[SensorError("no camera"), None], reads=["frame"])
    reopening = Reopening(source)
    with pytest.raises(SensorError, match="no camera"):
        reopening.open(needed=True)
    with pytest.raises(SensorError, match="not open"):
        reopening.read(0)
    reopening.open(needed=True)
    assert reopening.read(1) == "frame"
    reopening.close()


def test_it_can_be_closed_in_the_very_moment_in_which_the_source_is_lost():
    def read(source):
        with pytest.raises(SensorError):
            source.read(0)

    for _ in range(200):
        source = Reopening(Scripted(reads=[SensorError("the cable")]))
        source.open()
        reading = threading.Thread(target=read, args=(source,))
        reading.start()
        source.close()
        reading.join()
    assert not [thread for thread in threading.enumerate() if thread.name == "reopening" and thread.is_alive()]
