"""How far a graph's output sees, read off its nodes: for every tensor, what of the images its pixels depend on.

An axis of a tensor is described by two arrays, the first and the last HR pixel that each of its pixels depends on; an
LR pixel counts as all HR pixels of its ground. Every operation that moves pixels becomes a table of source indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from hsi_edge.errors import ExportError
from hsi_edge.manifest import LR_IMAGES
from hsi_edge.subspace import MARGIN_LR

Index = NDArray[np.int64]
OUTPUT = "hr_hsi"
IMAGE_AXES = 4
"""An input with other axes than NCHW is no image, but numbers about the frame."""
MARGINS = {"features": MARGIN_LR}
"""LR images that a tile is given with so many more pixels on every side."""
LR_SIDE = 720
"""LR pixels of the frame that is read: divisible by many strides, and many times as far as any network here sees."""
LOCAL = ("Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Sigmoid", "PRelu", "Identity")
"""Operations that work pixel by pixel."""
ALONG_CHANNELS = ("Concat", "Gather", "Split", "ReduceSum")
"""Operations that do so along any axis but rows and columns."""
RESHAPED = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
_NONE = 1 << 40


@dataclass(frozen=True)
class Span:
    """Per pixel along an axis, the first and the last HR pixel that it depends on; none where `first` is larger."""

    first: Index
    last: Index

    def taken(self, index: Index) -> Span:
        """`index` is `(pixels, taps)`, the source of every tap, -1 where it lies outside."""
        # The index -1 reads what is appended.
        first, last = np.append(self.first, _NONE), np.append(self.last, -_NONE)
        return Span(first[index].min(axis=1), last[index].max(axis=1))

    def united(self, other: Span) -> Span:
        """What either depends on."""
        return Span(np.minimum(self.first, other.first), np.maximum(self.last, other.last))


Field = tuple[Span, Span]
"""Of rows and of columns."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What tiles need.

    Attributes:
        fields: By image, what of it each row and column of the output depends on, in a frame of `LR_SIDE` LR pixels.
        ratio: HR pixels per LR pixel.
        alignment_lr: Tile origins and sizes are multiples of this, as some tensor's grid is that much coarser.
    """

    fields: Mapping[str, Field]
    ratio: int
    alignment_lr: int

    @property
    def radius_px(self) -> int:
        """The farthest HR pixel that an output pixel depends on."""
        return max(self._distance(image, 1) for image in self.fields)

    @property
    def halo_lr(self) -> int:
        """How many LR pixels around its own a tile must hold, filled up to the alignment."""
        beyond = max(self._distance(image, self.ratio) - MARGINS.get(image, 0) for image in self.fields)
        return math.ceil(max(0, beyond) / self.alignment_lr) * self.alignment_lr

    def _distance(self, image: str, unit: int) -> int:
        here = np.arange(LR_SIDE * self.ratio) // unit
        return max(
            int(max((here - span.first // unit).max(), (span.last // unit - here).max())) for span in self.fields[image]
        )


def read_reach(graph: bytes, ratio: int) -> Reach:
    """Read how far the output `hr_hsi` of a graph sees.

    Args:
        graph: The form with given statistics, of a network that has any.
        ratio: HR pixels per LR pixel.

    Raises:
        ExportError: How far an operation on the way sees is not known here, or it sees the whole frame.
    """
    parsed = _sized(graph, ratio).toposort()
    images = [tensor.name for tensor in parsed.inputs if len(tensor.shape) == IMAGE_AXES]
    sides = {side for node in parsed.nodes if _is_strided(node) for side in node.outputs[0].shape[-2:]}
    fields = {image: _field(parsed, images, image, ratio) for image in images}
    reach = Reach(fields=fields, ratio=ratio, alignment_lr=_alignment(sides))
    if reach.halo_lr > LR_SIDE // 2 - reach.alignment_lr:
        raise ExportError(
            f"the output depends on pixels {reach.halo_lr} LR pixels away, which is as good as the whole frame; such a "
            "network cannot be run in tiles"
        )
    return reach


def _field(parsed: gs.Graph, images: Sequence[str], image: str, ratio: int) -> Field:
    """What of one image the output depends on."""
    fields = {name: _of_image(name, ratio) for name in images}
    for other in set(images) - {image}:
        fields[other] = _nothing(fields[other][0]), _nothing(fields[other][1])
    for node in parsed.nodes:
        if seen := [fields[tensor.name] for tensor in node.inputs if tensor.name in fields]:
            field = _after(node, seen)
            fields.update({tensor.name: field for tensor in node.outputs})
    rows, cols = fields[OUTPUT]
    side, got = LR_SIDE * ratio, (len(rows.first), len(cols.first))
    if got != (side, side):
        raise ExportError(
            f"the output {OUTPUT} has {got[0]} x {got[1]} pixels where the frame has {side} x {side}: the network is "
            f"of another ratio than {ratio}"
        )
    return rows, cols


def image_side(name: str, lr_side: int, ratio: int) -> int:
    """Pixels along an axis of an image, for a region of `lr_side` LR pixels."""
    if name in LR_IMAGES or name in MARGINS:
        return lr_side + 2 * MARGINS.get(name, 0)
    return lr_side * ratio


def _sized(graph: bytes, ratio: int) -> gs.Graph:
    """The graph for a frame of `LR_SIDE`, with every tensor's shape, and without the computation of sizes."""
    model = onnx.load_from_string(graph)
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        for size in sizes[2:] if len(sizes) == IMAGE_AXES else ():
            size.dim_value = image_side(value.name, LR_SIDE, ratio)
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    sized = gs.import_onnx(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True))
    for node in sized.nodes:
        # Before fold_constants, which takes a part of a shape (its `start` and `end`) for all of it.
        if node.op == "Shape":
            (result,) = node.outputs
            sizes = node.inputs[0].shape[node.attrs.get("start", 0) : node.attrs.get("end")]
            node.outputs.clear()
            result.to_constant(np.array(sizes, np.int64))
    sized.cleanup().fold_constants().cleanup()
    return gs.import_onnx(onnx.shape_inference.infer_shapes(gs.export_onnx(sized), strict_mode=True))


