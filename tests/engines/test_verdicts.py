from __future__ import annotations

import pytest

from engines.verdicts import Target, targets_table


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("speed", 4.0, "x", at_least=4.0), "pass"),
        (Target("speed", 3.9, "x", at_least=4.0), "MISS"),
        (Target("memory", 300.0, "MB", at_most=300.0), "pass"),
        (Target("memory", 301.0, "MB", at_most=300.0), "MISS"),
        (Target("memory", None, "MB", at_most=300.0), "not measured"),
        (Target("first opening", 3.0, "s"), ""),
    ],
)
def test_verdict_follows_from_the_bound(target, verdict):
    assert target.verdict == verdict


def test_table_says_what_was_measured_beside_what_was_wanted():
    text = targets_table([Target("opening", 1.234, "s", at_most=1.5, note="best of 5")])
    assert "| opening | 1.23 s   | at most 1.5 s | pass    | best of 5 |" in text
