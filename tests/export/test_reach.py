from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from export.reach import Reach, read_reach
from export.receptive_field import exact_reach
from hsi_edge.errors import ExportError
from hsi_edge.subspace import MARGIN_LR
from tests.export.narrow import Narrow

RATIO = 4
Float = NDArray[np.float32]


def weights(*shape: int) -> gs.Constant:
    return gs.Constant("weight", np.ones(shape, np.float32))


def one_layer(op: str, attributes: dict[str, object], constants: list[gs.Tensor], image: str = "lr_hsi") -> bytes:
    """`hr_hsi` is one operation on one image, of one channel."""
    source = gs.Variable(image, np.float32, [1, 1, "rows", "cols"])
    result = gs.Variable("hr_hsi", np.float32, [1, 1, "out_rows", "out_cols"])
    graph = gs.Graph([gs.Node(op, op, attributes, [source, *constants], [result])], [source], [result], opset=20)
    model: ModelProto = gs.export_onnx(graph, ir_version=10)
    return model.SerializeToString()


def resized(**attributes: object) -> bytes:
    sizes = [gs.Variable.empty(), gs.Constant("scales", np.array([1, 1, RATIO, RATIO], np.float32))]
    return one_layer("Resize", attributes, sizes)


def windows(reach: Reach, rows: list[int]) -> list[tuple[int, int]]:
    """The first and the last LR row that HR rows depend on."""
    of_rows, _ = reach.fields["lr_hsi"]
    return [(int(of_rows.first[row]) // RATIO, int(of_rows.last[row]) // RATIO) for row in rows]


def test_an_operation_on_single_pixels_sees_nothing_else() -> None:
    reach = read_reach(one_layer("Relu", {}, [], "base"), RATIO)
    assert (reach.radius_px, reach.halo_lr, reach.alignment_lr) == (0, 0, 1)


def test_a_transposed_convolution_sees_the_pixels_whose_taps_reach() -> None:
    """The kernel has 6 taps at a stride of 4: an HR pixel at an LR pixel's rim sees its neighbour, too."""
    attributes = {"kernel_shape": [6, 6], "strides": [4, 4], "pads": [1] * 4}
    reach = read_reach(one_layer("ConvTranspose", attributes, [weights(1, 1, 6, 6)]), RATIO)
    assert windows(reach, [80, 81, 82, 83]) == [(19, 20), (20, 20), (20, 20), (20, 21)]
    assert reach.halo_lr == 1


def test_nearest_bilinear_and_bicubic_resizing_see_one_two_and_four_lr_pixels() -> None:
    nearest = resized(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    assert windows(read_reach(nearest, RATIO), [79, 80, 83, 84]) == [(19, 19), (20, 20), (20, 20), (21, 21)]
    bilinear = resized(mode="linear", coordinate_transformation_mode="half_pixel")
    assert windows(read_reach(bilinear, RATIO), [80, 81, 82, 83]) == [(19, 20), (19, 20), (20, 21), (20, 21)]
    bicubic = resized(mode="cubic", coordinate_transformation_mode="half_pixel")
    assert windows(read_reach(bicubic, RATIO), [80, 81, 82, 83]) == [(18, 21), (18, 21), (19, 22), (19, 22)]


def test_a_resizing_that_is_not_known_is_refused() -> None:
    graph = resized(mode="linear", coordinate_transformation_mode="align_corners")
    with pytest.raises(ExportError, match=r"the node Resize resizes by \('linear', .*how far it sees is not known"):
        read_reach(graph, RATIO)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_grid_coarser_than_the_lr_grid_is_an_alignment(op: str) -> None:
    pooled = one_layer(op, {"kernel_shape": [3, 3], "strides": [3, 3]}, [])
    with pytest.raises(ExportError, match="hr_hsi has 240 x 240 pixels where the frame has 2880 x 2880"):
        read_reach(pooled, RATIO)
    source, small = (gs.Variable(name, np.float32, None) for name in ("lr_hsi", "small"))
    source.shape = [1, 1, "rows", "cols"]
    result = gs.Variable("hr_hsi", np.float32, [1, 1, "out_rows", "out_cols"])
    kernel = {"kernel_shape": [3, 3], "strides": [3, 3]}
    up = {"kernel_shape": [12, 12], "strides": [12, 12]}
    nodes = [gs.Node(op, "down", kernel, [source], [small])]
    nodes.append(gs.Node("ConvTranspose", "up", up, [small, weights(1, 1, 12, 12)], [result]))
    model = gs.export_onnx(gs.Graph(nodes, [source], [result], opset=20), ir_version=10)
    reach = read_reach(model.SerializeToString(), RATIO)
    assert reach.alignment_lr == 3
    assert windows(reach, [0, 11, 12]) == [(0, 2), (0, 2), (3, 5)]
    # Two pixels further, filled up to the alignment.
    assert reach.halo_lr == 3


def test_an_operation_over_the_whole_frame_is_refused(narrow_with_statistics: Narrow) -> None:
    with pytest.raises(ExportError, match=r"ReduceMean.*how far it sees is not known"):
        read_reach(narrow_with_statistics.forms.whole, narrow_with_statistics.ratio)


def test_a_convolution_over_half_the_frame_is_refused() -> None:
    attributes = {"kernel_shape": [3, 3], "dilations": [360, 360], "pads": [360] * 4}
    graph = one_layer("Conv", attributes, [weights(1, 1, 3, 3)], "base")
    with pytest.raises(ExportError, match="as good as the whole frame"):
        read_reach(graph, 1)


def test_an_image_that_brings_its_margin_asks_for_no_halo() -> None:
    """Bicubic interpolation sees two pixels further, which every tile is given with its features."""
    features, wide = (gs.Variable(name, np.float32, [1, 1, "rows", "cols"]) for name in ("features", "wide"))
    result = gs.Variable("hr_hsi", np.float32, [1, 1, "out_rows", "out_cols"])
    scales = gs.Constant("scales", np.array([1, 1, RATIO, RATIO], np.float32))
    edge = MARGIN_LR * RATIO
    ends = (("starts", [edge, edge]), ("ends", [-edge, -edge]), ("axes", [2, 3]), ("steps", [1, 1]))
    cropping = [gs.Constant(name, np.array(values)) for name, values in ends]
    way = {"mode": "cubic", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        gs.Node("Resize", "enlarge", way, [features, gs.Variable.empty(), scales], [wide]),
        gs.Node("Slice", "crop", {}, [wide, *cropping], [result]),
    ]
    model = gs.export_onnx(gs.Graph(nodes, [features], [result], opset=20), ir_version=10)
    reach = exact_reach(model.SerializeToString(), RATIO)
    rows, _ = reach.fields["features"]
    assert (int(rows.first[80]) // RATIO, int(rows.last[80]) // RATIO) == (18, 21)
    assert reach.halo_lr == 0
