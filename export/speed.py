"""What the methods cost: multiply-adds, and time on the CPU side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from statistics import median

import numpy as np

from export.accuracy import REGRESSION, Cost
from export.methods import Float, Method
from hsi_edge.manifest import Manifest

SIDE, BANDS = 512, 31
"""The frame that is timed: HR pixels per side, and bands."""
ROUNDS = 5


def measure_costs(ratio: int, methods: Mapping[str, Method], rounds: int = ROUNDS) -> Iterator[Cost]:
    """Time every method on one frame, turn by turn, so that a change of the machine's speed meets all of them.

    Args:
        ratio: HR pixels per LR pixel.
        methods: By name; one of them is the regression.
        rounds: How often; the medians count.
    """
    rng = np.random.default_rng(0)
    lr_hsi = rng.random((SIDE // ratio, SIDE // ratio, BANDS), np.float32)
    hr_msi = rng.random((SIDE, SIDE, 3), np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    # The first round compiles graphs and touches memory; it does not count.
    for turn in range(rounds + 1):
        for name, method in methods.items():
            taken = _seconds(method, lr_hsi, hr_msi)
            if turn:
                seconds[name].append(taken)
    for name, method in methods.items():
        times = median(own / other for own, other in zip(seconds[name], seconds[REGRESSION], strict=True))
        yield Cost(
            ratio=ratio,
            method=name,
            task="single" if method.manifest is None else method.manifest.task,
            gmac=None if method.manifest is None else _gmac(method.manifest),
            seconds=median(seconds[name]),
            times_regression=times,
        )


def _seconds(method: Method, lr_hsi: Float, hr_msi: Float) -> float:
    start = time.perf_counter_ns()
    method.run(lr_hsi, hr_msi)
    return (time.perf_counter_ns() - start) / 1e9


def _gmac(manifest: Manifest) -> float | None:
    return None if manifest.cost is None else manifest.cost.macs_per_px * SIDE**2 / 1e9
