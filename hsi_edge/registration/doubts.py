"""How far a refinement is to be believed: its standard errors, and why not to fuse with an RGB frame, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hsi_edge.registration.explanation import Explanation, Matrix, Score
from hsi_edge.registration.guide_samples import Sight

SYSTEMATIC_LR = 0.002
"""Of every standard error: real spectrometers do not see all bands at the same place, so the truth has that width."""
LEAST_EXPLAINED = 0.5
"""Of the bands' variance: where the RGB explains less, it shows another place."""
MOST_STD_LR = 0.05
"""A twentieth of an LR pixel costs decibels; a frame that does not tell better cannot be relied on."""
SURE = 4.0
"""Standard errors that blur and parallax must have: a good frame shows them by chance once in ten thousand."""
MOST_BLUR_LR2 = 0.075
"""Extra variance of the RGB frame's blur, in LR pixels squared: a Gaussian of two thirds of an LR pixel."""
MOST_PARALLAX_LR = 0.1
BLOCK_LR, MOST_BLOCKS = 6, 4
"""Least side of the blocks whose displacements are compared, and how many there are at most along each side."""


def standard_errors(fit: Score, side_lr: int) -> Matrix:
    """Of shift and scale, `(3,)`, in LR pixels and parts of 1, the systematic part included.

    Args:
        fit: Its first three parameters are shift and scale.
        side_lr: The frame's longer side; nothing is less known than to within the frame.
    """
    systematic = SYSTEMATIC_LR * np.array([1, 1, 2 / side_lr])
    errors = np.sqrt(np.maximum(np.diag(fit.first(3).covariance()), 0) + systematic**2)
    known: Matrix = np.minimum(errors, (side_lr, side_lr, 1))
    return known


def doubts_about(sight: Sight, found: Explanation, fit: Score, std: Matrix, *, explained: float) -> tuple[str, ...]:
    """Why not to fuse with the RGB frame; empty where nothing speaks against it.

    Args:
        sight: The RGB frame from the pose that was found.
        found: How it explains the bands.
        fit: For shift, scale, and the variances of the PSF along x and y.
        std: The standard errors of shift and scale.
        explained: What part of the bands' variance the RGB frame explains.
    """
    checks = (_failure(explained), _texture(std), _blur(fit), _parallax(sight, found, fit))
    return tuple(doubt for check in checks for doubt in check)


def _failure(explained: float) -> Iterator[str]:
    if not explained >= LEAST_EXPLAINED:
        parts = f"{100 * explained:.0f} percent of the bands, wanted at least {100 * LEAST_EXPLAINED:.0f}"
        yield f"does not fit: the RGB frame explains {parts}"


def _texture(std: Matrix) -> Iterator[str]:
    worst = float(std[:2].max())
    if not worst <= MOST_STD_LR:
        yield f"no texture in common: the shift can be told to {worst:.2g} LR pixels only, wanted {MOST_STD_LR}"


def _blur(fit: Score) -> Iterator[str]:
    """A blurred RGB frame needs less of the spectral sensor's PSF to look like the spectral frame."""
    missing, errors = -fit.step[3:], fit.plain_errors[3:]
    for axis, extra, error in zip(("columns", "rows"), missing, errors, strict=True):
        if extra > max(MOST_BLUR_LR2, SURE * error):
            yield f"blur: the RGB frame is blurred across {axis} by {np.sqrt(8 * np.log(2) * extra):.1f} LR pixels"


def _parallax(sight: Sight, found: Explanation, fit: Score) -> Iterator[str]:
    """What is left of the displacement in blocks, by one step of each alone from where the whole frame rests."""
    along_x, along_y = np.split(found.unexplained(np.concatenate([sight.by_x, sight.by_y])), 2)
    weighted_x, weighted_y = (found.metric.astype(np.float32) @ along for along in (along_x, along_y))
    pairs = ((along_x, weighted_x), (along_x, weighted_y), (along_y, weighted_y))
    information = np.zeros((3, sight.seen.size))
    information[:, found.spectra.seen.at] = [(one * other).sum(axis=0) for one, other in pairs]
    pull_x, pull_y = _block_sums(fit.per_pixel[:2])
    xx, xy, yy = _block_sums(information.reshape(-1, *sight.seen.shape))
    area = np.maximum(xx * yy - xy * xy, np.finfo(np.float64).tiny)
    left = np.stack([yy * pull_x - xy * pull_y, xx * pull_y - xy * pull_x]) / area
    # Of noise alone, as in `Score.plain_errors`: parallax itself would add most to any other.
    errors = np.sqrt(fit.spare * np.stack([yy, xx]) / area + SYSTEMATIC_LR**2)
    apart = np.where(np.abs(left) > np.maximum(MOST_PARALLAX_LR, SURE * errors), np.abs(left), 0)
    if apart.any():
        yield f"parallax: parts of the RGB frame lie off by {apart.max():.2f} LR pixels against the others"


def _block_sums(maps: Matrix) -> Matrix:
    for axis in (1, 2):
        side = maps.shape[axis]
        blocks = int(np.clip(side // BLOCK_LR, 1, MOST_BLOCKS))
        maps = np.add.reduceat(maps, np.arange(blocks) * side // blocks, axis=axis)
    return maps
