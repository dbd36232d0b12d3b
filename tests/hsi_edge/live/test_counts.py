from __future__ import annotations

from dataclasses import replace

import pytest

from hsi_edge.live.counts import REMEMBERED, Counts
from tests.hsi_edge.live.live_results import made_report, made_result


def test_results_are_counted_by_what_became_of_them() -> None:
    counts = Counts()
    counts.add(made_result(0))
    counts.add(made_result(1, rgb=False, late=True, withheld=True))
    counts.add_failure("no frame")
    assert (counts.results, counts.fused, counts.flagged, counts.late, counts.withheld, counts.failed) == (
        2, 1, 2, 1, 1, 1,
    )  # fmt: skip
    assert (counts.mode, counts.reason, counts.failure) == ("single", "the RGB camera is lost", "no frame")


def test_pixels_that_the_rgb_frame_did_not_measure_are_those_of_the_latest_result() -> None:
    counts = Counts()
    for masked in (7, 3):
        counts.add(made_result(0, report=replace(made_report(), masked_msi_px=masked)))
        assert counts.unmeasured_rgb_px == masked


def test_latencies_are_those_of_the_last_results_by_stage() -> None:
    counts = Counts()
    counts.add(made_result(0, age_ms=1e6))
    for number in range(REMEMBERED):
        counts.add(made_result(0, age_ms=float(number)))
    age = counts.latencies()["age"]
    assert age.worst_ms == REMEMBERED - 1
    assert age.p50_ms == pytest.approx((REMEMBERED - 1) / 2)
    assert set(counts.latencies()) == {"age", "radiometry", "engine"}


def test_how_long_a_mode_lasts_begins_with_its_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("hsi_edge.live.counts.time.monotonic", lambda: now_s)
    counts = Counts()
    counts.add(made_result(0))
    now_s = 105.0
    counts.add(made_result(1))
    assert counts.mode_since_s == 5.0
    counts.add(made_result(2, rgb=False))
    assert counts.mode_since_s == 0.0
