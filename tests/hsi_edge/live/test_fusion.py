from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import EngineLoadError
from hsi_edge.live.fusion import fuse
from tests.hsi_edge.live.flights import BUNDLES

LR = 8


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, HSIEngine]]:
    with HSIEngine(BUNDLES / "regression-x8") as fusion, HSIEngine(BUNDLES / "interpolation-x8") as single:
        yield {"fusion": fusion, "single": single}


def job(number: int, mode: str = "fusion", msi_side: int = 8 * LR) -> Any:
    rng = np.random.default_rng(number)
    lr_hsi = Cube(
        data=rng.random((LR, LR, 4), dtype=np.float32),
        wavelengths_nm=np.array([450.0, 550.0, 650.0, 750.0]),
        quantity="reflectance",
    )
    msi = Cube(data=rng.random((msi_side, msi_side, 3), dtype=np.float32)) if mode == "fusion" else None
    return SimpleNamespace(number=number, mode=mode, lr_hsi=lr_hsi, hr_msi=msi)


def fused(
    jobs: Sequence[Any], engines: Any, done: Callable[[Any], None] = lambda job: None
) -> tuple[list[int], dict[int, str]]:
    """The numbers of the jobs that gave results, in order; the others with their errors."""
    made: list[int] = []
    failed: dict[int, str] = {}

    def take(job: Any, hr_hsi: Cube, report: Any) -> None:
        assert hr_hsi.data.shape == (8 * LR, 8 * LR, 4)
        assert report.bundle.startswith("regression" if job.mode == "fusion" else "interpolation")
        done(job)
        made.append(job.number)

    fuse(iter(jobs), engines, take, lambda job, err: failed.update({job.number: str(err)}))
    return made, failed


def test_jobs_come_out_in_their_order_however_the_modes_change(engines: Any) -> None:
    modes = ["fusion", "single", "single", "fusion", "single", "fusion", "fusion"]
    made, failed = fused([job(number, mode) for number, mode in enumerate(modes)], engines)
    assert made == list(range(len(modes)))
    assert failed == {}


@pytest.mark.parametrize("bad", [0, 2, 5])
def test_a_frame_that_the_engine_refuses_is_lost_alone(engines: Any, bad: int) -> None:
    jobs = [job(number, msi_side=24 if number == bad else 8 * LR) for number in range(6)]
    made, failed = fused(jobs, engines)
    assert made == [number for number in range(6) if number != bad]
    assert list(failed) == [bad]
    assert "hr_msi" in failed[bad]


def test_a_frame_that_the_engine_fails_on_is_lost_alone(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, turns = engines["fusion"]._finish, iter(range(100))

    def failing(begun: Any, out: Any) -> Any:
        if next(turns) == 2:
            raise EngineLoadError("the device hiccuped")
        return finish(begun, out)

    monkeypatch.setattr(engines["fusion"], "_finish", failing)
    made, failed = fused([job(number) for number in range(6)], engines)
    assert made == [0, 1, 3, 4, 5]
    assert failed == {2: "the device hiccuped"}


def test_an_engine_that_always_fails_tells_of_every_frame_and_ends(
    engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise EngineLoadError("the device is gone")

    monkeypatch.setattr(engines["fusion"], "_begin", failing)
    made, failed = fused([job(number) for number in range(4)] + [job(4, "single")], engines)
    assert made == [4]
    assert failed == dict.fromkeys(range(4), "the device is gone")


def test_an_error_after_the_engine_loses_its_frame_alone(engines: Any) -> None:
    def failing(job: Any) -> None:
        if job.number == 1:
            raise ValueError("the check failed")

    made, failed = fused([job(number) for number in range(4)], engines, failing)
    assert made == [0, 2, 3]
    assert failed == {1: "the check failed"}


def test_an_engine_that_fails_without_a_frame_is_told_to_the_caller() -> None:
    engine = HSIEngine(BUNDLES / "regression-x8")
    engine.close()
    with pytest.raises(EngineLoadError, match="closed"):
        fused([job(0)], {"fusion": engine})
