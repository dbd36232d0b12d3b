"""What tests of the live pipeline share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsi_edge.engine import HSIEngine
from hsi_edge.io import write
from hsi_edge.live.ground import PairGround, ground_cube
from tests.hsi_edge.live.flights import BUNDLES, SAMPLE
from tests.hsi_edge.live.live_results import wait_until


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Salton Sea, fused once, as a file."""
    path = tmp_path_factory.mktemp("ground") / "ground.img"
    pair = PairGround(
        kind="pair",
        lr=str(SAMPLE / "frame.hdr"),
        msi=str(SAMPLE / "orthophoto.png"),
        rig=str(SAMPLE / "rig.yaml"),
    )
    with HSIEngine(BUNDLES / "regression-x8") as engine:
        write(path, ground_cube(pair, engine))
    return path


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Whatever became of the flight, its threads are gone."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before)
