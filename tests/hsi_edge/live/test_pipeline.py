from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_edge.engine import HSIEngine
from hsi_edge.errors import EngineLoadError, HSIEdgeError, RecordingError, SensorError
from hsi_edge.live import pipeline
from hsi_edge.live.assembly import open_live
from hsi_edge.live.recording import Recording
from hsi_edge.live.result import LiveResult
from hsi_edge.live.self_check import SelfCheckSettings
from hsi_edge.sensors.simulated import SimulatedSource
from tests.hsi_edge.live.flights import SIDE, Kept, fault, flown, made_flight, slow_down
from tests.hsi_edge.live.live_results import wait_until

pytestmark = pytest.mark.usefixtures("no_thread_left")


def test_a_flight_is_fused_while_the_rgb_is_good_and_goes_on_without_it_otherwise(ground: Path) -> None:
    results, status = flown(made_flight(ground, faults=[fault("rgb_black")]))
    assert [result.mode[0] for result in results] == list("ffffssssff")
    assert [result.number for result in results] == list(range(10))
    assert [result.pair.spectral.sequence for result in results] == list(range(10))
    assert "black" in results[4].reason
    assert [result.reason for result in results[6:8]] == [f"RGB is back: {n} of 3 good frames" for n in (1, 2)]
    assert (status.results, status.fused, status.failed, status.skipped, status.flagged) == (10, 6, 0, 0, 0)
    assert (status.rgb.frames, status.spectral.frames) == (50, 10)
    assert status.latencies["age"].worst_ms > 0
    assert status.warnings == ()


def test_each_result_says_what_it_was_made_of(ground: Path) -> None:
    results, _ = flown(made_flight(ground, seconds=2.0, faults=[fault("rgb_black", 1.0)]))
    fused, single = results[0], results[2]
    assert fused.hr_hsi.data.shape == (8 * SIDE, 8 * SIDE, 31)
    assert fused.hr_hsi.wavelengths_nm is not None
    assert fused.hr_msi is not None
    assert fused.refinement is not None
    assert fused.report.bundle.startswith("regression")
    assert not fused.check.flagged
    assert fused.lr_hsi.data.shape == (SIDE, SIDE, 31)
    assert set(fused.timings_ms) == {"radiometry", "registration", "prepare", "engine", "check"}
    assert fused.timestamp_ns < single.timestamp_ns
    assert single.hr_msi is None
    assert single.report.bundle.startswith("interpolation")
    assert single.mode == "single"
    assert np.isfinite(single.hr_hsi.data).all()


def test_without_a_single_image_model_bad_frames_give_no_result_and_the_reason(ground: Path) -> None:
    results, status = flown(made_flight(ground, faults=[fault("rgb_black")], single_bundle=None))
    assert {result.mode for result in results} == {"fusion"}
    assert [result.pair.spectral.sequence for result in results] == [0, 1, 2, 3, 6, 7, 8, 9]
    assert status.failed == 2
    assert "single_bundle" in status.failure


def test_flagged_results_that_are_withheld_reach_the_recorder_alone(ground: Path, tmp_path: Path) -> None:
    strict = SelfCheckSettings(spectral=1e-6)
    flight = made_flight(ground, seconds=2.0, record_to=tmp_path, check=strict, withhold=True)
    kept = Kept()
    with open_live(flight, sinks=[kept], record=True) as live:
        live.wait()
        status = live.status()
        assert live.latest() is None
    assert kept.results == []
    assert (status.results, status.flagged, status.withheld) == (4, 4, 4)
    assert [one["check"]["flagged"] for one in Recording.open(tmp_path).results()] == [True] * 4


def test_results_can_be_looped_over_until_the_flight_ends(ground: Path) -> None:
    with open_live(made_flight(ground)) as live:
        numbers = [result.number for result in live.results()]
        assert live.finished
        assert live.latest() is not None
        assert live.wait_newer(numbers[-1], 10.0) is None
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 9


class Raising(Kept):
    def take(self, result: LiveResult) -> None:
        raise ValueError("never")


class Blocking(Kept):
    def __init__(self) -> None:
        super().__init__("blocking")
        self.go = threading.Event()

    def take(self, result: LiveResult) -> None:
        self.go.wait()


def test_a_sink_that_raises_disturbs_no_other(ground: Path) -> None:
    results, status = flown(made_flight(ground, seconds=3.0), Raising("raising"))
    assert len(results) == 6
    assert status.sinks["raising"].failed > 0
    assert status.sinks["raising"].error == "never"
    assert status.sinks["kept"].failed == 0


