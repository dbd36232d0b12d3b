"""The accuracy gate of a precision: what BF16 arithmetic costs on validation frames, on this machine's CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.data.samples import Float, Images
from export.recipe import Recipe
from export.training_data import validation_frames
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.manifest import Precision
from hsi_edge.quality import psnr_per_band_db

MAX_LOSS_DB = 0.05
"""PSNR against the truth that BF16 may lose to FP32; above it BF16 is not allowed."""


def bf16_gate(graph: bytes, recipe: Recipe, data: Path | None) -> Precision:
    """Judge BF16 on the validation frames.

    Args:
        graph: The form that measures its statistics.
        recipe: Tells the frames' ratio and base image.
        data: The research data folder.

    Returns:
        Not allowed, and nothing measured, without data, for a published data set, or on a CPU without BF16.
    """
    if data is None or "bf16" not in OpenVINOBackend.precisions():
        return Precision()
    losses = [_loss_db(graph, recipe.network.images, frame) for frame in validation_frames(recipe, data)]
    if not losses:
        return Precision()
    loss = round(float(np.mean(losses)), 4)
    return Precision(bf16=loss <= MAX_LOSS_DB, bf16_psnr_loss_db=loss)


def _loss_db(graph: bytes, names: Sequence[str], frame: Images) -> float:
    inputs = {name: frame[name][None] for name in names}
    fp32, bf16 = (_psnr_db(_output(graph, inputs, precision), frame) for precision in ("fp32", "bf16"))
    return fp32 - bf16


def _output(graph: bytes, inputs: Images, precision: str) -> Float:
    backend = OpenVINOBackend(precision)
    session = backend.compile(graph, {name: array.shape for name, array in inputs.items()})
    return np.array(session.run(inputs)["hr_hsi"][0])


def _psnr_db(output: Float, frame: Images) -> float:
    if "mixing" in frame:
        output = np.tensordot(frame["mixing"], output, axes=1) + frame["offset"][:, None, None]
    return float(psnr_per_band_db(np.moveaxis(output, 0, 2), np.moveaxis(frame["truth"], 0, 2)).mean())
