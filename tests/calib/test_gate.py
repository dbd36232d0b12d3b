from __future__ import annotations

import re
from dataclasses import replace

import pytest

from calib.gate import DEFAULT_GATES, failures, read_gate
from calib.judge import Scores, TruthScores
from hsi_edge.errors import InputError

TRUTH = TruthScores(
    psnr_db=40.0,
    sam_deg=2.0,
    sam_p95_deg=5.0,
    psnr_loss_db=0.1,
    sam_change_percent=1.0,
    sam_p95_change_percent=2.0,
)
GOOD = Scores(
    psnr_db=50.0,
    sam_deg=0.2,
    sam_p95_deg=0.4,
    worst_band_rmse=0.004,
    truth=TRUTH,
    overflowed=(),
    psnr_loss_by_scene_db={"field": 0.1},
)
GATE = DEFAULT_GATES["int8"]


def test_the_defaults_are_those_that_were_promised():
    assert DEFAULT_GATES["fp16"].psnr_loss_db == 0.02
    assert (GATE.psnr_loss_db, GATE.sam_percent) == (0.2, 3.0)


def test_scores_within_every_limit_pass():
    assert failures(GATE, GOOD) == ()


@pytest.mark.parametrize(
    ("scores", "word"),
    [
        (replace(GOOD, truth=replace(TRUTH, psnr_loss_db=0.21)), "PSNR loss .* 0.210, at most 0.2 allowed"),
        (replace(GOOD, truth=replace(TRUTH, sam_change_percent=3.5)), "spectral angle .* 3.50, at most 3"),
        (replace(GOOD, truth=replace(TRUTH, sam_p95_change_percent=9.0)), "95th percentile .* 9.00, at most 5"),
        (replace(GOOD, worst_band_rmse=0.05), "worst band RMSE against FP32 0.05000, at most"),
        (replace(GOOD, psnr_db=30.0), r"PSNR against FP32 .* 30.0, at least 40"),
        (replace(GOOD, truth=replace(TRUTH, psnr_loss_db=float("nan"))), "PSNR loss"),
        (replace(GOOD, overflowed=("field",)), "NaN or infinity on field"),
    ],
)
def test_each_limit_that_is_not_kept_is_named_with_both_numbers(scores, word):
    (failure,) = failures(GATE, scores)
    assert re.search(word, failure)


def test_without_a_truth_the_angle_to_fp32_is_judged():
    assert failures(GATE, replace(GOOD, truth=None)) == ()
    (failure,) = failures(GATE, replace(GOOD, truth=None, sam_deg=2.0))
    assert "spectral angle against FP32" in failure


def test_a_file_replaces_the_limits_that_it_names(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text("psnr_loss_db: 0.5\nworst_band_rmse: 0.1\n")
    gate = read_gate(path, "int8")
    assert gate == replace(GATE, psnr_loss_db=0.5, worst_band_rmse=0.1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("psnr_loss_db: -0.1", "psnr_loss_db is -0.1; wanted 0 or more"),
        ("worst_band_rmse: 0", "worst_band_rmse is 0; wanted more than 0"),
        ("psnr_db: 500", "psnr_db is 500; wanted less than 150"),
        ("sam_deg: 2.0\nsam_p95_deg: 1.0", "sam_p95_deg is 1; wanted sam_deg .2. or more: the two contradict"),
        ("psnr_los_db: 1", "unknown key psnr_los_db .did you mean psnr_loss_db"),
        ("psnr_loss_db: .nan", "psnr_loss_db is nan; wanted a finite number"),
        ("- 3", "wanted a mapping"),
        ("psnr_loss_db: [", "not readable YAML"),
    ],
)
def test_a_gate_that_nothing_can_meet_or_that_is_no_gate_is_refused(tmp_path, text, word):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"gate.yaml: .*{word}"):
        read_gate(path, "int8")


def test_a_gate_file_that_is_not_there_is_wrong_use(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        read_gate(tmp_path / "none.yaml", "fp16")
