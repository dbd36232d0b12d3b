"""Cleaning an exported graph with onnx-graphsurgeon: one small pass per file, `graph -> changed`, safe to run twice.

What was tried on OpenVINO for PZRes-Net (given statistics, tiles of 96 to 192 pixels, 2-core AVX-512 BF16 machine, one
thread, the least CPU time of 12 interleaved runs against the exporter's graph; times as fast in FP32 / in BF16):

| rewrite | gain | kept |
|---|---|---|
| 1x1 convolutions split over their concatenations (`split_convolutions`) | 1.08 to 1.13 / 1.16 to 1.30 | yes |
| the same, and dense layers 64 instead of 62 wide (`export.widen`) | 1.13 to 1.27 / 1.15 to 1.32 | yes |
| split in 2 or 3 parts that share their concatenations | 1.00 to 1.07 / 1.13 to 1.20 | no |
| every channel count filled up to a multiple of 16, lifted bands and residual too | 1.11 to 1.24 / 1.12 to 1.28 | no |
| nested concatenations | 0.99 / 1.14 | no |
| the means before 1x1 convolutions as a bias, b - W m | 1.00 / 1.05; 0.97 to 1.02 / 0.93 to 1.01 after the split | no |
| one Split instead of a Slice per mean | 1.01 / 1.00 to 1.06 | yes: it comes with `take_statistics` |
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_graphsurgeon as gs

from export.graph.names import name_nodes
from export.graph.split_convolutions import split_convolutions
from export.graph.unused import remove_unused

PASSES: tuple[Callable[[gs.Graph], bool], ...] = (split_convolutions, remove_unused, name_nodes)
"""In the order in which they run."""


def clean(graph: gs.Graph) -> None:
    """Run every pass once, in place."""
    for run_pass in PASSES:
        run_pass(graph)
