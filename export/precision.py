"""The accuracy gate of a precision: what BF16 arithmetic costs on validation frames, on this machine's CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.recipe import Recipe
from export.train import validation_frames
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.manifest import Precision
from hsi_edge.quality import psnr_per_band_db

Float = NDArray[np.float32]
MAX_LOSS_DB = 0.05
"""PSNR against the truth that BF16 may lose to FP32; above it BF16 is not allowed."""


def bf16_gate(graph: bytes, recipe: Recipe, data: Path | None) -> Precision:
    """Judge BF16 on the validation frames.

    Args:
        graph: The form that measures its statistics.
        recipe: Tells the frames' ratio and base image.
        data: The research data folder.

    Returns:
        Not allowed, and nothing measured, without data or on a CPU without BF16.
    """
    if data is None or "bf16" not in OpenVINOBackend.precisions():
        return Precision()
    losses = [_loss_db(graph, *(tensor.numpy() for tensor in frame)) for frame in validation_frames(recipe, data)]
    loss = round(float(np.mean(losses)), 4)
    return Precision(bf16=loss <= MAX_LOSS_DB, bf16_psnr_loss_db=loss)


def _loss_db(graph: bytes, base: Float, msi: Float, truth: Float) -> float:
    fp32, bf16 = (_psnr_db(graph, base, msi, truth, precision) for precision in ("fp32", "bf16"))
    return fp32 - bf16


def _psnr_db(graph: bytes, base: Float, msi: Float, truth: Float, precision: str) -> float:
    inputs = {"base": base[None], "hr_msi": msi[None]}
    backend = OpenVINOBackend(precision)
    output = backend.compile(graph, {name: array.shape for name, array in inputs.items()}).run(inputs)["hr_hsi"][0]
    return float(psnr_per_band_db(np.moveaxis(output, 0, 2), np.moveaxis(truth, 0, 2)).mean())