def _of_image(name: str, ratio: int) -> Field:
    here = np.arange(image_side(name, LR_SIDE, ratio))
    if name in LR_IMAGES or name in MARGINS:
        first = (here - MARGINS.get(name, 0)) * ratio
        span = Span(first, first + ratio - 1)
    else:
        span = Span(here, here)
    return span, span


def _nothing(span: Span) -> Span:
    return Span(np.full_like(span.first, _NONE), np.full_like(span.last, -_NONE))


def _alignment(sides: set[int]) -> int:
    coarse = [side for side in sides if side < LR_SIDE]
    if any(LR_SIDE % side for side in coarse):
        raise ExportError(f"a tensor has one of {coarse} pixels for {LR_SIDE} LR pixels, which is no whole stride")
    return math.lcm(*(LR_SIDE // side for side in coarse))


def _after(node: gs.Node, seen: list[Field]) -> Field:
    if node.op in LOCAL or (node.op in ALONG_CHANNELS and _is_along_channels(node)):
        rows, cols = seen[0]
        for other_rows, other_cols in seen[1:]:
            rows, cols = rows.united(other_rows), cols.united(other_cols)
        return rows, cols
    if node.op in RESHAPED and _keeps_pixels(node):
        return seen[0]
    if node.op in _SOURCES and node.attrs.get("auto_pad", "NOTSET") == "NOTSET":
        rows, cols = seen[0]
        return rows.taken(_SOURCES[node.op](node, -2)), cols.taken(_SOURCES[node.op](node, -1))
    raise ExportError(
        f"the node {node.name} ({node.op}) stands between image and output, and how far it sees is not known; "
        "a network whose statistics are given must be made of convolutions, pooling, interpolation and operations on "
        "single pixels"
    )


def _is_along_channels(node: gs.Node) -> bool:
    dimensions = len(node.inputs[0].shape)
    axes = node.inputs[1].values.tolist() if node.op == "ReduceSum" else [node.attrs.get("axis", 0)]
    return all(axis % dimensions < dimensions - 2 for axis in axes)


def _is_strided(node: gs.Node) -> bool:
    return node.op == "Resize" or any(stride > 1 for stride in node.attrs.get("strides", ()))


def _keeps_pixels(node: gs.Node) -> bool:
    before, after = node.inputs[0].shape, node.outputs[0].shape
    dimensions = len(before)
    turned = list(node.attrs.get("perm", range(dimensions)))
    return turned[-2:] == [dimensions - 2, dimensions - 1] and list(before[-2:]) == list(after[-2:])


def _of_window(node: gs.Node, axis: int) -> Index:
    """Sources of a convolution or a pooling."""
    kernel, stride, dilation, pad = _geometry(node, axis)
    start = np.arange(node.outputs[0].shape[axis]) * stride - pad
    return _inside(start[:, None] + dilation * np.arange(kernel), node.inputs[0].shape[axis])


def _of_transposed(node: gs.Node, axis: int) -> Index:
    kernel, stride, dilation, pad = _geometry(node, axis)
    reached = np.arange(node.outputs[0].shape[axis])[:, None] + pad - dilation * np.arange(kernel)
    return _inside(np.where(reached % stride == 0, reached // stride, -1), node.inputs[0].shape[axis])


def _of_resize(node: gs.Node, axis: int) -> Index:
    before, after = node.inputs[0].shape[axis], node.outputs[0].shape[axis]
    here = np.arange(after)
    ways = tuple(node.attrs.get(name) for name in ("mode", "coordinate_transformation_mode", "nearest_mode"))
    if ways == ("nearest", "asymmetric", "floor"):
        nearest: Index = here[:, None] * before // after
        return nearest
    reach = {"linear": 1, "cubic": 2}.get(str(ways[0]))
    if reach and ways[1] == "half_pixel":
        # In half source pixels, so that the integers are exact.
        below = ((2 * here + 1) * before - after) // (2 * after)
        around: Index = np.clip(below[:, None] + np.arange(1 - reach, reach + 1), 0, before - 1)
        return around
    raise ExportError(f"the node {node.name} resizes by {ways}, and how far it sees is not known")


def _of_slice(node: gs.Node, axis: int) -> Index:
    length, dimensions = node.inputs[0].shape[axis], len(node.inputs[0].shape)
    starts, ends, axes, steps = (tensor.values.tolist() for tensor in node.inputs[1:5])
    here = np.arange(length)
    for start, end, along, step in zip(starts, ends, axes, steps, strict=True):
        if along % dimensions == axis % dimensions:
            here = here[start:end:step]
    return here[:, None]


def _of_pad(node: gs.Node, axis: int) -> Index:
    if node.attrs.get("mode", "constant") != "constant" or len(node.inputs) > 3:
        raise ExportError(f"the node {node.name} pads with something else than zeros, and how far it sees is not known")
    length, dimensions = node.inputs[0].shape[axis], len(node.inputs[0].shape)
    pads = node.inputs[1].values.tolist()
    return _inside(np.arange(-pads[axis % dimensions], length + pads[axis])[:, None], length)


def _of_shuffle(node: gs.Node, axis: int) -> Index:
    sources: Index = np.arange(node.outputs[0].shape[axis])[:, None] // node.attrs["blocksize"]
    return sources


_SOURCES: dict[str, Callable[[gs.Node, int], Index]] = {
    "Conv": _of_window,
    "MaxPool": _of_window,
    "AveragePool": _of_window,
    "ConvTranspose": _of_transposed,
    "Resize": _of_resize,
    "Slice": _of_slice,
    "Pad": _of_pad,
    "DepthToSpace": _of_shuffle,
}
"""For the operations that move pixels, the table of their sources along an axis."""


def _geometry(node: gs.Node, axis: int) -> tuple[int, int, int, int]:
    """Kernel, stride, dilation and the padding before the first pixel."""
    kernel = node.attrs.get("kernel_shape") or node.inputs[1].shape[2:]
    count = len(kernel)
    ones, zeros = [1] * count, [0] * (2 * count)
    stride, dilation = (node.attrs.get(name, ones)[axis] for name in ("strides", "dilations"))
    return kernel[axis], stride, dilation, node.attrs.get("pads", zeros)[axis + count]


def _inside(index: Index, length: int) -> Index:
    inside: Index = np.where((index >= 0) & (index < length), index, -1)
    return inside
