"""How far an output pixel sees: read off the graph, proved by impulses, and how much of it the weights really use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from export.onnx_session import open_graph, run_graph, zero_inputs
from export.reach import LR_SIDE, MARGINS, OUTPUT, Reach, read_reach
from export.to_onnx import MEASURED, STATISTICS, Forms
from hsi_edge.backends import Session
from hsi_edge.errors import ExportError
from hsi_edge.manifest import LR_IMAGES
from hsi_edge.tiling.geometry import Region

Float = NDArray[np.float32]
Frame = Mapping[str, Float]
"""Images `(1, channels, rows, cols)` by name."""
Extents = dict[tuple[int, int], tuple[int, int]]
"""By axis (0 for rows) and impulse, the first and the last HR row or column that moves."""
SUFFICIENT = 1e-6
"""Largest difference, for images of about 0 to 1, that a smaller halo may make: that of the order of sums in FP32."""


def exact_reach(graph: bytes, ratio: int) -> Reach:
    """What makes every tile's core exact whatever the weights, read off the graph and proved by impulses.

    The base image is made from the whole frame, so it asks for nothing more.

    Args:
        graph: The form with given statistics, of a network that has any.
        ratio: HR pixels per LR pixel.

    Raises:
        ExportError: How far an operation sees is not known, or an impulse does not reach exactly as far as was read.
    """
    reach = read_reach(graph, ratio)
    for image in reach.fields:
        measured, read = impulse_extents(graph, image, reach), _read_extents(reach, image)
        if measured != read:
            raise ExportError(
                f"impulses in {image} move the rows and columns {measured} of the output, and the graph says {read}: "
                "one of the two readings of the graph, in export/reach.py and export/receptive_field.py, is wrong"
            )
    return reach


def impulse_extents(graph: bytes, image: str, reach: Reach) -> Extents:
    """How far an impulse in an image moves the output, whatever the weights.

    The impulses lie in the first and in the last row (or column) of an aligned block of LR pixels; HR rows count from
    the block's first.

    Args:
        graph: The form with given statistics, of a network that has any.
        image: Name of the input.
        reach: The frame is a little larger than this asks for.
    """
    session = open_graph(_additive(graph))
    unit = reach.alignment_lr
    # Not the halo: an image that brings a margin is seen farther than that.
    start = (math.ceil(reach.radius_px / (reach.ratio * unit)) + 1) * unit
    extents: Extents = {}
    for axis, pixel in _impulses(image, reach):
        # Narrow along the other axis: only how far along this one is asked.
        long, narrow = 2 * start + unit, unit
        inputs = zero_inputs(graph, (long, narrow) if axis == 0 else (narrow, long), reach.ratio)
        np.moveaxis(inputs[image], 2 + axis, 0)[start * _side(image, reach) + MARGINS.get(image, 0) + pixel] = 1
        moved = session.run(inputs)[OUTPUT].any(axis=(0, 1, 3 - axis)).nonzero()[0] - start * reach.ratio
        extents[axis, pixel] = int(moved[0]), int(moved[-1])
    return extents


def _read_extents(reach: Reach, image: str) -> Extents:
    start = LR_SIDE // 2 // reach.alignment_lr * reach.alignment_lr * reach.ratio
    width = reach.ratio // _side(image, reach)
    extents: Extents = {}
    for axis, pixel in _impulses(image, reach):
        span = reach.fields[image][axis]
        first = start + pixel * width
        moved = ((span.first < first + width) & (span.last >= first)).nonzero()[0] - start
        extents[axis, pixel] = int(moved[0]), int(moved[-1])
    return extents


def _impulses(image: str, reach: Reach) -> list[tuple[int, int]]:
    ends = sorted({0, reach.alignment_lr * _side(image, reach) - 1})
    return [(axis, pixel) for axis in (0, 1) for pixel in ends]


def _side(image: str, reach: Reach) -> int:
    """Pixels of an image per LR pixel, along an axis."""
    return 1 if image in LR_IMAGES or image in MARGINS else reach.ratio


def _additive(graph: bytes) -> bytes:
    """A graph that moves pixels alike, in which an impulse reaches all that it can reach, and no more.

    Weights are positive, and there is no bias: a zero image stays zero. Products and differences become sums, and every
    other operation on single pixels passes its input on, so that no path is closed by another one that is zero. The
    weights are small enough for nothing to overflow, and large enough for the farthest pixel not to vanish.
    """
    parsed = gs.import_onnx(onnx.shape_inference.infer_shapes(onnx.load_from_string(graph)))
    for node in parsed.nodes:
        if node.outputs[0].dtype != np.float32:
            # It computes sizes.
            continue
        if node.op in ("Conv", "ConvTranspose"):
            weight, *others = node.inputs[1:]
            inputs = weight.shape[1 if node.op == "Conv" else 0]
            _fill(weight, 0.3 / inputs)
        elif node.op in ("Add", "Sub", "Mul"):
            node.op, others = "Add", node.inputs
        elif node.op == "Gemm":
            others = node.inputs[1:]
        elif node.op in ("Relu", "Tanh", "Sigmoid", "PRelu", "Div"):
            node.op, others = "Identity", []
            node.inputs = node.inputs[:1]
        else:
            # Not the sizes of a resizing.
            others = node.inputs[:1]
        for tensor in others:
            _fill(tensor, 0)
    data: bytes = gs.export_onnx(parsed).SerializeToString()
    return data


def _fill(tensor: gs.Tensor, value: float) -> None:
    if isinstance(tensor, gs.Constant) and tensor.dtype == np.float32:
        tensor.values = np.full(tensor.shape, value, np.float32)


def sufficient_halo_lr(forms: Forms, reach: Reach, frames: Sequence[Frame]) -> int:
    """The smallest halo, in LR pixels, at which no tile of the frames differs by more than `SUFFICIENT`.

    Trained weights hardly use the rim of the receptive field; the halo's area is paid for in every tile.

    Args:
        forms: The network.
        reach: Of its graph, which holds where the frames are too small to show that less will do.
        frames: Their LR sides are multiples of the alignment. Halos of up to 3/16 of them are tried, so that as much
            again lies beyond the halo for the tile to miss.
    """
    outputs = [run_graph(forms.whole, frame) for frame in frames]
    side_lr = min(side for output in outputs for side in output[OUTPUT].shape[2:]) // reach.ratio
    largest = min(reach.halo_lr, 3 * side_lr // 16)
    tiles = open_graph(forms.tile)
    for halo in range(0, largest + 1, reach.alignment_lr):
        pairs = zip(frames, outputs, strict=True)
        if max(_tile_error(tiles, frame, output, halo, reach) for frame, output in pairs) <= SUFFICIENT:
            return halo
    return reach.halo_lr


def _tile_error(tiles: Session, frame: Frame, whole: Frame, halo: int, reach: Reach) -> float:
    """Largest difference to the whole frame over the core of a tile in its middle, about a quarter as high and wide."""
    unit, (rows, cols) = reach.alignment_lr, (side // reach.ratio for side in whole[OUTPUT].shape[2:])
    top, left, height, width = (max(1, side // (8 * unit)) * unit for side in (3 * rows, 3 * cols, 2 * rows, 2 * cols))
    core = Region(top, top + height, left, left + width)
    read = Region(core.top - halo, core.bottom + halo, core.left - halo, core.right + halo)
    inputs = {name: np.ascontiguousarray(_read(name, image, read, reach)) for name, image in frame.items()}
    if MEASURED in whole:
        inputs[STATISTICS] = whole[MEASURED]
    tile = _cut(tiles.run(inputs)[OUTPUT], core.within(read).scaled(reach.ratio))
    return float(np.abs(tile - _cut(whole[OUTPUT], core.scaled(reach.ratio))).max())


def _read(name: str, image: Float, read: Region, reach: Reach) -> Float:
    """What a tile is given of an image; one without rows and columns belongs to the whole frame."""
    if image.ndim < 4:
        return image
    scaled, margin = read.scaled(_side(name, reach)), 2 * MARGINS.get(name, 0)
    return _cut(image, Region(scaled.top, scaled.bottom + margin, scaled.left, scaled.right + margin))


def _cut(image: Float, region: Region) -> Float:
    rows, cols = region.slices
    return image[:, :, rows, cols]
