"""A clock that goes only when somebody waits."""

from __future__ import annotations


class FakeTime:
    """Give `now` as the clock and `wait` as the wait."""

    def __init__(self):
        self.ns = 10**18
        self.waited_s = []

    def now(self):
        return self.ns

    def wait(self, seconds):
        self.waited_s.append(seconds)
        self.ns += round(seconds * 1e9)
        return False
