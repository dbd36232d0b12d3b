"""Spectra of a few pixels before and after, and which pixels to show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube

Spectrum = NDArray[np.float64]

_MOST_CANDIDATES = 10_000
_PLACE_WEIGHT = 1.0  # a frame's side counts as one standard deviation of its spectra


@dataclass(frozen=True, kw_only=True)
class PixelSpectra:
    """One LR pixel and what became of it.

    Attributes:
        row, col: The LR pixel.
        lr: Its spectrum, `(bands,)`, physical.
        hr_centre: Spectrum of the HR pixel in its centre (below and right of the centre where `ratio` is even).
        hr_mean: Mean spectrum of the `ratio` by `ratio` HR pixels in it.
    """

    row: int
    col: int
    lr: Spectrum
    hr_centre: Spectrum
    hr_mean: Spectrum


def pixel_spectra(lr: NDArray[np.float32], hr_hsi: Cube, ratio: int, count: int = 4) -> list[PixelSpectra]:
    """Return up to `count` pixels with distinct spectra, spread over the frame; the same for the same frame.

    Args:
        lr: `(rows, cols, bands)`, physical, NaN where there is no measurement.
        hr_hsi: `(rows * ratio, cols * ratio, bands)`, physical.
        ratio: HR pixels per LR pixel and side.
        count: How many.
    """
    found = []
    for row, col in _distinct_pixels(lr, count):
        footprint = np.asarray(
            hr_hsi.data[row * ratio : (row + 1) * ratio, col * ratio : (col + 1) * ratio], np.float64
        )
        centre = footprint[ratio // 2, ratio // 2]
        mean = footprint.mean(axis=(0, 1))
        found.append(PixelSpectra(row=row, col=col, lr=lr[row, col].astype(float), hr_centre=centre, hr_mean=mean))
    return found


def _distinct_pixels(lr: NDArray[np.float32], count: int) -> list[tuple[int, int]]:
    """Farthest-point choice: the most usual pixel, then each time the one least like those chosen."""
    step = max(1, int(np.ceil(np.sqrt(lr.shape[0] * lr.shape[1] / _MOST_CANDIDATES))))
    thinned = lr[step // 2 :: step, step // 2 :: step]
    measured = np.isfinite(thinned).any(axis=(0, 1))
    usable = np.isfinite(thinned[:, :, measured]).all(axis=2)
    places = np.argwhere(usable)
    if not measured.any() or not len(places):
        return []
    features = _features(thinned[:, :, measured][usable], places / usable.shape)
    chosen = [int(np.argmin(_distance(features, np.median(features, axis=0))))]
    nearest = _distance(features, features[chosen[0]])
    while len(chosen) < min(count, len(places)) and nearest.max() > 0:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, _distance(features, features[chosen[-1]]))
    return [(int(row) * step + step // 2, int(col) * step + step // 2) for row, col in places[chosen]]


def _features(spectra: NDArray[np.float32], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spectra in units of their spread, cut at the 2nd and 98th percentile so that a dead pixel is not the choice."""
    values = spectra.astype(np.float64)
    values = np.clip(values, *np.percentile(values, (2, 98), axis=0))
    spread = np.sqrt(values.var(axis=0).sum())
    return np.hstack([values / (spread if spread > 0 else 1.0), _PLACE_WEIGHT * place])


def _distance(features: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.linalg.norm(features - point, axis=1)
    return distance
