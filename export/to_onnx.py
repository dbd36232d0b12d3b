"""PyTorch -> clean ONNX: the two forms of a fusion network that the runtime takes (`hsi_edge.network`)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import onnx_graphsurgeon as gs
import torch
from torch import Tensor, nn

from export.graph import clean
from export.graph.statistics import take_statistics
from export.networks.pzres import PZResNet
from export.widen import widened

OPSET = 20
STATISTICS = "statistics"
MEASURED = "measured_statistics"


@dataclass(frozen=True)
class Forms:
    """The ONNX graphs of one network, NCHW with free rows and columns, opset 20.

    Attributes:
        whole: `base` and `hr_msi` to `hr_hsi` and `measured_statistics` `(1, size)`.
        given: `base`, `hr_msi` and `statistics` `(1, size)` to `hr_hsi`.
        size: Length of the statistics vector.
    """

    whole: bytes
    given: bytes
    size: int


class _Whole(nn.Module):
    def __init__(self, network: PZResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, base: Tensor, hr_msi: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(base, hr_msi)
        return output.refined, output.statistics


def onnx_from_network(network: PZResNet, hsi_bands: int, msi_bands: int) -> Forms:
    """Export a trained network. Its dense layers are filled up for speed (`export.widen`), so `size` grows.

    Args:
        network: The network; it is not changed.
        hsi_bands: Bands of the base image.
        msi_bands: Bands of the HR-MSI.
    """
    module = _Whole(widened(network)).eval()
    # Sides that differ from each other and from every channel count, so that no axis is taken for another.
    example = (torch.rand(1, hsi_bands, 67, 71), torch.rand(1, msi_bands, 67, 71))
    size = {2: torch.export.Dim("H", min=1), 3: torch.export.Dim("W", min=1)}
    with _quiet_exporter():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=["base", "hr_msi"],
            output_names=["hr_hsi", MEASURED],
            dynamic_shapes={"base": size, "hr_msi": size},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return _forms(program.model_proto)


def _forms(model: onnx.ModelProto) -> Forms:
    whole, given = _imported(model), _imported(model)
    take_statistics(given, MEASURED, STATISTICS)
    for graph in (whole, given):
        clean(graph)
    return Forms(_bytes(whole), _bytes(given), given.inputs[-1].shape[1])


def _imported(model: onnx.ModelProto) -> gs.Graph:
    graph = gs.import_onnx(model)
    graph.name = "network"
    for tensor in graph.tensors().values():
        tensor.name = tensor.name.removeprefix("network.")
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
            # H and W are each used twice, for base and hr_msi.
            warnings.filterwarnings("ignore", "# The axis name: . will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)
