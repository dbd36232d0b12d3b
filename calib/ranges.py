"""How the magnitudes of activations are spread over the calibration tiles: one histogram per tensor, in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.graph import graph_bytes, open_graph
from hsi_edge.errors import InputError, require

Float = NDArray[np.float32]

BINS = 4096
"""Of a histogram; at least half of them lie below the largest magnitude."""
GROUP = 24
"""Tensors that one run of the network gives; a run holds them all at once."""


@dataclass
class Histogram:
    """The magnitudes of one tensor in equal bins from 0 to a power of two above the largest.

    When a larger magnitude comes, neighbouring bins are put together. So the counts depend on the values alone, not on
    the order in which they came.

    Attributes:
        counts: `(BINS,)`, of all values but exact zeros, which every scale represents.
        zeros: Number of exact zeros.
        amax: The largest magnitude.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    zeros: int = 0
    amax: float = 0.0

    @property
    def width(self) -> float:
        """Of a bin; 0 where all values are 0."""
        return float(np.ldexp(1.0, _exponent(self.amax))) / BINS if self.amax > 0 else 0.0

    def add(self, values: Float) -> None:
        """Count an array of finite values, of any shape."""
        magnitudes = np.abs(values).ravel()
        amax = max(self.amax, float(magnitudes.max(initial=0)))
        self._widen(amax)
        nonzero = magnitudes[magnitudes > 0]
        self.zeros += magnitudes.size - nonzero.size
        if nonzero.size:
            # By powers of two, which round nothing.
            bins = np.ldexp(nonzero, BINS.bit_length() - 1 - _exponent(amax)).astype(np.int64)
            self.counts += np.bincount(bins, minlength=BINS)

    def _widen(self, amax: float) -> None:
        if self.amax > 0:
            times = min(_exponent(amax) - _exponent(self.amax), BINS.bit_length() - 1)
            merged = self.counts.reshape(-1, 1 << times).sum(axis=1)
            self.counts = np.pad(merged, (0, BINS - merged.size))
        self.amax = amax


Histograms = Mapping[str, Histogram]
"""By the name of the tensor."""


def collect(model: bytes, tensors: Sequence[str], tiles: Iterable[Mapping[str, Float]]) -> Histograms:
    """Run the tiles through the FP32 graph and count the magnitudes of these tensors.

    Args:
        model: The FP32 graph, an ONNX file.
        tensors: Names of activations or inputs, such as `calib.int8.quantized_tensors` gives.
        tiles: Inputs by name (NCHW); read once.

    Raises:
        InputError: There is no such tensor, no tile, or a tile or what the network makes of it is not finite.
        MissingPackageError: ONNX Runtime is not installed.
    """
    sessions = [_session(model, tensors[start : start + GROUP]) for start in range(0, len(tensors), GROUP)]
    histograms = {name: Histogram() for name in tensors}
    count = 0
    for count, tile in enumerate(tiles, start=1):
        for name, array in tile.items():
            _want_finite(array, f"input {name!r} of calibration tile {count}", "wanted tiles without invalid pixels")
        for names, session in sessions:
            computed = [name for name in names if name not in tile]
            arrays = dict(zip(computed, session.run(computed, dict(tile)), strict=True)) if computed else {}
            for name in names:
                array = arrays[name] if name in arrays else tile[name]
                _want_finite(
                    array, f"{name!r} in calibration tile {count}", "the network overflows on it; leave it out"
                )
                histograms[name].add(array)
    if count == 0:
        raise InputError("there is no calibration tile; wanted some from the scenes that the model will see")
    return histograms


def _exponent(amax: float) -> int:
    """Of the power of two above a magnitude."""
    return math.frexp(amax)[1]


def _want_finite(array: Float, what: str, wanted: str) -> None:
    wrong = array.size - int(np.count_nonzero(np.isfinite(array)))
    if wrong:
        raise InputError(f"{what} has {wrong} values that are NaN or infinite; {wanted}")


def _session(model: bytes, names: Sequence[str]) -> tuple[Sequence[str], Any]:
    """A session whose outputs are these tensors."""
    runtime = require("onnxruntime", feature="calibration", extra="onnxruntime")
    graph = open_graph(model)
    known = graph.tensors()
    inputs = {tensor.name for tensor in graph.inputs}
    for name in names:
        if name not in known:
            raise InputError(f"there is no tensor {name!r} in the graph, so its range cannot be found")
    computed = [known[name] for name in names if name not in inputs]
    graph.outputs = computed or graph.outputs
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(graph_bytes(graph), options, providers=["CPUExecutionProvider"])
    return names, session
