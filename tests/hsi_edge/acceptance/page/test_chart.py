"""Drawings of measurements: well-formed, within their frame, with gaps where nothing was told."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.acceptance.page.chart import Line, distribution, legend, line_chart

NUMBERS = st.floats(-1e9, 1e9)


def points(svg):
    lines = ElementTree.fromstring(svg).iter("polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points").split()] for line in lines]


@given(st.lists(st.one_of(NUMBERS, st.just(float("nan"))), min_size=1, max_size=50), st.booleans())
def test_every_finite_value_is_drawn_within_the_frame(values, from_zero):
    y = np.array(values)
    svg = line_chart([Line("a", np.arange(len(y), dtype=float), y)], "frame", "ms", from_zero=from_zero)
    drawn = [pair for run in points(svg) for pair in run]
    assert len(drawn) == np.isfinite(y).sum()
    assert all(66 <= x <= 500 and 24 <= at <= 232 for x, at in drawn)


def test_a_gap_in_the_values_is_a_gap_in_the_line():
    y = np.array([1.0, 2.0, np.nan, 3.0])
    assert [len(run) for run in points(line_chart([Line("a", np.arange(4.0), y)], "x", "y", from_zero=True))] == [2, 1]


def test_a_limit_lies_in_the_drawing_even_far_above_all_values():
    svg = line_chart([Line("a", np.arange(3.0), np.ones(3))], "x", "y", limits={"deadline <40>": 40.0}, from_zero=True)
    (line,) = (line for line in ElementTree.fromstring(svg).iter("line") if line.get("class") == "limit")
    assert 24 <= float(line.get("y1")) < 60
    assert "deadline &lt;40&gt;" in svg


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=300))
def test_a_distribution_counts_every_frame(latencies):
    svg = distribution({"a": latencies}, "ms", marks={"p50": float(np.median(latencies))})
    assert points(svg)[0]
    steps = np.histogram(np.clip(latencies, 0, None), 40)[0]
    assert steps.sum() == len(latencies)


def test_one_straggler_does_not_squeeze_all_others_into_one_bin(rng):
    latencies = [*rng.normal(20, 1, 999), 1e4]
    (run,) = points(distribution({"a": latencies}, "ms", marks={}))
    assert len({at for _, at in run}) > 5


def test_names_in_a_legend_are_text():
    assert "<script>" not in legend(["<script>"])
