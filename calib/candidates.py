"""Graphs of a precision, with any of their layers put back to a wider one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

from calib.fp16 import fp16_graph, fp32_by_rule
from calib.graph import LAYERS, open_graph
from calib.int8 import float_by_rule, int8_graph, quantizable_layers
from calib.runner import Compile, Form, Graphs, half_arithmetic, openvino
from calib.tiles import Inputs

Method = Literal["casts", "minmax", "percentile", "entropy"]


class Candidates(Protocol):
    """All graphs of one precision that can be made of a network's FP32 graphs.

    Attributes:
        method: How they are made.
        layers: Those that can be put back, in the graph's order.
    """

    method: Method
    layers: tuple[str, ...]

    @property
    def compile(self) -> Compile:
        """How the graphs are judged."""

    def graph(self, form: Form, put_back: Collection[str]) -> bytes:
        """One form of the graph whose layers `put_back` are wider."""

    def wider(self, put_back: Collection[str]) -> tuple[str, ...]:
        """Everything that is computed wider in that graph, put back or by rule, in the graph's order."""


class FP16Candidates:
    """FP16 graphs, some layers in FP32.

    Args:
        fp32: The FP32 graphs.
        overflowing: What is FP32 in every candidate, since its numbers do not fit into FP16.
    """

    method: Method = "casts"
    compile = staticmethod(half_arithmetic)

    def __init__(self, fp32: Graphs, overflowing: Sequence[str]) -> None:
        self._fp32 = fp32
        self._overflowing = tuple(overflowing)
        self._by_rule = set(fp32_by_rule(fp32["whole"]))
        nodes = open_graph(fp32["whole"]).nodes
        self._names = [node.name for node in nodes]
        kept = {*self._overflowing, *self._by_rule}
        self.layers = tuple(node.name for node in nodes if node.op in LAYERS and node.name not in kept)

    def graph(self, form: Form, put_back: Collection[str]) -> bytes:
        """See `Candidates`."""
        graph = self._fp32[form]
        return fp16_graph(graph, (*present(graph, self._overflowing), *put_back))

    def wider(self, put_back: Collection[str]) -> tuple[str, ...]:
        """See `Candidates`."""
        return tuple(name for name in self._names if name in {*self._by_rule, *self._overflowing, *put_back})


class INT8Candidates:
    """INT8 graphs, some layers and all that is no convolution in FP16.

    Args:
        method: The calibrator that found the ranges.
        fp16: The FP16 graphs.
        ranges: Largest magnitudes by tensor.
    """

    compile = staticmethod(openvino)

    def __init__(self, method: Method, fp16: Graphs, ranges: Mapping[str, float]) -> None:
        self.method = method
        self._fp16 = fp16
        self._ranges = ranges
        self.layers = quantizable_layers(fp16["whole"])
        self._by_rule = tuple(float_by_rule(fp16["whole"]))

    def graph(self, form: Form, put_back: Collection[str]) -> bytes:
        """See `Candidates`."""
        return int8_graph(self._fp16[form], self._ranges, tuple(put_back))

    def wider(self, put_back: Collection[str]) -> tuple[str, ...]:
        """See `Candidates`."""
        return (*(name for name in self.layers if name in put_back), *self._by_rule)


def present(graph: bytes, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the nodes that a graph has: the two forms differ in where their statistics come from."""
    nodes = {node.name for node in open_graph(graph).nodes}
    return tuple(name for name in names if name in nodes)


def graphs_of(candidates: Candidates, forms: Collection[Form], put_back: Collection[str]) -> Graphs:
    """All forms of one candidate."""
    return {form: candidates.graph(form, put_back) for form in forms}


def tile_form(graphs: Graphs) -> Form:
    """The form that runs on tiles."""
    return "given" if "given" in graphs else "whole"


def shapes_of(inputs: Inputs) -> dict[str, tuple[int, ...]]:
    """The shapes of a graph's inputs."""
    return {name: array.shape for name, array in inputs.items()}
