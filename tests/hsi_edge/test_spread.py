from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.spread import spread


@given(st.integers(1, 200), st.integers(1, 200))
def test_sampled_windows_are_disjoint_reach_both_ends_and_have_the_wanted_length(length, total):
    total = min(total, length)
    windows = spread(length, total)
    assert sum(stop - start for start, stop in windows) == total
    assert windows[0][0] == 0
    if len(windows) > 1:
        assert windows[-1][1] == length
    ends = [0, *(end for window in windows for end in window), length]
    assert ends == sorted(ends)
