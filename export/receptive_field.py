"""How far an output pixel sees: read off the graph, proved by an impulse, and how much of it the weights really use."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from export.onnx_session import run_graph, zero_inputs
from hsi_edge.errors import ExportError

Float = NDArray[np.float32]
IMAGES = ("base", "hr_msi")
LOCAL = ("Add", "Sub", "Mul", "Relu", "Tanh", "Sigmoid", "PRelu", "Concat", "Gather")
"""Operations that work pixel by pixel; the last two only along the channels."""
SUFFICIENT = 1e-6
"""Largest difference, for images of about 0 to 1, that a smaller halo may make: that of the order of sums in FP32."""


def radius_px(graph: bytes) -> int:
    """How many pixels per side of the images the output depends on, by the graph's longest path of convolutions.

    Raises:
        ExportError: An operation on the way is neither a convolution that keeps the size nor pixel by pixel.
    """
    parsed = gs.import_onnx(onnx.load_from_string(graph))
    radii = dict.fromkeys(IMAGES, 0)
    for node in parsed.toposort().nodes:
        seen = [radii[tensor.name] for tensor in node.inputs if tensor.name in radii]
        if seen:
            radii.update({tensor.name: max(seen) + _reach(node) for tensor in node.outputs})
    return max(radii[tensor.name] for tensor in parsed.outputs)


def _reach(node: gs.Node) -> int:
    if node.op in LOCAL and node.attrs.get("axis", 1) == 1:
        return 0
    if node.op == "Conv" and all(stride == 1 for stride in node.attrs.get("strides", ())):
        dilation = max(node.attrs.get("dilations", (1,)))
        return int(dilation * (max(node.inputs[1].shape[2:]) // 2))
    raise ExportError(
        f"the node {node.name} ({node.op}) stands between image and output, and how far it sees is not known; "
        "a network whose statistics are given must be made of convolutions and operations on single pixels"
    )


def impulse_radius_px(graph: bytes, image: str, limit: int) -> int:
    """How far the output moves when one pixel of an image does, measured with weights that leave no path dead.

    Args:
        graph: The form with given statistics.
        image: Name of the input.
        limit: The frame is large enough for a radius of up to this.
    """
    inputs = zero_inputs(graph, 2 * limit + 1)
    inputs[image][:, :, limit, limit] = 1
    response = run_graph(_with_positive_weights(graph), inputs)["hr_hsi"]
    rows, cols = np.nonzero(response.any(axis=(0, 1)))
    return int(max(np.abs(rows - limit).max(), np.abs(cols - limit).max()))


def _with_positive_weights(graph: bytes) -> bytes:
    """Positive weights and no bias: a zero image stays zero, and an impulse reaches everything that it can reach.

    The weights are small enough for nothing to overflow, and large enough for the farthest pixel not to vanish.
    """
    parsed = gs.import_onnx(onnx.load_from_string(graph))
    for node in parsed.nodes:
        if node.op == "Conv":
            weight, *bias = node.inputs[1:]
            weight.values = np.full(weight.shape, 0.3 / weight.shape[1], np.float32)
            for tensor in bias:
                tensor.values = np.zeros(tensor.shape, np.float32)
    data: bytes = gs.export_onnx(parsed).SerializeToString()
    return data


def exact_halo_lr(graph: bytes, ratio: int) -> int:
    """The halo, in LR pixels, that makes every tile's core exact whatever the weights, proved by impulses.

    The base image is made from the whole frame, so it asks for nothing more.

    Raises:
        ExportError: The impulse does not reach exactly as far as the graph says.
    """
    radius = radius_px(graph)
    measured = max(impulse_radius_px(graph, image, radius + 4) for image in IMAGES)
    if measured != radius:
        raise ExportError(
            f"an impulse in the images moves pixels up to {measured} away, and the graph says {radius}: one of the two "
            "readings of the graph in export/receptive_field.py is wrong"
        )
    return math.ceil(radius / ratio)


def sufficient_halo_lr(whole: bytes, given: bytes, ratio: int, frames: Sequence[tuple[Float, Float]]) -> int:
    """The smallest halo, in LR pixels, at which no tile of the frames differs by more than `SUFFICIENT`.

    Trained weights hardly use the rim of the receptive field; the halo's area is paid for in every tile.

    Args:
        whole: The form that measures its statistics.
        given: The form that takes them.
        ratio: HR pixels per LR pixel.
        frames: Base images and MSIs, `(1, bands, rows, cols)`, each side at least four halos long.
    """
    limit = exact_halo_lr(given, ratio)
    outputs = [run_graph(whole, {"base": base, "hr_msi": msi}) for base, msi in frames]
    for halo in range(limit):
        pairs = zip(frames, outputs, strict=True)
        off = max(_tile_error(given, frame, output, halo * ratio) for frame, output in pairs)
        if off <= SUFFICIENT:
            return halo
    return limit


def _tile_error(given: bytes, frame: tuple[Float, Float], whole: dict[str, Float], halo: int) -> float:
    """Largest difference to the whole frame over the core of a tile in its middle, half as high and wide."""
    rows, cols = (slice(side // 4, side // 4 + side // 2) for side in frame[0].shape[2:])
    read = np.s_[:, :, rows.start - halo : rows.stop + halo, cols.start - halo : cols.stop + halo]
    base, msi = (np.ascontiguousarray(image[read]) for image in frame)
    tile = run_graph(given, {"base": base, "hr_msi": msi, "statistics": whole["measured_statistics"]})["hr_hsi"]
    core = tile[:, :, halo : halo + rows.stop - rows.start, halo : halo + cols.stop - cols.start]
    return float(np.abs(core - whole["hr_hsi"][:, :, rows, cols]).max())
