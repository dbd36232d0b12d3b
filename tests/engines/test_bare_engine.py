from __future__ import annotations

import pytest

from engines.bare_engine import bare_engine
from hsi_edge.cuda.driver import CaptureRefusedError
from tests.hsi_edge.cuda.host_cuda import HostCuda


class CountingEngine:
    """Notes its runs when they happen, and not when they are put into a stream."""

    workspace_bytes = 0

    def __init__(self, cuda: HostCuda) -> None:
        self.shapes = {"base": (1, 2, 4, 4), "hr_hsi": (1, 2, 4, 4)}
        self._cuda = cuda
        self.runs = 0

    def enqueue(self, addresses, stream):
        assert set(addresses) == set(self.shapes)
        self._cuda.put(self._count, stream)

    def _count(self) -> None:
        self.runs += 1


@pytest.fixture
def cuda(tmp_path):
    return HostCuda(tmp_path)


def test_every_tile_has_run_when_the_bare_loop_returns(cuda):
    engine = CountingEngine(cuda)
    bare = bare_engine(engine, cuda, 5)
    before = engine.runs
    bare.run()
    assert engine.runs == before + 5
    bare.run_captured()
    assert engine.runs == before + 10
    assert cuda.graph_launches == 1


def test_an_engine_that_cannot_be_captured_is_run_plainly_and_says_why(cuda, monkeypatch):
    def refuse(stream, work):
        raise CaptureRefusedError("this engine allocates memory as it runs")

    monkeypatch.setattr(cuda, "capture", refuse)
    engine = CountingEngine(cuda)
    bare = bare_engine(engine, cuda, 5)
    before = engine.runs
    bare.run()
    assert engine.runs == before + 5
    assert bare.run_captured is None
    assert bare.refused == "this engine allocates memory as it runs"