@pytest.mark.parametrize("lossless", [False, True])
def test_a_sink_that_blocks_for_ever_stops_neither_the_others_nor_the_end(
    ground: Path, monkeypatch: pytest.MonkeyPatch, lossless: bool
) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE_S", 0.1)
    blocking, kept = Blocking(), Kept()
    # Where sinks may hold up the pipeline, this one does: unpaced flights are lossless.
    flight = made_flight(ground, seconds=1.5, paced=not lossless, fps=8.0)
    with open_live(flight, sinks=[kept, blocking]) as live:
        if lossless:
            wait_until(lambda: len(kept.results) > 2)
        else:
            live.wait()
            assert live.status().sinks["blocking"].passed_by > 0
    assert kept.closed == 1
    assert len(kept.results) > 2
    assert "did not end" in live.status().sinks["blocking"].error
    blocking.go.set()


def test_a_frame_that_the_engine_fails_on_is_lost_alone(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, turns = HSIEngine._finish, iter(range(100))

    def failing(self: HSIEngine, *arguments: Any) -> Any:
        if next(turns) == 3:
            raise EngineLoadError("the device hiccuped")
        return finish(self, *arguments)

    monkeypatch.setattr(HSIEngine, "_finish", failing)
    results, status = flown(made_flight(ground))
    assert [result.pair.spectral.sequence for result in results] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert [result.number for result in results] == list(range(9))
    assert (status.failed, status.failure) == (1, "the device hiccuped")


def test_a_frame_that_the_check_fails_on_is_lost_alone(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter(range(100))
    check = pipeline.SelfChecker.check

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(turns) == 3:
            raise ZeroDivisionError("division by zero")
        return check(*arguments, **options)

    monkeypatch.setattr(pipeline.SelfChecker, "check", failing)
    results, status = flown(made_flight(ground))
    assert len(results) == 9
    assert (status.failed, status.failure) == (1, "ZeroDivisionError: division by zero")


def test_an_engine_that_always_fails_makes_no_result_and_the_flight_still_ends(
    ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise EngineLoadError("the device is gone")

    monkeypatch.setattr(HSIEngine, "_begin", failing)
    # The ground is a file, so that no engine is needed before.
    results, status = flown(made_flight(ground))
    assert results == []
    assert (status.failed, status.failure) == (10, "the device is gone")


def test_what_stops_the_pipeline_as_a_whole_is_raised_and_shown(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("out of\nthreads")

    monkeypatch.setattr(pipeline, "fuse", failing)
    with open_live(made_flight(ground)) as live:
        with pytest.raises(HSIEdgeError, match="unexpected RuntimeError: out of threads"):
            live.wait()
        with pytest.raises(HSIEdgeError, match="out of threads"):
            list(live.results())
        assert live.finished
        assert live.status().warnings == ("the pipeline failed: unexpected RuntimeError: out of threads",)


def test_a_failure_of_the_simulation_ends_the_flight(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise KeyError("picture")

    monkeypatch.setattr(SimulatedSource, "frame", failing)
    with open_live(made_flight(ground)) as live, pytest.raises(HSIEdgeError, match="unexpected KeyError"):
        live.wait()


def test_a_sensor_whose_driver_breaks_ends_the_flight_with_its_error(
    ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: SimulatedSource, timeout_s: float) -> None:
        if self.stream == "spectral":
            raise OSError("the driver broke")
        raise SensorError("the RGB camera is away")

    monkeypatch.setattr(SimulatedSource, "read", failing)
    with open_live(made_flight(ground, paced=True)) as live:
        with pytest.raises(HSIEdgeError, match="unexpected OSError: the driver broke"):
            live.wait()
        assert live.status().spectral.error == "unexpected OSError: the driver broke"
        assert live.status().spectral.state == "ended"


def test_a_flight_can_be_left_in_the_middle(ground: Path, tmp_path: Path) -> None:
    kept = Kept()
    with open_live(made_flight(ground, seconds=None, record_to=tmp_path), sinks=[kept], record=True) as live:
        wait_until(lambda: len(kept.results) > 2)
    assert live.finished
    assert kept.closed == 1
    numbers = [result.number for result in kept.results]
    assert numbers == list(range(len(numbers)))
    recording = Recording.open(tmp_path)
    assert recording.damage == ()
    assert [one["number"] for one in recording.results()] == numbers


def test_a_paced_flight_marks_results_that_pass_their_deadline(ground: Path) -> None:
    results, status = flown(made_flight(ground, seconds=1.0, paced=True, fps=5.0, deadline_ms=1e-3))
    assert results
    assert all(result.late and result.age_ms > 0 for result in results)
    assert status.late == len(results)


def test_a_paced_flight_skips_what_it_has_no_time_for_and_counts_it(
    ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 0.1)
    results, status = flown(made_flight(ground, seconds=1.0, paced=True, fps=20.0))
    assert status.skipped > 0
    assert status.results + status.skipped + status.failed == status.spectral.frames - status.spectral.refused
    sequences = [result.pair.spectral.sequence for result in results]
    assert sequences == sorted(set(sequences))


def test_a_lossless_paced_flight_skips_nothing(ground: Path) -> None:
    results, status = flown(made_flight(ground, seconds=1.0, paced=True, fps=10.0, queue="lossless"))
    assert status.skipped == 0
    assert len(results) == status.spectral.frames > 0


def test_who_asks_for_a_recording_without_a_recorder_is_told_what_to_add(ground: Path) -> None:
    with open_live(made_flight(ground, seconds=1.0)) as live, pytest.raises(RecordingError, match="add a section"):
        live.set_recording(True)


def test_where_the_recording_cannot_begin_nothing_does_and_sinks_are_closed(ground: Path, tmp_path: Path) -> None:
    kept = Kept()
    flight = made_flight(ground, record_to=tmp_path / "card" / "recordings")
    with pytest.raises(RecordingError, match="cannot record"), open_live(flight, sinks=[kept], record=True):
        pytest.fail("the flight began")
    assert kept.closed == 1
    assert kept.results == []


def test_two_who_press_record_at_once_begin_one_recording(ground: Path, tmp_path: Path) -> None:
    with open_live(made_flight(ground, seconds=None, record_to=tmp_path)) as live:
        begun: list[bool] = []
        begin_anew = live._parts.feed.begin_anew

        def counting(then: Any) -> None:
            begun.append(True)
            begin_anew(then)

        live._parts.feed.begin_anew = counting  # type: ignore[method-assign]
        pressing = [threading.Thread(target=live.set_recording, args=(True,)) for _ in range(4)]
        for thread in pressing:
            thread.start()
        for thread in pressing:
            thread.join()
        assert begun == [True]
        wait_until(lambda: live.status().recording.frames > 0)
        live.set_recording(False)
        assert not live.status().recording.on
        live.set_recording(False)
    assert len(Recording.open(tmp_path).files) == 1


def test_counts_go_on_when_a_recording_begins(ground: Path, tmp_path: Path) -> None:
    with open_live(made_flight(ground, seconds=None, record_to=tmp_path)) as live:
        wait_until(lambda: live.status().spectral.frames > 3)
        before = live.status().spectral.frames
        live.set_recording(True)
        assert live.status().spectral.frames >= before


def test_positions_reach_the_recording_while_it_is_on(ground: Path, tmp_path: Path) -> None:
    with open_live(made_flight(ground, seconds=None, record_to=tmp_path)) as live:
        live.add_tag("position", {"latitude_deg": 1.0}, 1)
        live.set_recording(True)
        live.add_tag("position", {"latitude_deg": 2.0}, 2)
    assert [values["latitude_deg"] for _, values in Recording.open(tmp_path).tags("position")] == [2.0]


def test_pairs_without_a_result_are_noted_in_the_recording(ground: Path, tmp_path: Path) -> None:
    faults = [fault("spectral_wrong_size")]
    _, status = flown(made_flight(ground, faults=faults, record_to=tmp_path), record=True)
    noted = [values for _, values in Recording.open(tmp_path).tags(pipeline.NO_RESULT)]
    assert [one["sequence"] for one in noted] == [4, 5]
    assert all("calibrated for" in one["reason"] for one in noted)
    assert status.failed == 2


def test_nothing_is_invented_while_the_spectral_sensor_is_silent(ground: Path) -> None:
    results, _ = flown(made_flight(ground, faults=[fault("spectral_stall")]))
    assert [result.pair.spectral.sequence for result in results] == [0, 1, 2, 3, 6, 7, 8, 9]


def test_the_same_flight_gives_the_same_bits(ground: Path) -> None:
    flight = made_flight(ground, seconds=2.0)
    for one, other in zip(flown(flight)[0], flown(replace(flight))[0], strict=True):
        np.testing.assert_array_equal(one.hr_hsi.data, other.hr_hsi.data)
