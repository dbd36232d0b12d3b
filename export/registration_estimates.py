"""Estimates of a registration beside their truth, and the simulated pairs whose truth is known."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.degradation import REALISTIC
from export.data.misaligned import Cameras, MisalignedPair, Misalignment, misaligned_pair
from export.data.responses import Response
from export.data.scenes import Scene
from hsi_edge.cube import Cube
from hsi_edge.registration.calibrate import Calibration, calibrate
from hsi_edge.registration.rig import Rig

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """One estimate beside its truth.

    Attributes:
        errors_lr: `(points, 2)`, over the frame's pixels, along x and y.
        std_lr: What the estimate claims, per axis; one number, or `(points, 2)`.
        explained: Part of the bands' variance.
        seconds: Taken.
        trusted: Whether the estimate says that it can be used.
        loss_db: By method, PSNR of the result with the true registration less that with the estimate.
    """

    errors_lr: Matrix
    std_lr: Matrix
    explained: float
    seconds: float
    trusted: bool = True
    loss_db: Mapping[str, float] = field(default_factory=dict)

    @property
    def rms_lr(self) -> float:
        """Root mean square distance over the frame."""
        return float(np.sqrt(np.square(self.errors_lr).sum(axis=1).mean()))

    def inside(self, count: float) -> float:
        """Share of the errors, over pixels and axes, within so many standard errors."""
        return float((np.abs(self.errors_lr) <= count * self.std_lr).mean())


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a misalignment and the cameras are drawn from.

    Attributes:
        shift_lr, angle_deg, growth: At most: shift per axis in LR pixels, rotation, change of scale.
        affine, perspective: At most, of the entries of the `warp` of `Misalignment`.
        psf_fwhm_lr: Range of the width of the spectral sensor's PSF.
        margin_lr, vignetting, gamma: As they are, see `Cameras`.
    """

    shift_lr: float
    angle_deg: float
    growth: float
    psf_fwhm_lr: tuple[float, float] = (1.0, 1.0)
    margin_lr: int = 0
    affine: float = 0.0
    perspective: float = 0.0
    vignetting: float = 0.0
    gamma: float = 1.0


def errors_lr(found: Rig, truth: Rig) -> Matrix:
    """`(pixels, 2)`: where one rig puts the middle of each LR pixel against another, along x and y, in LR pixels."""
    rows, cols = truth.lr_shape
    y, x = np.mgrid[:rows, :cols] + 0.5
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    off: Matrix = (found.msi_points(points) - truth.msi_points(points)) / truth.msi_px_per_lr_px
    return off


def estimated(
    found: Calibration, truth: Rig, seconds: float, loss: Mapping[str, float] = MappingProxyType({})
) -> Estimate:
    """A calibration beside its truth."""
    return Estimate(
        errors_lr=errors_lr(found.rig, truth),
        std_lr=np.array(found.rig.std_lr),
        explained=found.explained,
        seconds=seconds,
        loss_db=loss,
    )


def calibrated(
    lr_hsi: Cube | NDArray[Any], msi: NDArray[Any], *, bend: bool = False, start: Rig | None = None
) -> tuple[Calibration, float]:
    """The calibration, and the seconds that it took.

    Raises:
        RegistrationError: The pair does not tell.
    """
    begin = time.perf_counter_ns()
    found = calibrate([(lr_hsi, msi)], bend=bend, start=start)
    return found, (time.perf_counter_ns() - begin) / 1e9


def drawn_pair(
    scene: Scene, ratio: int, responses: Sequence[Response], limits: Limits, draw: int
) -> tuple[Misalignment, MisalignedPair]:
    """A pair and its misalignment. Seeded by its name, a scene keeps its pairs whatever other scenes there are."""
    rng = np.random.default_rng((zlib.crc32(scene.name.encode()), draw))
    cameras = Cameras(
        ratio=ratio,
        response=responses[int(rng.integers(len(responses)))],
        degradation=REALISTIC,
        psf_fwhm_lr=float(rng.uniform(*limits.psf_fwhm_lr)),
        margin_lr=limits.margin_lr,
        vignetting=limits.vignetting,
        gamma=limits.gamma,
    )
    misalignment = Misalignment.drawn(rng, shift_lr=limits.shift_lr, angle_deg=limits.angle_deg, growth=limits.growth)
    if limits.affine or limits.perspective:
        warp = np.eye(3)
        warp[:2, :2] += rng.uniform(-limits.affine, limits.affine, (2, 2))
        warp[2, :2] = rng.uniform(-limits.perspective, limits.perspective, 2)
        misalignment = replace(misalignment, warp=warp)
    return misalignment, misaligned_pair(scene.cube, cameras, misalignment, rng)


def true_rig(pair: MisalignedPair) -> Rig:
    """Of a simulated pair."""
    return Rig(lr_shape=pair.lr_hsi.shape[:2], msi_shape=pair.msi.shape[:2], msi_from_lr=pair.msi_from_lr)
