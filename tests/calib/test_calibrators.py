from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calib.calibrators import LEVELS, divergences, entropy, minmax, percentile
from calib.ranges import BINS, Histogram


def spread(values: np.ndarray) -> dict[str, Histogram]:
    made = Histogram()
    made.add(values.astype(np.float32))
    return {"x": made}


def divergence(counts: np.ndarray, threshold: int) -> float:
    """As in Migacz's talk, bin by bin."""
    p = counts[:threshold].astype(float)
    p[-1] += counts[threshold:].sum()
    q = np.zeros(threshold)
    edges = np.rint(threshold * np.linspace(0, 1, LEVELS + 1)).astype(int)
    for low, high in pairwise(edges):
        filled = [index for index in range(low, high) if p[index] > 0]
        for index in filled:
            q[index] = counts[low:high].sum() / len(filled)
    if q.sum() == 0:
        return np.inf
    p, q = p / p.sum(), q / q.sum()
    if np.any((p > 0) & (q == 0)):
        return np.inf
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


@given(st.lists(st.integers(0, 6), min_size=10, max_size=400).filter(any))
def test_the_divergences_are_those_of_the_definition(counts):
    counts = np.array(counts)
    thresholds = np.unique(np.linspace(1, len(counts), 20).astype(int))
    found = divergences(counts, thresholds)
    wanted = [divergence(counts, threshold) for threshold in thresholds]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_entropy_takes_the_threshold_of_least_divergence(rng):
    histograms = spread(np.concatenate([rng.standard_normal(5000), [9.0]]))
    counts = histograms["x"].counts
    filled = int(np.flatnonzero(counts)[-1]) + 1
    chosen = round(entropy(histograms)["x"] / histograms["x"].width)
    least = min(divergence(counts, threshold) for threshold in range(LEVELS, filled + 1, 37))
    assert divergence(counts, chosen) <= least


def test_entropy_clips_far_outliers_of_a_gaussian_and_minmax_does_not(rng):
    histograms = spread(np.concatenate([rng.standard_normal(200_000), [40.0, -50.0, 60.0]]))
    assert minmax(histograms)["x"] == 60
    assert 3 < entropy(histograms)["x"] < 6
    assert 3 < percentile(histograms)["x"] < 6


def test_entropy_clips_a_uniform_spread_hardly(rng):
    assert entropy(spread(rng.uniform(-2, 2, 200_000)))["x"] > 1.98


def test_int8_of_the_range_by_entropy_is_nearer_to_the_values_than_that_of_minmax(rng):
    values = np.concatenate([rng.standard_normal(200_000), [60.0]]).astype(np.float32)

    def error(amax: float) -> float:
        step = amax / 127
        return float(np.median(np.abs(np.clip(np.rint(values / step), -127, 127) * step - values)))

    histograms = spread(values)
    assert error(entropy(histograms)["x"]) < 0.2 * error(minmax(histograms)["x"])


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.99])
def test_percentile_is_that_of_the_magnitudes_to_a_bin(rng, percent):
    values = np.maximum(rng.standard_normal(100_000), 0).astype(np.float32)
    histograms = spread(values)
    wanted = np.percentile(np.abs(values), percent)
    assert percentile(histograms, percent)["x"] == pytest.approx(wanted, abs=2 * histograms["x"].width)


def test_values_that_are_all_the_same_keep_their_range():
    histograms = spread(np.full(1000, 5.0))
    assert minmax(histograms) == percentile(histograms) == entropy(histograms) == {"x": 5.0}


def test_a_tensor_of_zeros_has_no_range():
    histograms = spread(np.zeros(100))
    assert minmax(histograms) == percentile(histograms) == entropy(histograms) == {"x": 0.0}


def test_no_calibrator_passes_the_largest_magnitude(rng):
    for values in (rng.exponential(size=1000), rng.uniform(0, 1 / 3, 1000), np.array([1e-30, 1.0])):
        histograms = spread(values)
        for found in (percentile(histograms, 100.0)["x"], entropy(histograms)["x"]):
            assert found <= histograms["x"].amax
    assert BINS >= 2048
