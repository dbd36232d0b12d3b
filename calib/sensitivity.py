"""How much each layer costs the output's accuracy, measured, and in which order to put layers back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calib.candidates import Candidates, FP16Candidates, shapes_of, tile_form
from calib.costs import layer_macs
from calib.runner import Compile, Graphs, Run, openvino
from calib.tiles import CalibrationTile
from hsi_edge.resampling import Float

MOST_BLOCKS = 48
"""Networks of more layers are measured in blocks of neighbours, so that the measurement ends."""
TAKEN_APART = 8
"""Of such blocks, those that come first are then measured layer by layer: few layers make a block sensitive."""
TILES = 3
"""Tiles that are measured on, of different scenes: errors of layers differ by far more than between tiles."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What a block of layers does to the output in the narrow precision.

    Attributes:
        layers: Their names.
        error: Mean squared error of the bands that it alone causes, in parts of the squared peak.
        share: Of the network's multiply-accumulates.
    """

    layers: tuple[str, ...]
    error: float
    share: float

    @property
    def error_by_cost(self) -> float:
        """What is won per arithmetic that becomes slower."""
        return self.error / max(self.share, 1e-9)


def rank(candidates: Candidates, fp32: Graphs, tiles: Sequence[CalibrationTile], say: Say) -> tuple[Sensitivity, ...]:
    """Measure all layers, one by one or in blocks; the ones to put back first come first."""
    measure = _Measurement(candidates, fp32, tiles, say)
    ranked = _sorted(measure(block) for block in blocks(candidates.layers))
    apart = [block for block in ranked[:TAKEN_APART] if len(block.layers) > 1]
    if apart:
        say(f"measuring the layers of the {len(apart)} most sensitive blocks one by one:")
    single = [measure((layer,)) for block in apart for layer in block.layers]
    return _sorted([*(block for block in ranked if block not in apart), *single])


def _sorted(found: Iterable[Sensitivity]) -> tuple[Sensitivity, ...]:
    return tuple(sorted(found, key=lambda each: -each.error_by_cost))


def blocks(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """The layers one by one, or, where they are many, in blocks of neighbours of even size."""
    count = max(1, min(len(layers), MOST_BLOCKS))
    ends = [index * len(layers) // count for index in range(count + 1)]
    return [tuple(layers[first:last]) for first, last in pairwise(ends)]


def spread_tiles(tiles: Sequence[CalibrationTile]) -> list[CalibrationTile]:
    """A few tiles of one shape, of different places: a graph is compiled once for each shape."""
    by_shape: dict[object, list[CalibrationTile]] = {}
    for tile in tiles:
        by_shape.setdefault(tuple(shapes_of(tile.inputs).items()), []).append(tile)
    most = max(by_shape.values(), key=len)
    return [most[int((index + 0.5) * len(most) / TILES)] for index in range(TILES)] if len(most) > TILES else most


class _Measurement:
    """Measures blocks of layers of one network.

    Each is judged alone in the narrow precision; in FP16, where what is no layer stays narrow whatever is put back, by
    the error that goes when it is put back.
    """

    def __init__(self, candidates: Candidates, fp32: Graphs, tiles: Sequence[CalibrationTile], say: Say) -> None:
        self._candidates = candidates
        self._form = tile_form(fp32)
        self._probe = _Probe(fp32[self._form], tiles, candidates.compile)
        self._macs = layer_macs(fp32[self._form], shapes_of(tiles[0].inputs))
        self._baseline = self._probe.error(candidates.graph(self._form, ()))
        self._say = say

    def __call__(self, block: tuple[str, ...]) -> Sensitivity:
        share = sum(self._macs.get(name, 0) for name in block) / sum(self._macs.values())
        error = self._won(block) if isinstance(self._candidates, FP16Candidates) else self._alone(block)
        name = block[0] if len(block) == 1 else f"{block[0]} to {block[-1]}"
        self._say(f"  {name}: RMS error {math.sqrt(error):.2e}, {100 * share:.1f} percent of the arithmetic")
        return Sensitivity(layers=block, error=error, share=share)

    def _alone(self, block: tuple[str, ...]) -> float:
        others = [name for name in self._candidates.layers if name not in block]
        return self._probe.error(self._candidates.graph(self._form, others))

    def _won(self, block: tuple[str, ...]) -> float:
        left = self._probe.error(self._candidates.graph(self._form, block))
        return 0.0 if math.isinf(left) else max(0.0, self._baseline - left)


class _Probe:
    """Runs graphs on a few tiles and compares them with FP32."""

    def __init__(self, fp32: bytes, tiles: Sequence[CalibrationTile], compile_graph: Compile) -> None:
        self._tiles = tiles
        self._compile = compile_graph
        run = openvino(fp32, shapes_of(tiles[0].inputs))
        self._wanted = [_bands(run, tile) for tile in tiles]

    def error(self, graph: bytes) -> float:
        """Mean squared error; infinite where the output is not finite."""
        run = self._compile(graph, shapes_of(self._tiles[0].inputs))
        outputs = [_bands(run, tile) for tile in self._tiles]
        if not all(np.isfinite(output).all() for output in outputs):
            return float("inf")
        pairs = zip(outputs, self._wanted, strict=True)
        return float(np.mean([np.mean(np.square(got - wanted, dtype=np.float64)) for got, wanted in pairs]))


def _bands(run: Run, tile: CalibrationTile) -> Float:
    output = np.array(run(tile.inputs)["hr_hsi"][0])
    bands: Float = tile.frame.bands_from(output) / np.float32(tile.frame.scale)
    return bands
