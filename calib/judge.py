"""How far a candidate graph is from FP32, and what that costs against the truth, on frames that took no part in it.

All is judged in bands, in parts of the frame's peak, after all that the runtime does: what a network computes may be
components, and what it gets wrong may be put right by the consistency with the measured frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calib.runner import Runner
from calib.tiles import HeldOutFrame
from hsi_edge.errors import CalibrationError
from hsi_edge.quality import Float64, psnr_per_band_db, sam_map_deg
from hsi_edge.resampling import Float

MOST_DB = 150.0
"""PSNR of images that are the same: FP32 tells no finer difference."""


@dataclass(frozen=True, kw_only=True)
class TruthScores:
    """How near the outputs are to the truth, and what that is less than FP32's.

    Attributes:
        psnr_db: Mean over bands and scenes; the peak is the truth's largest value.
        sam_deg: Spectral angle, mean over pixels and scenes.
        sam_p95_deg: The angle that 95 percent of the pixels do not pass, mean over scenes.
        psnr_loss_db: What `psnr_db` is below FP32's.
        sam_change_percent: What `sam_deg` is above FP32's, in percent of that.
        sam_p95_change_percent: The same of `sam_p95_deg`.
    """

    psnr_db: float
    sam_deg: float
    sam_p95_deg: float
    psnr_loss_db: float
    sam_change_percent: float
    sam_p95_change_percent: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the gate judges.

    Attributes:
        psnr_db: Of the output against FP32's, from the mean squared error over scenes and bands.
        sam_deg, sam_p95_deg: Spectral angle between the output and FP32's, mean over scenes.
        worst_band_rmse: Largest RMSE of a band of a scene against FP32's, in parts of the frame's peak.
        truth: None where no scene has a truth.
        overflowed: Scenes whose output holds NaN or infinity; nothing else is measured then.
        psnr_loss_by_scene_db: Against the truth, of every scene that has one.
    """

    psnr_db: float
    sam_deg: float
    sam_p95_deg: float
    worst_band_rmse: float
    truth: TruthScores | None
    overflowed: tuple[str, ...]
    psnr_loss_by_scene_db: dict[str, float]


@dataclass(frozen=True)
class _Numbers:
    """Of one estimate of a scene."""

    psnr_db: float
    sam_deg: float
    sam_p95_deg: float


class Judge:
    """Compares graphs with FP32 on the same frames.

    Args:
        frames: To judge on.
        fp32: Runs the FP32 graphs.

    Raises:
        CalibrationError: The FP32 graph itself gives NaN or infinity.
    """

    def __init__(self, frames: Sequence[HeldOutFrame], fp32: Runner) -> None:
        self._frames = frames
        self._references: list[Float] = []
        self._fp32: list[_Numbers | None] = []
        for frame in frames:
            output = fp32.fuse(frame)
            if output is None:
                raise CalibrationError(
                    f"the FP32 graph itself gives NaN or infinity on the scene {frame.scene}; look at the scene's data"
                )
            self._references.append(output)
            self._fp32.append(None if frame.truth is None else _numbers(output, frame.truth, frame))

    @property
    def fp32_truth(self) -> TruthScores | None:
        """FP32 against the truth; None where no scene has one."""
        known = [numbers for numbers in self._fp32 if numbers is not None]
        return _truth_scores(known, known) if known else None

    def scores(self, candidate: Runner) -> Scores:
        """Judge a candidate."""
        outputs = [candidate.fuse(frame) for frame in self._frames]
        overflowed = tuple(f.scene for f, output in zip(self._frames, outputs, strict=True) if output is None)
        if overflowed:
            return _overflowed(overflowed)
        near, errors, truths = [], [], []
        for frame, output, reference, fp32 in zip(self._frames, outputs, self._references, self._fp32, strict=True):
            assert output is not None
            near.append(_numbers(output, reference, frame))
            errors.append(_mse_per_band(output, reference, frame))
            if frame.truth is not None and fp32 is not None:
                truths.append((frame.scene, _numbers(output, frame.truth, frame), fp32))
        return Scores(
            psnr_db=_psnr_db(_mean([error.mean() for error in errors])),
            sam_deg=_mean([numbers.sam_deg for numbers in near]),
            sam_p95_deg=_mean([numbers.sam_p95_deg for numbers in near]),
            worst_band_rmse=math.sqrt(max(error.max() for error in errors)),
            truth=_truth_scores([got for _, got, _ in truths], [fp32 for _, _, fp32 in truths]) if truths else None,
            overflowed=(),
            psnr_loss_by_scene_db={scene: fp32.psnr_db - got.psnr_db for scene, got, fp32 in truths},
        )


def _numbers(estimate: Float, truth: Float, frame: HeldOutFrame) -> _Numbers:
    live = ~frame.frame.dead_bands
    estimate, truth = estimate[:, :, live], truth[:, :, live]
    peak = float(np.nanmax(truth))
    angles = sam_map_deg(estimate, truth)
    angles = angles[~np.isnan(angles)]
    return _Numbers(
        psnr_db=float(psnr_per_band_db(estimate, truth, peak=peak).clip(max=MOST_DB).mean()),
        sam_deg=float(angles.mean()) if angles.size else 0.0,
        sam_p95_deg=float(np.percentile(angles, 95)) if angles.size else 0.0,
    )


def _mse_per_band(output: Float, reference: Float, frame: HeldOutFrame) -> Float64:
    live = ~frame.frame.dead_bands
    squares = np.square(output[:, :, live] - reference[:, :, live], dtype=np.float64)
    mse: Float64 = np.nanmean(squares, axis=(0, 1))
    return mse


def _psnr_db(mse: float) -> float:
    # Of images that are the same it would be infinite, which no file takes.
    return min(MOST_DB, -10 * math.log10(max(mse, 1e-30)))


def _truth_scores(got: Sequence[_Numbers], fp32: Sequence[_Numbers]) -> TruthScores:
    psnr, sam, p95 = ([_mean([getattr(n, name) for n in numbers]) for numbers in (got, fp32)] for name in _NAMES)
    return TruthScores(
        psnr_db=psnr[0],
        sam_deg=sam[0],
        sam_p95_deg=p95[0],
        psnr_loss_db=psnr[1] - psnr[0],
        sam_change_percent=_percent(*sam),
        sam_p95_change_percent=_percent(*p95),
    )


_NAMES = ("psnr_db", "sam_deg", "sam_p95_deg")


def _percent(value: float, before: float) -> float:
    # Angles below a millionth of a degree are rounding.
    return 100 * (value - before) / max(before, 1e-6)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _overflowed(scenes: tuple[str, ...]) -> Scores:
    return Scores(
        psnr_db=float("-inf"),
        sam_deg=float("inf"),
        sam_p95_deg=float("inf"),
        worst_band_rmse=float("inf"),
        truth=None,
        overflowed=scenes,
        psnr_loss_by_scene_db={},
    )
