"""From the spread of an activation's magnitudes to the largest one that INT8 shall hold; what lies above is clipped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.ranges import Histogram, Histograms

LEVELS = 128
"""Magnitudes that INT8 tells apart."""


def minmax(histograms: Histograms) -> dict[str, float]:
    """The largest magnitudes that were seen: nothing is clipped, and one outlier costs all others their resolution."""
    return {name: histogram.amax for name, histogram in histograms.items()}


def percentile(histograms: Histograms, percent: float = 99.99) -> dict[str, float]:
    """The magnitudes that `percent` of all values do not pass, to the width of a bin."""
    return {name: _percentile(histogram, percent) for name, histogram in histograms.items()}


def entropy(histograms: Histograms) -> dict[str, float]:
    """The magnitudes at which the INT8 values tell most about the real ones.

    For every threshold, the spread of the values clipped to it is compared with what `LEVELS` equal levels leave of it,
    and the threshold with the least Kullback-Leibler divergence is taken. Method: S. Migacz, "8-bit Inference with
    TensorRT", GPU Technology Conference 2017; here with finer bins than its 2048, and without exact zeros, which lose
    nothing.
    """
    return {name: _entropy(histogram) for name, histogram in histograms.items()}


def _percentile(histogram: Histogram, percent: float) -> float:
    below = histogram.zeros + np.cumsum(histogram.counts)
    last = int(np.searchsorted(below, below[-1] * percent / 100))
    return min((last + 1) * histogram.width, histogram.amax)


def _entropy(histogram: Histogram) -> float:
    if histogram.amax == 0:
        return 0.0
    filled = int(np.flatnonzero(histogram.counts)[-1]) + 1
    thresholds = np.arange(min(LEVELS, filled), filled + 1)
    divergence = divergences(histogram.counts[:filled], thresholds)
    # Of equal ones the largest: it clips least.
    best = thresholds[len(thresholds) - 1 - int(np.argmin(divergence[::-1]))]
    return min(float(best) * histogram.width, histogram.amax)


def divergences(counts: NDArray[np.int64], thresholds: NDArray[np.int64]) -> NDArray[np.float64]:
    """KL divergence, in nats, of the clipped counts from their quantised selves, for thresholds in bins.

    Of a threshold, P is the counts below it with all that lies above added to the last bin. Q spreads what lies below
    the threshold, in each of `LEVELS` equal groups of bins, evenly over the group's bins where P is not empty.

    Args:
        counts: `(bins,)`, not negative, not all 0.
        thresholds: `(n,)`, each from 1 to the number of bins.

    Returns:
        `(n,)`; infinite where nothing lies below the threshold.
    """
    total = int(counts.sum())
    sums = np.concatenate([[0], np.cumsum(counts)])
    filled = np.concatenate([[0], np.cumsum(counts > 0)])
    logs = np.concatenate([[0.0], np.cumsum(counts * np.log(np.maximum(counts, 1)))])
    edges = np.rint(thresholds[:, None] * np.linspace(0, 1, LEVELS + 1)).astype(np.int64)
    inside = sums[thresholds]
    clipped = total - inside
    last = counts[thresholds - 1]
    mass = np.diff(sums[edges], axis=1).astype(np.float64)
    bins = np.diff(filled[edges], axis=1).astype(np.float64)
    # The last bin holds what is clipped, in P alone, and may be filled by nothing else.
    group = np.array([np.flatnonzero(row)[-1] for row in np.diff(edges, axis=1)])
    rows = np.arange(len(thresholds))
    p_mass = mass.copy()
    p_mass[rows, group] += clipped
    bins[rows, group] += (last == 0) & (clipped > 0)
    own = logs[thresholds] - _x_log_x(last) + _x_log_x(last + clipped)
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.log(mass / bins)
        cross = np.where(p_mass > 0, p_mass * levels, 0.0).sum(axis=1)
        result = (own - cross) / total - np.log(total) + np.log(inside)
    result[inside == 0] = np.inf
    return np.asarray(np.where(np.isnan(result), np.inf, result))


def _x_log_x(values: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(values * np.log(np.maximum(values, 1)))
