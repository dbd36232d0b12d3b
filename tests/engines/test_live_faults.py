"""What the live stream does under every scripted fault, and the table of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.live.faults import SCENARIOS, Made, Outcome, Scenario, fly
from engines.live.faults_report import after, faults_markdown, shown
from hsi_edge.live.ground import CubeGround
from hsi_edge.live.status import RecordingStatus, Status, StreamStatus
from tests.hsi_edge.live.conftest import ground as ground


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_stream_does_what_it_is_to_do_and_no_frame_is_lost(
    scenario: Scenario, ground: Path, tmp_path: Path
) -> None:
    outcome = fly(scenario.faults, tmp_path, CubeGround(kind="cube", cube=str(ground)))
    assert scenario.holds(outcome), shown(outcome)
    assert outcome.lost == 0
    assert len(outcome.outside()) >= 10
    assert after(outcome) == "all fused"


def made(at_s: float, *, mode: str = "fusion", reason: str = "", flagged: bool = False) -> Made:
    return Made(at_s=at_s, mode=mode, reason=reason, flagged=flagged, measured=1.0)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_scenario_holds_whatever_the_stream_does(scenario: Scenario) -> None:
    """A stream that does not notice the fault, and one that flags and alternates, cannot both be what is wanted."""
    status = no_status()
    unnoticed = Outcome(made=tuple(made(n / 2) for n in range(24)), status=status, lost=0)
    blind = Outcome(made=tuple(made(n / 2, mode="single", flagged=True) for n in range(24)), status=status, lost=0)
    assert not (scenario.holds(unnoticed) and scenario.holds(blind))


def no_status() -> Status:
    return Status(
        uptime_s=0, mode=None, reason="", mode_since_s=0, rgb=StreamStatus(), spectral=StreamStatus(), results=0,
        fused=0, flagged=0, withheld=0, late=0, unpaired_rgb=0, unpaired_spectral=0, skipped=0, failed=0, failure="",
        waiting=0, latencies={}, deadline_ms=1, sinks={}, recording=RecordingStatus(), memory_bytes=0,
    )  # fmt: skip


def test_the_table_tells_what_was_shown_and_whether_it_holds() -> None:
    during = [made(4.75, mode="single", reason="RGB frame black"), made(5.25, flagged=True)]
    outcome = Outcome(made=(made(0.5), *during, made(10.0, mode="single")), status=no_status(), lost=2)
    assert shown(outcome) == "1 single (RGB frame black); 1 fusion, flagged"
    assert after(outcome) == "1 of 2 fused"
    text = faults_markdown([(SCENARIOS[1], outcome)], {"processor": "x"})
    assert "RGB unplugged, and back" in text
    assert "NO" in text
    assert shown(Outcome(made=(), status=outcome.status, lost=0)) == "nothing"
