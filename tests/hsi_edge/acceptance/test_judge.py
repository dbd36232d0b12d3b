"""Limits against numbers: what passes, what fails, and what could not be measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.judge import judge, scene_failures
from hsi_edge.acceptance.latency import latency_of
from tests.hsi_edge.acceptance.checks import MIB, accuracy, engine_check, scores


def verdict(gate, check):
    (found,) = (v for v in judge(gate, check) if v.gate != "no_lost_pixels")
    return found


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        (Gate(max_p50_ms=25.1), "passed"),
        (Gate(max_p50_ms=24.0), "failed"),
        (Gate(max_p99_ms=30.0), "passed"),
        (Gate(max_p99_ms=29.0), "failed"),
        (Gate(max_deadline_misses=0), "passed"),
        (Gate(max_first_frame_ms=79.0), "failed"),
        (Gate(max_open_ms=50.0), "passed"),
        (Gate(max_peak_memory_mb=200.0), "passed"),
        (Gate(max_peak_memory_mb=199.0), "failed"),
        (Gate(max_memory_growth_mb=1.0), "failed"),
        (Gate(max_energy_j=0.5), "passed"),
        (Gate(max_energy_j=0.49), "failed"),
        (Gate(max_drift_percent=0.5), "passed"),
        (Gate(max_drift_percent=0.4), "failed"),
        (Gate(max_mean_psnr_loss_db=0.02), "passed"),
        (Gate(max_mean_psnr_loss_db=0.001), "failed"),
        (Gate(max_mean_sam_change_percent=0.0), "passed"),
        (Gate(max_psnr_loss_db=0.02), "passed"),
        (Gate(max_psnr_loss_db=0.001), "failed"),
        (Gate(max_sam_change_percent=0.0), "passed"),
        (Gate(min_psnr_to_fp32_db=60.0), "passed"),
        (Gate(min_psnr_to_fp32_db=60.1), "failed"),
        (Gate(min_psnr_db=40.0), "passed"),
        (Gate(min_psnr_db=41.0), "failed"),
        (Gate(max_sam_deg=1.9), "failed"),
        (Gate(no_fallback=True), "passed"),
    ],
)
def test_a_limit_is_met_up_to_and_including_itself(gate, outcome):
    assert verdict(gate, engine_check()).outcome == outcome


def test_a_number_that_could_not_be_measured_does_not_pass_and_says_why():
    check = engine_check(energy=None, energy_untold="this system tells of no power")
    found = verdict(Gate(max_energy_j=1e9), check)
    assert found.outcome == "not measured"
    assert found.measured == "not measured: this system tells of no power"


def test_gpu_memory_without_a_gpu_is_not_measured_rather_than_zero():
    assert verdict(Gate(max_gpu_memory_mb=1e9), engine_check()).outcome == "not measured"


def test_deadlines_without_a_frame_rate_are_not_measured():
    check = engine_check()
    check = replace(check, latency=latency_of(check.run, None))
    found = verdict(Gate(max_deadline_misses=300), check)
    assert found.outcome == "not measured"
    assert "--fps" in found.measured


def test_accuracy_against_a_truth_that_nobody_knows_is_not_measured():
    check = engine_check(accuracy=(accuracy(truth=False),))
    assert verdict(Gate(min_psnr_db=1.0), check).outcome == "not measured"


@pytest.mark.parametrize(("gate", "value"), [(Gate(min_psnr_db=35.0), "30 dB"), (Gate(max_psnr_loss_db=5.0), "10 dB")])
def test_the_worst_scene_decides_and_is_named(gate, value):
    bad = accuracy("harbour", to_truth=scores(psnr_db=30.0), fp32_to_truth=scores(psnr_db=40.0))
    found = verdict(gate, engine_check(accuracy=(accuracy("field"), bad)))
    assert found.outcome == "failed"
    assert found.measured == f"{value} (worst of 2: harbour)"


def test_a_score_that_is_not_a_number_does_not_pass():
    nan = accuracy("harbour", to_truth=scores(sam_deg=float("nan")))
    for scenes in ((accuracy(), nan), (nan, accuracy())):
        assert verdict(Gate(max_sam_deg=90.0), engine_check(accuracy=scenes)).outcome == "failed"


def test_an_output_equal_to_fp32_passes_any_limit():
    check = engine_check(accuracy=(accuracy(to_fp32=scores(psnr_db=float("inf"))),))
    found = verdict(Gate(min_psnr_to_fp32_db=500.0), check)
    assert (found.outcome, found.measured) == ("passed", "infinite dB (field)")


def test_a_mean_over_scenes_names_the_worst_of_them():
    fields = accuracy(to_truth=scores(psnr_db=40.0, sam_deg=2.0), fp32_to_truth=scores(psnr_db=40.0, sam_deg=2.0))
    harbour = accuracy(
        "harbour", to_truth=scores(psnr_db=40.0, sam_deg=4.4), fp32_to_truth=scores(psnr_db=40.3, sam_deg=4.0)
    )
    check = engine_check(accuracy=(fields, harbour))
    loss = verdict(Gate(max_mean_psnr_loss_db=0.2), check)
    assert (loss.outcome, loss.measured) == ("passed", "0.15 dB (mean over 2; 0.3 dB, worst of 2: harbour)")
    angle = verdict(Gate(max_mean_sam_change_percent=6.0), check)
    assert (angle.outcome, angle.measured) == ("failed", "6.667 percent (mean over 2; 10 percent, worst of 2: harbour)")


def test_a_loss_without_bound_fails():
    check = engine_check(accuracy=(accuracy(fp32_to_truth=scores(psnr_db=float("inf"))),))
    found = verdict(Gate(max_psnr_loss_db=0.2), check)
    assert (found.outcome, found.measured) == ("failed", "infinite dB (field)")


def test_two_exact_outputs_lose_nothing_to_each_other():
    exact = scores(psnr_db=float("inf"), sam_deg=0.0)
    assert accuracy(to_truth=exact, fp32_to_truth=exact).psnr_loss_db == 0


def test_a_lost_pixel_fails_whatever_the_gate_says():
    check = engine_check(accuracy=(accuracy(), accuracy("harbour", lost_px=7)))
    lost = judge(Gate(max_p50_ms=1e9), check)[0]
    assert (lost.outcome, lost.measured) == ("failed", "7 in harbour")


def test_a_fallback_fails_where_none_is_allowed_and_is_told():
    found = verdict(Gate(no_fallback=True), engine_check(fallback="no engine for this GPU: CPU instead"))
    assert (found.outcome, found.measured) == ("failed", "no engine for this GPU: CPU instead")


def test_a_drift_to_faster_frames_passes():
    check = engine_check()
    check = replace(check, drift=replace(check.drift, percent=-50.0, ends_percent=-60.0))
    assert verdict(Gate(max_drift_percent=5.0), check).outcome == "passed"


def test_a_memory_limit_is_in_mebibytes():
    check = engine_check()
    check = replace(check, memory=replace(check.memory, peak_bytes=3 * MIB))
    assert verdict(Gate(max_peak_memory_mb=3.0), check).measured == "3 MiB"


def test_each_scene_is_judged_by_the_limits_of_accuracy_alone():
    gate = Gate(max_psnr_loss_db=0.005, min_psnr_db=20.0, max_p50_ms=0.1)
    assert scene_failures(gate, accuracy()) == [
        "PSNR lost to FP32, against the truth is 0.01 dB; wanted at most 0.005 dB"
    ]
    assert scene_failures(gate, accuracy(truth=False)) == []
    assert "3 pixels" in scene_failures(gate, accuracy(truth=False, lost_px=3))[0]
