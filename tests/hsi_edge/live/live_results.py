"""Small frames and results, as the pipeline makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.live.pair import Pair
from hsi_edge.live.result import LiveResult
from hsi_edge.live.self_check import SelfCheck
from hsi_edge.registration.refine import Refinement
from hsi_edge.run_report import RunReport
from hsi_edge.sensors.frame import SensorFrame

START_NS = 1_800_000_000_000_000_000


def made_frame(sequence: int, *, arrival_ns: int | None = None, shape: tuple[int, int, int] = (6, 8, 3)) -> SensorFrame:
    """A frame whose pixels tell its number."""
    pixels = np.random.default_rng(sequence).integers(0, 255, shape, dtype=np.uint8)
    arrival = START_NS + sequence * 10_000_000 if arrival_ns is None else arrival_ns
    return SensorFrame(data=pixels, timestamp_ns=sequence * 10_000_000, sequence=sequence, arrival_ns=arrival)


def made_result(number: int = 0, *, rgb: bool = True, **changes: Any) -> LiveResult:
    """A result of an 8 x 8 x 4 cube."""
    rng = np.random.default_rng(number)
    wavelengths = np.array([450.0, 550.0, 650.0, 750.0])
    hr_hsi = Cube(
        data=rng.random((8, 8, 4), dtype=np.float32),
        wavelengths_nm=wavelengths,
        quantity="reflectance",
        mask=rng.random((8, 8)) > 0.2,
    )
    pair = Pair(
        spectral=made_frame(number, shape=(2, 2, 4)),
        rgb=made_frame(1000 + number) if rgb else None,
        timestamp_ns=START_NS + number * 100_000_000,
        apart_ns=-3_000_000 if rgb else None,
        lack="" if rgb else "the RGB camera is lost",
    )
    fields: dict[str, Any] = {
        "number": number,
        "timestamp_ns": pair.timestamp_ns,
        "hr_hsi": hr_hsi,
        "mode": "fusion" if rgb else "single",
        "reason": pair.lack,
        "lr_hsi": Cube(data=hr_hsi.data[::4, ::4], wavelengths_nm=wavelengths, quantity="reflectance"),
        "hr_msi": rng.random((8, 8, 3), dtype=np.float32) if rgb else None,
        "pair": pair,
        "refinement": Refinement(dx_lr=0.01, dy_lr=-0.02) if rgb else None,
        "check": made_check(),
        "report": made_report(),
        "timings_ms": {"radiometry": 1.5, "engine": 20.25},
        "age_ms": 31.5,
        "late": False,
    }
    return LiveResult(**(fields | changes))


def made_check() -> SelfCheck:
    """A check whose RGB residual is unknown in an odd way."""
    return SelfCheck(spectral=1.25, rgb=float("nan"), map=np.zeros((2, 2), np.float32), flagged=True, reasons=("odd",))


def made_report() -> RunReport:
    """What an engine would say."""
    return RunReport(
        bundle="regression",
        network="none",
        ratio=4,
        base="regression",
        backend="numpy",
        precision="fp32",
        device="CPU",
        statistics=None,
        tile=(8, 8),
        n_tiles=1,
        lr_shape=(2, 2, 4),
        msi_shape=(8, 8, 3),
        masked_lr_px=0,
        masked_msi_px=0,
        timings_ms={"total": 20.0},
        planned_bytes=1000,
        warnings=("a warning",),
    )


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another thread is about to do."""
    due_s = time.monotonic() + 10
    while not condition():
        if time.monotonic() > due_s:
            pytest.fail("it did not come about within 10 s")
        time.sleep(0.002)
