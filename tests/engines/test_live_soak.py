"""The pipeline over time: what is measured, and the report of it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from engines import cli
from engines.live import soak as soaking
from engines.live.soak import MIXED, Moment, Soak, Timed, mixed_faults
from engines.live.soak_report import growth_percent, latency_rows


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soaking, "SAMPLE_S", 0.05)


def timed(age_ms: float) -> Timed:
    timings = {"radiometry": 1.0, "registration": 10.0, "prepare": 2.0, "engine": 20.0, "check": 4.0}
    return Timed(at_s=0.0, age_ms=age_ms, mode="fusion", late=False, flagged=False, timings_ms=timings)


def test_the_overhead_is_what_the_pipeline_itself_takes() -> None:
    assert timed(50.0).overhead_ms == 15.0
    rows = {row[0].split(":")[0]: row[1:] for row in latency_rows([timed(10.0), timed(30.0)])}
    assert rows["age"] == ["20.0", "29.8", "30.0"]
    assert rows["the pipeline itself"] == ["15.0", "15.0", "15.0"]


def test_without_a_result_there_is_no_latency() -> None:
    assert latency_rows([]) == []


def test_growth_is_told_from_when_the_memory_has_settled() -> None:
    grown = [Moment(at_s=n, memory_bytes=(50 if n < 10 else 100) + n // 95 * 3, results=n) for n in range(100)]
    assert growth_percent(Soak(moments=grown)) == pytest.approx(3.0)


def test_all_faults_come_in_turn_and_leave_time_between_them() -> None:
    faults = mixed_faults(20.0 * len(MIXED) + 40.0)
    assert [fault.kind for fault in faults] == [*MIXED, *MIXED[:2]]
    assert all(one.at_s + one.for_s < other.at_s for one, other in itertools.pairwise(faults))


def test_a_soak_is_run_and_written_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["live-soak", "--minutes", "0.03", "--bundle", "regression-x8", "--lr-side", "16", "--faults"]
    assert cli.main([*command, "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "0 of them fused" not in said
    assert "age: from the spectral frame's arrival to the result" in said
    measured = json.loads((tmp_path / "live-soak.json").read_text())
    assert measured["status"]["results"] > 0
    assert measured["status"]["recording"]["frames"] > 0
    assert (tmp_path / "live-soak.md").read_text().startswith("# The live pipeline over time")
    assert (tmp_path / "figures" / "live-soak.png").stat().st_size > 1000
