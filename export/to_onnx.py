"""PyTorch -> clean ONNX: the one or two forms of a network that the runtime takes (`hsi_edge.network`)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import onnx_graphsurgeon as gs
import torch
from torch import Tensor, nn

from export.graph import clean
from export.graph.statistics import take_statistics
from export.losses import final_image
from export.merge_upsampling import merged
from export.networks.choices import NetworkChoice, image_shapes, without_training_parts
from export.networks.pzres import PZResNet
from export.networks.ssrnet import SSRNet
from export.widen import widened
from hsi_edge.subspace import MARGIN_LR

OPSET = 20
STATISTICS = "statistics"
MEASURED = "measured_statistics"
EXAMPLE_LR = (38, 46)
"""Even sides that differ from each other and hardly are a number of channels, so that no axis is taken for another."""


@dataclass(frozen=True)
class Forms:
    """The ONNX graphs of one network, NCHW with free rows and columns, opset 20.

    Attributes:
        whole: The network's images to `hr_hsi`, and to `measured_statistics` `(1, size)` if it has any.
        given: The images and `statistics` `(1, size)` to `hr_hsi`; None for a network without statistics.
        size: Length of the statistics vector; 0 without.
    """

    whole: bytes
    given: bytes | None = None
    size: int = 0

    @property
    def tile(self) -> bytes:
        """The form that runs a tile."""
        return self.given or self.whole


class _Shipped(nn.Module):
    """What a device needs of a network: its output, and its statistics if it has any."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        output = self.network(*images)
        statistics = getattr(output, STATISTICS, None)
        image = final_image(output)
        return (image,) if statistics is None else (image, statistics)


def onnx_from_network(network: nn.Module, choice: NetworkChoice) -> Forms:
    """Export a trained network, in the form that devices run fast.

    PZRes-Net's dense layers are filled up (`export.widen`), so its `size` grows; SSRNet's last two layers become one
    (`export.merge_upsampling`).

    Args:
        network: With its weights; it is not changed.
        choice: What it was built from; tells its images.
    """
    example, sizes = _example(network, choice)
    with _quiet_exporter():
        program = torch.onnx.export(
            _Shipped(_for_devices(network)).eval(),
            example,
            dynamo=True,
            input_names=list(choice.images),
            dynamic_shapes={"images": sizes},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return _forms(program.model_proto)


def _for_devices(network: nn.Module) -> nn.Module:
    if isinstance(network, PZResNet):
        return widened(network)
    return merged(network) if isinstance(network, SSRNet) else without_training_parts(network)


def _example(network: nn.Module, choice: NetworkChoice) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Images of a small frame, and the free sizes of each: those of the LR grid, times the ratio on the HR grid."""
    # A network that sees the HR grid alone has no ratio.
    ratio = getattr(choice, "ratio", None) or getattr(network, "ratio", None) or 1
    rows, cols = torch.export.Dim("h", min=1), torch.export.Dim("w", min=1)
    margin = 2 * MARGIN_LR
    free = {"lr_hsi": (rows, cols), "features": (rows + margin, cols + margin), "condition": ()}
    images, sizes = [], []
    for name, shape in image_shapes(choice, ratio, EXAMPLE_LR).items():
        images.append(torch.rand(1, *shape))
        on_hr_grid = (rows, cols) if ratio == 1 else (ratio * rows, ratio * cols)
        sizes.append(dict(enumerate(free.get(name, on_hr_grid), 2)))
    return tuple(images), tuple(sizes)


def _forms(model: onnx.ModelProto) -> Forms:
    whole = _imported(model)
    if len(whole.outputs) == 1:
        clean(whole)
        return Forms(_bytes(whole))
    given = _imported(model)
    take_statistics(given, MEASURED, STATISTICS)
    for graph in (whole, given):
        clean(graph)
    return Forms(_bytes(whole), _bytes(given), given.inputs[-1].shape[1])


def _imported(model: onnx.ModelProto) -> gs.Graph:
    graph = gs.import_onnx(model)
    graph.name = "network"
    for tensor in graph.tensors().values():
        tensor.name = tensor.name.removeprefix("network.")
    for name, tensor in zip(("hr_hsi", MEASURED), graph.outputs, strict=False):
        tensor.name = name
    return graph


def _bytes(graph: gs.Graph) -> bytes:
    model = gs.export_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without what the exporter says about packages that we do not use, and about itself."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
            # A side is used by every image.
            warnings.filterwarnings("ignore", "# The axis name: . will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)
