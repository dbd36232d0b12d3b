"""What must hold for a pass: read from a strict YAML file, or the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from hsi_edge.errors import InputError
from hsi_edge.records import read_settings

PSNR_LOSS_DB: Mapping[str, float] = {"fp32": 0.02, "fp16": 0.02, "bf16": 0.05, "int8": 0.2}
"""Default allowance by precision; the same as the gates that let a precision into a bundle."""
MIN_PSNR_TO_FP32_DB: Mapping[str, float] = {"fp32": 80.0, "fp16": 50.0, "bf16": 40.0, "int8": 30.0}
"""The same where no truth is known. It finds an engine that has gone wrong, and is no proof of accuracy."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Limits; what is None is not judged. That no pixel is lost to NaN or infinity is always judged.

    Attributes:
        max_mean_psnr_loss_db: PSNR against the truth that the engine may lose to FP32, as the mean over the scenes.
        max_mean_sam_change_percent: Change of the spectral angle against the truth, mean over the scenes, in percent of
            FP32's.
        max_psnr_loss_db, max_sam_change_percent: The same in the worst scene.
        min_psnr_to_fp32_db: PSNR of the engine's output against FP32's.
        min_psnr_db, max_sam_deg: Of the engine's output against the truth.
        max_p50_ms, max_p99_ms: Of the latency.
        max_deadline_misses: Frames; needs a frame rate.
        max_first_frame_ms, max_open_ms: Of the start.
        max_peak_memory_mb, max_gpu_memory_mb: Of the process, and of the GPU, in MiB.
        max_memory_growth_mb: Of the process over the soak, or over the measured frames without one, in MiB.
        max_energy_j: Per frame.
        max_drift_percent: By how much frames became slower over the soak, or over the measured frames without one.
        no_fallback: Whether the engine that was asked for must be the one that ran.
    """

    max_mean_psnr_loss_db: float | None = None
    max_mean_sam_change_percent: float | None = None
    max_psnr_loss_db: float | None = None
    max_sam_change_percent: float | None = None
    min_psnr_to_fp32_db: float | None = None
    min_psnr_db: float | None = None
    max_sam_deg: float | None = None
    max_p50_ms: float | None = None
    max_p99_ms: float | None = None
    max_deadline_misses: int | None = None
    max_first_frame_ms: float | None = None
    max_open_ms: float | None = None
    max_peak_memory_mb: float | None = None
    max_gpu_memory_mb: float | None = None
    max_memory_growth_mb: float | None = None
    max_energy_j: float | None = None
    max_drift_percent: float | None = None
    no_fallback: bool = False


def read_gate(path: Path) -> Gate:
    """Read a gate file.

    Raises:
        InputError: There is no such file, it is no YAML, or a key is unknown or of the wrong type.
    """
    gate = read_settings(Gate, path, "gate")
    if gate == Gate():
        raise InputError(f"the gate {path} judges nothing; wanted one or more of {', '.join(_keys())}")
    return gate


def default_gate(precision: str, *, with_truth: bool, frames: int, fps: float | None, soak: bool) -> Gate:
    """The gate where the user gives none.

    Accuracy as the gates that let a precision into a bundle (means over scenes), or, where no truth is known, no engine
    gone wrong; at most one deadline in a hundred missed where a frame rate is given; after a soak at most 10 percent of
    drift and 64 MiB of growth; no fallback.
    """
    return Gate(
        max_mean_psnr_loss_db=PSNR_LOSS_DB.get(precision) if with_truth else None,
        max_mean_sam_change_percent=3.0 if with_truth else None,
        min_psnr_to_fp32_db=None if with_truth else MIN_PSNR_TO_FP32_DB.get(precision),
        max_deadline_misses=None if fps is None else frames // 100,
        max_drift_percent=10.0 if soak else None,
        max_memory_growth_mb=64.0 if soak else None,
        no_fallback=True,
    )


def _keys() -> list[str]:
    return [field.name for field in fields(Gate)]
