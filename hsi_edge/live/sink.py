"""The protocol of everything that results go to."""

from __future__ import annotations

from typing import Protocol

from hsi_edge.live.result import LiveResult


class Sink(Protocol):
    """Takes results, one after the other, on a thread of its own.

    An error that it raises is counted and shown in the status; the sink is given the next result all the same, and no
    other sink notices.
    """

    name: str
    """For the status, the metrics and the log."""

    def take(self, result: LiveResult) -> None:
        """Take a result; while it is at it, newer ones wait in a short queue or pass it by."""

    def close(self) -> None:
        """No more results will come: finish, and give back what is held."""
