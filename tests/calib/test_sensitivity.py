from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calib import sensitivity
from calib.calibrators import minmax
from calib.candidates import INT8Candidates, shapes_of
from calib.costs import layer_macs
from calib.fp16 import fp16_graph
from calib.int8 import quantizable_layers, quantized_tensors
from calib.ranges import collect
from calib.sensitivity import MOST_BLOCKS, blocks, rank, spread_tiles
from calib.tiles import choose
from hsi_edge.scenes import read_scenes
from tests.calib.chain import DELICATE, chain, manifest, write_scenes
from tests.tiny_bundles import BANDS, HIDDEN, MSI_BANDS


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    folder = write_scenes(tmp_path_factory.mktemp("sensitivity") / "scenes")
    return choose(manifest(), read_scenes(folder, manifest()), measure=None).calibration


def candidates(graph, tiles):
    tensors = quantized_tensors(graph, quantizable_layers(graph))
    ranges = minmax(collect(graph, tensors, [tile.inputs for tile in tiles]))
    return INT8Candidates("minmax", {"whole": fp16_graph(graph)}, ranges)


def test_the_layer_that_does_not_bear_int8_comes_first(tiles):
    graph = chain(1000.0)
    lines: list[str] = []
    ranking = rank(candidates(graph, tiles), {"whole": graph}, spread_tiles(tiles), lines.append)
    assert ranking[0].layers == (DELICATE,)
    assert ranking[0].error > 100 * ranking[1].error
    assert len(lines) == 3


def test_in_a_deep_network_the_worst_blocks_are_taken_apart(tiles, monkeypatch):
    monkeypatch.setattr(sensitivity, "MOST_BLOCKS", 2)
    monkeypatch.setattr(sensitivity, "TAKEN_APART", 1)
    graph = chain(1000.0)
    ranking = rank(candidates(graph, tiles), {"whole": graph}, spread_tiles(tiles), lambda _: None)
    assert ranking[0].layers == (DELICATE,)
    assert sorted(layer for each in ranking for layer in each.layers) == ["first", "second", "third"]


@given(st.integers(1, 400))
def test_blocks_hold_every_layer_once_and_in_order(count):
    layers = [f"layer-{n}" for n in range(count)]
    found = blocks(layers)
    assert [name for block in found for name in block] == layers
    assert len(found) == min(count, MOST_BLOCKS)
    sizes = {len(block) for block in found}
    assert max(sizes) - min(sizes) <= 1


def test_a_layer_costs_its_weights_times_its_pixels(tiles):
    shapes = shapes_of(tiles[0].inputs)
    pixels = shapes["base"][2] * shapes["base"][3]
    macs = layer_macs(chain(), shapes)
    assert macs["first"] == (BANDS + MSI_BANDS) * HIDDEN * 9 * pixels
    assert macs["last"] == HIDDEN * BANDS * 9 * pixels
