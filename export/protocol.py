"""How each paper scores an estimate; one name, such as PSNR, does not mean one formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from export.data.published.protocols import Paper
from hsi_edge import quality

Real = NDArray[Any]
METRICS = ("psnr_db", "ssim", "sam_deg", "ergas", "rmse", "cc")
"""What `score` returns, in the order of the tables."""


@dataclass(frozen=True, kw_only=True)
class ScoreProtocol:
    """What is done to an estimate and its truth, both in [0, 1], and the forms of the metrics.

    Attributes:
        clip: Whether the estimate is first cut to [0, 1].
        levels: Both are first truncated to this many steps above zero; 0 leaves them as they are.
        psnr: Mean over the bands' PSNR, or the PSNR of the whole cube.
        ssim: The window.
        ssim_peak: The range that SSIM is told.
        sam_zeros: `skip` leaves out the pixels without a direction; `tiny` replaces each zero by 2.2204e-16 before.
        ergas_ratio: In place of the ratio, if not None.
        ergas_means: Whose band means the errors are divided by.
        rmse_peak: What 1 is called: RMSE is in units of 1 / `rmse_peak`.
    """

    clip: bool = False
    levels: int = 0
    psnr: Literal["bands", "cube"] = "bands"
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    ssim_peak: float = 1.0
    sam_zeros: Literal["skip", "tiny"] = "skip"
    ergas_ratio: int | None = None
    ergas_means: Literal["truth", "estimate"] = "truth"
    rmse_peak: float = 1.0


PROTOCOLS: Mapping[Paper, ScoreProtocol] = {
    "ssrnet": ScoreProtocol(clip=True, psnr="cube", sam_zeros="tiny"),
    # The program divides by 4 at every ratio, and so were the published rows made.
    "gelin": ScoreProtocol(ssim="uniform", ergas_ratio=4),
    # The program tells SSIM no range; the library then takes floats for -1 to 1, which flatters.
    "pzres": ScoreProtocol(levels=65535, ssim="uniform", ssim_peak=2.0, ergas_means="estimate"),
    # The paper tells no more than its RMSE's size; the rest are the metrics' first definitions.
    "msssf": ScoreProtocol(rmse_peak=255.0),
}
"""By paper."""


def score(protocol: ScoreProtocol, estimate: Real, truth: Real, ratio: int) -> dict[str, float]:
    """The metrics of `METRICS` by the paper's formulas.

    Args:
        protocol: Of the paper.
        estimate: `(rows, cols, bands)`, at least 11 by 11 pixels.
        truth: The same, in [0, 1].
        ratio: LR GSD / HR GSD.
    """
    if protocol.clip:
        estimate = estimate.clip(0, 1)
    if protocol.levels:
        estimate, truth = (np.trunc(image * float(protocol.levels)) / protocol.levels for image in (estimate, truth))
    psnr = quality.psnr_cube_db if protocol.psnr == "cube" else quality.psnr_db
    ssim = quality.ssim_uniform if protocol.ssim == "uniform" else quality.ssim_gaussian
    return {
        "psnr_db": psnr(estimate, truth),
        "ssim": ssim(estimate, truth, peak=protocol.ssim_peak),
        "sam_deg": _sam_deg(protocol, estimate, truth),
        "ergas": _ergas(protocol, estimate, truth, ratio),
        "rmse": quality.rmse(estimate, truth) * protocol.rmse_peak,
        "cc": quality.cc(estimate, truth),
    }


def _sam_deg(protocol: ScoreProtocol, estimate: Real, truth: Real) -> float:
    if protocol.sam_zeros == "tiny":
        tiny = np.float64(2.2204e-16)
        estimate, truth = (np.where(image == 0, tiny, image) for image in (estimate, truth))
    return quality.sam_deg(estimate, truth)


def _ergas(protocol: ScoreProtocol, estimate: Real, truth: Real, ratio: int) -> float:
    ratio = protocol.ergas_ratio or ratio
    if protocol.ergas_means == "truth":
        return quality.ergas(estimate, truth, ratio=ratio)
    # Only the means are the other image's: the errors are the same both ways.
    return quality.ergas(truth, estimate, ratio=ratio)
