"""What this machine's CPU can do at most: a large matrix product and a large copy, measured now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.targets import Arithmetic
from hsi_edge.errors import require

SIDE = 2048
"""Of the square matrices: 17 GFLOP, and no cache holds them."""
COPY_BYTES = 256 << 20
SECONDS = 1.0
"""Time to spend on each figure."""


@dataclass(frozen=True)
class MeasuredPeaks:
    """TFLOP/s of a matrix product by arithmetic, and GB/s of a copy, reads and writes counted."""

    tflops: dict[Arithmetic, float]
    copy_gb_s: float


def measure_peaks(precisions: tuple[Arithmetic, ...] = ("fp32", "bf16")) -> MeasuredPeaks:
    """Measure this machine, with as many threads as OpenVINO takes by itself.

    Raises:
        MissingPackageError: OpenVINO is not installed.
    """
    tflops = {precision: 2 * SIDE**3 / _best(_product(precision)) / 1e12 for precision in precisions}
    source = np.ones(COPY_BYTES // 4, np.float32)
    target = np.empty_like(source)
    return MeasuredPeaks(tflops, 2 * COPY_BYTES / _best(lambda: np.copyto(target, source)) / 1e9)


def _product(precision: Arithmetic) -> Callable[[], Any]:
    openvino = require("openvino", feature="measuring this machine", extra="all")
    opset = require("openvino.opset13", feature="measuring this machine", extra="all")
    image = opset.parameter([SIDE, SIDE], np.float32)
    weights = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    model = openvino.Model([opset.matmul(image, opset.constant(weights), False, False)], [image])
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    data = np.random.default_rng(1).random((SIDE, SIDE), np.float32)
    return lambda: request.infer([data], share_inputs=True, share_outputs=True)


def _best(run: Callable[[], Any]) -> float:
    """The least seconds of several runs: a peak is what the machine can do, not what others leave it."""
    run()
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < SECONDS:
        start = time.perf_counter_ns()
        run()
        seconds.append((time.perf_counter_ns() - start) / 1e9)
    return min(seconds)
