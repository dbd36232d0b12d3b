"""The conditions: how busy the machine was, and what makes numbers uncertain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsi_edge.acceptance import conditions
from hsi_edge.acceptance.conditions import CpuTime, Start, cpu_time, is_virtual, others_percent, stolen_percent
from hsi_edge.acceptance.doubts import doubts_of_machine, doubts_of_run
from hsi_edge.acceptance.scene import GOLDEN, SYNTHETIC, Scene
from tests.hsi_edge.acceptance.checks import accuracy, engine_check

IDLE = CpuTime(busy_s=0, stolen_s=0, total_s=0, own_s=0)


def test_processor_time_is_read_from_the_kernels_counters(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "_ticks", lambda: 100)
    stat = tmp_path / "stat"
    stat.write_text("cpu  1000 200 300 4000 500 10 20 70 0 0\ncpu0 1 2 3 4 5 6 7 8\n")
    found = cpu_time(stat)
    assert (found.busy_s, found.stolen_s, found.total_s) == pytest.approx((15.3, 0.7, 61.0))


@pytest.mark.parametrize("text", ["", "cpu  0 0 0 0 0 0 0 0 0 0\n", "nothing of the kind\n"])
def test_a_kernel_that_counts_no_processor_time_tells_none(text, tmp_path):
    (tmp_path / "stat").write_text(text)
    assert cpu_time(tmp_path / "stat") is None
    assert others_percent(None, IDLE) is None


def test_other_programs_time_is_what_this_process_did_not_take():
    end = CpuTime(busy_s=12, stolen_s=1, total_s=20, own_s=10)
    assert others_percent(IDLE, end) == pytest.approx(10)
    assert stolen_percent(IDLE, end) == pytest.approx(5)


def test_a_virtual_machine_says_so_in_its_flags(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor: 0\nflags\t\t: fpu avx2 hypervisor\n")
    assert is_virtual(file) is True
    file.write_text("processor: 0\nflags\t\t: fpu avx2\n")
    assert is_virtual(file) is False
    assert is_virtual(tmp_path / "none") is None


def test_a_busy_machine_is_a_reason_for_doubt(monkeypatch):
    monkeypatch.setattr("hsi_edge.acceptance.doubts.is_virtual", lambda: False)
    end = CpuTime(busy_s=15, stolen_s=1, total_s=20, own_s=5)
    found = doubts_of_machine(Start((64.0, 60.0, 50.0), IDLE), end, {"CPU governor": "powersave"})
    assert [sentence.split()[0:3] for sentence in found] == [
        ["The", "machine", "was"],
        ["Other", "programs", "took"],
        ["The", "hypervisor", "gave"],
        ["The", "CPU", "governor"],
    ]


def test_a_quiet_machine_of_fixed_clocks_is_none(monkeypatch):
    monkeypatch.setattr("hsi_edge.acceptance.doubts.is_virtual", lambda: False)
    end = CpuTime(busy_s=10, stolen_s=0, total_s=20, own_s=10)
    assert doubts_of_machine(Start((0.0, 0.0, 0.0), IDLE), end, {"CPU governor": "performance"}) == []


@pytest.mark.parametrize(
    ("scenes", "words"),
    [
        ((accuracy(GOLDEN, truth=False),), "golden pair alone"),
        ((accuracy(SYNTHETIC, truth=False),), "synthetic frame"),
        ((accuracy(GOLDEN, truth=False), accuracy("field", truth=False)), "No scene has a truth"),
    ],
)
def test_what_accuracy_does_not_rest_on_is_said(scenes, words):
    found = " ".join(doubts_of_run((engine_check(accuracy=scenes),), ()))
    assert words in found


def test_percentiles_of_few_frames_and_energy_of_few_readings_are_doubted():
    check = engine_check()
    found = " ".join(doubts_of_run((replace(check, energy=replace(check.energy, samples=7)),), ()))
    assert "With 100 frames, p99.9 is their maximum" in found
    assert "7 readings" in found


def test_frames_of_different_sizes_are_doubted(rng):
    scenes = [Scene(name="a", lr_hsi=rng.random((side, 4, 2)), hr_msi=None) for side in (4, 5)]
    assert any("differ in size" in sentence for sentence in doubts_of_run((engine_check(),), scenes))
