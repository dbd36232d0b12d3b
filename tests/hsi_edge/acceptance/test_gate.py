"""The gate file: strict, and a default that is stated."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hsi_edge.acceptance.gate import Gate, default_gate, read_gate
from hsi_edge.acceptance.judge import _LINES
from hsi_edge.errors import InputError


def written(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return path


def test_a_gate_file_sets_what_it_names_and_nothing_else(tmp_path):
    gate = read_gate(
        written(tmp_path, "max_p99_ms: 40\nmin_psnr_db: 30.5\nmax_deadline_misses: 0\nno_fallback: true\n")
    )
    assert gate == Gate(max_p99_ms=40.0, min_psnr_db=30.5, max_deadline_misses=0, no_fallback=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_p99ms: 40\n", r"unknown key max_p99ms \(did you mean max_p99_ms\?\)"),
        ("max_p99_ms: fast\n", "max_p99_ms is 'fast'; wanted a finite number"),
        ("max_p99_ms: .inf\n", "wanted a finite number"),
        ("max_deadline_misses: 0.5\n", "wanted a whole number"),
        ("max_p99_ms: 40\nmax_p99_ms: 400\n", "stands twice"),
        ("- 40\n", "wanted a mapping"),
        ("max_p99_ms: [\n", "not readable YAML"),
        ("", "judges nothing; wanted one or more of max_mean_psnr_loss_db"),
        ("no_fallback: false\n", "judges nothing"),
    ],
)
def test_a_wrong_gate_file_is_wrong_use_and_says_what_is_wrong(text, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read_gate(written(tmp_path, text))


def test_a_missing_gate_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        read_gate(tmp_path / "nowhere.yaml")


def test_every_limit_has_a_line_that_measures_it():
    assert set(_LINES) == {field.name for field in fields(Gate)} - {"no_fallback"}


def test_default_gate_allows_each_precision_what_let_it_into_the_bundle():
    losses = {
        p: default_gate(p, with_truth=True, frames=300, fps=None, soak=False).max_mean_psnr_loss_db
        for p in ("fp32", "fp16", "bf16", "int8")
    }
    assert losses == {"fp32": 0.02, "fp16": 0.02, "bf16": 0.05, "int8": 0.2}


def test_default_gate_without_a_truth_judges_by_fp32_alone():
    gate = default_gate("int8", with_truth=False, frames=300, fps=None, soak=False)
    assert gate.max_mean_psnr_loss_db is None
    assert gate.max_mean_sam_change_percent is None
    assert gate.min_psnr_to_fp32_db == 30


def test_default_gate_judges_deadlines_only_at_a_frame_rate_and_heat_only_after_a_soak():
    short = default_gate("fp32", with_truth=True, frames=300, fps=None, soak=False)
    long = default_gate("fp32", with_truth=True, frames=300, fps=10, soak=True)
    assert (short.max_deadline_misses, short.max_drift_percent, short.max_memory_growth_mb) == (None, None, None)
    assert (long.max_deadline_misses, long.max_drift_percent, long.max_memory_growth_mb) == (3, 10, 64)
