from __future__ import annotations

from export.eager import run_eager


def test_every_timed_pass_is_reported_and_memory_grows():
    run = run_eager(bands=4, msi_bands=3, side=64, repeats=2)
    assert len(run.seconds) == 2
    assert 0 <= run.growth_bytes < run.peak_bytes
    assert run.threads >= 1
