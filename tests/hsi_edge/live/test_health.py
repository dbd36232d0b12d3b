from __future__ import annotations

from dataclasses import replace

import pytest

from hsi_edge.live.health import START_S, verdict
from hsi_edge.live.status import RecordingStatus, SinkStatus, StreamStatus
from tests.hsi_edge.live.viewer_source import ViewerPipeline


@pytest.fixture(scope="module")
def flying():
    pipeline = ViewerPipeline(lr=2, ratio=2)
    pipeline.step()
    return pipeline.status()


def later(status, **changes):
    """Five seconds on, with new frames and results unless said otherwise."""
    spectral = replace(status.spectral, frames=status.spectral.frames + 50)
    known = {"uptime_s": status.uptime_s + 5, "results": status.results + 50, "spectral": spectral}
    return replace(status, **{**known, **changes})


def test_a_flight_without_trouble_is_ok(flying):
    assert verdict(flying).state == "ok"
    assert verdict(later(flying), flying) == verdict(flying)


def test_a_lost_spectral_sensor_is_failing_and_says_its_error(flying):
    health = verdict(replace(flying, spectral=StreamStatus(state="lost", error="the socket closed")))
    assert health.state == "failing"
    assert "the socket closed" in health.reasons[0]


def test_a_spectral_sensor_that_never_sends_fails_after_the_start(flying):
    waiting = replace(flying, spectral=StreamStatus(state="waiting"))
    assert verdict(replace(waiting, uptime_s=START_S / 2)).state == "ok"
    assert verdict(replace(waiting, uptime_s=START_S * 2)).state == "failing"


def test_a_dead_pipeline_is_failing_while_frames_come_in(flying):
    health = verdict(later(flying, results=flying.results), flying)
    assert health.state == "failing"
    assert "no result was made of them in 5 s" in health.reasons[0]


def test_an_engine_that_fails_on_every_frame_is_failing_and_one_that_once_failed_is_ok(flying):
    broken = later(flying, results=flying.results, failed=50, failure="the GPU was lost")
    assert verdict(broken, flying).reasons[0] == "no result could be made lately: the GPU was lost"
    assert verdict(broken, flying).state == "failing"
    assert verdict(later(broken), broken).state == "ok"


def test_a_paused_flight_without_frames_is_not_failing(flying):
    assert verdict(later(flying, results=flying.results, spectral=flying.spectral), flying).state == "ok"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "single", "reason": "RGB camera lost"}, "not fused: RGB camera lost"),
        ({"rgb": StreamStatus(state="lost", error="unplugged")}, "the RGB camera is lost (unplugged)"),
        (
            {"recording": RecordingStatus(stopped="the disk is full")},
            "the recording stopped by itself: the disk is full",
        ),
        ({"warnings": ("the engine is not the bundle's",)}, "the engine is not the bundle's"),
        ({"spectral": StreamStatus(state="ended")}, "the spectral source has no more frames"),
        ({"flagged": 3}, "3 of the latest 50 results were beyond the self-check's bound"),
        ({"late": 7}, "7 of the latest 50 results were late"),
        ({"sinks": {"viewer": SinkStatus(failed=1, error="full")}}, "the sink viewer fails: full"),
    ],
)
def test_what_somebody_should_look_at_is_degraded(flying, changes, words):
    health = verdict(later(flying, **changes), flying)
    assert health.state == "degraded"
    assert words in health.reasons
