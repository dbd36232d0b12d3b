"""What else could say how well two frames lie on each other: other criteria, told the same and begun at the same place.

They compare two grey images, as they are made for: the mean of the bands, and the mean of the RGB's channels as the
spectral sensor would see it, blurred and sampled anew where each round has put it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hsi_edge.registration.evidence import FINE_PX, Evidence, evidence_from_pair, seen
from hsi_edge.registration.fitting import Freedom, fit
from hsi_edge.registration.rig import Rig

Matrix = NDArray[np.float64]
Criterion = Callable[[NDArray[Any], NDArray[Any], Rig, bool], Rig]

ROUNDS = 5
"""Of blurring and sampling where the last round has put it."""
BINS = 16
"""Of the joint histogram, per image."""
ECC_STEPS, ECC_RESTING = 200, 1e-8
FIRST_STEP_LR = 0.3
"""Of the simplex that climbs the mutual information, at the frame's border for rotation and scale."""


def regression(lr_hsi: NDArray[Any], msi: NDArray[Any], start: Rig, shift_only: bool) -> Rig:
    """Ours. Always a similarity, with an unknown width of the blur."""
    return fit([_evidence(lr_hsi, msi, start)], start, Freedom("similarity")).rig


def mutual_information(lr_hsi: NDArray[Any], msi: NDArray[Any], start: Rig, shift_only: bool) -> Rig:
    """Of the joint histogram of the grey images (Viola, Wells, International Journal of Computer Vision 1997)."""
    evidence, grey = _evidence(lr_hsi, msi, start), lr_hsi.mean(axis=2)

    def unlike(step: Matrix) -> float:
        other = _grey(evidence, _moved(start, step))
        joint, _, _ = np.histogram2d(grey.ravel(), other.ravel(), BINS)
        share = joint / joint.sum()
        apart = share.sum(axis=1, keepdims=True) * share.sum(axis=0, keepdims=True)
        return -float(np.sum(share[joint > 0] * np.log(share[joint > 0] / apart[joint > 0])))

    count = 2 if shift_only else 4
    simplex = np.concatenate([np.zeros((1, count)), FIRST_STEP_LR * np.eye(count)])
    found = minimize(unlike, np.zeros(count), method="Nelder-Mead", options={"initial_simplex": simplex})
    return _moved(start, found.x)


def enhanced_correlation(lr_hsi: NDArray[Any], msi: NDArray[Any], start: Rig, shift_only: bool) -> Rig:
    """ECC (Evangelidis, Psarakis, IEEE PAMI 2008) by OpenCV, which has no similarity: an affine transform instead."""
    kind = cv2.MOTION_TRANSLATION if shift_only else cv2.MOTION_AFFINE
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, ECC_RESTING)

    def step(grey: NDArray[np.float32], other: NDArray[np.float32]) -> Matrix:
        warp = np.eye(2, 3, dtype=np.float32)
        with suppress(cv2.error):  # it does not converge: where it stands is its answer
            _, warp = cv2.findTransformECC(grey, other, warp, kind, until, None, 1)
        return np.asarray(np.vstack([warp, [0, 0, 1]]), np.float64)

    return _in_rounds(lr_hsi, msi, start, step)


def phase_correlation(lr_hsi: NDArray[Any], msi: NDArray[Any], start: Rig, shift_only: bool) -> Rig:
    """By OpenCV, with a Hann window (Kuglin, Hines, 1975). Finds shifts only."""

    def step(grey: NDArray[np.float32], other: NDArray[np.float32]) -> Matrix:
        window = cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F)
        (x, y), _ = cv2.phaseCorrelate(grey - grey.mean(), other - other.mean(), window)
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    return _in_rounds(lr_hsi, msi, start, step)


CRITERIA: dict[str, Criterion] = {
    "regression residual": regression,
    "mutual information": mutual_information,
    "ECC": enhanced_correlation,
    "phase correlation": phase_correlation,
}


def _in_rounds(lr_hsi: NDArray[Any], msi: NDArray[Any], start: Rig, step: Callable[..., Matrix]) -> Rig:
    evidence, rig = _evidence(lr_hsi, msi, start), start
    grey = np.ascontiguousarray(lr_hsi.mean(axis=2), np.float32)
    # OpenCV counts from the middle of the first pixel, a rig from its corner.
    corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    for _ in range(ROUNDS):
        found = corner @ step(grey, _grey(evidence, rig)) @ np.linalg.inv(corner)
        rig = replace(rig, msi_from_lr=rig.msi_from_lr @ found)
    return rig


def _evidence(lr_hsi: NDArray[Any], msi: NDArray[Any], start: Rig) -> Evidence:
    return evidence_from_pair(lr_hsi, msi).coarse_planes(int(start.msi_px_per_lr_px / FINE_PX))


def _grey(evidence: Evidence, rig: Rig) -> NDArray[np.float32]:
    """The RGB as the spectral sensor would see it; its squares, which follow the channels, are left out."""
    values = seen(evidence, rig).values
    return np.ascontiguousarray(values[: len(values) // 2].mean(axis=0).reshape(rig.lr_shape), np.float32)


def _moved(rig: Rig, step: Matrix) -> Rig:
    """By a shift, and by growth and rotation if they are given, in LR pixels at the border."""
    dx, dy, grow, turn = (*step, 0, 0)[:4]
    rows, cols = rig.lr_shape
    reach = max(rows, cols) / 2
    middle = np.array([[1, 0, cols / 2], [0, 1, rows / 2], [0, 0, 1]])
    move = np.array([[1 + grow / reach, -turn / reach, dx], [turn / reach, 1 + grow / reach, dy], [0, 0, 1]])
    return replace(rig, msi_from_lr=rig.msi_from_lr @ middle @ move @ np.linalg.inv(middle))
