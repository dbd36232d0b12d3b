from __future__ import annotations

import pytest
import torch

from export.networks.pzres import PZResNet, Variant
from export.widen import VECTOR, widened
from hsi_edge.errors import ExportError


@pytest.mark.parametrize("variant", ["code", "paper"])
@torch.inference_mode()
def test_a_widened_network_computes_the_same(variant: Variant) -> None:
    torch.manual_seed(0)
    network = PZResNet(9, variant=variant)
    base, msi = torch.rand(1, 9, 20, 24), torch.rand(1, 3, 20, 24)
    torch.testing.assert_close(widened(network)(base, msi).refined, network(base, msi).refined, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_what_was_added_is_zero_and_the_original_is_untouched() -> None:
    network = PZResNet(9)
    before = network(torch.rand(1, 9, 12, 12), torch.rand(1, 3, 12, 12)).statistics
    wide = widened(network)
    statistics = wide(torch.rand(1, 9, 12, 12), torch.rand(1, 3, 12, 12)).statistics
    assert statistics.count_nonzero() <= before.shape[1] < statistics.shape[1]
    assert network.stages[2].dense[0].spatial.out_channels == 18


def test_a_depthwise_network_is_refused() -> None:
    with pytest.raises(ExportError, match="depthwise network cannot be widened"):
        widened(PZResNet(9, depthwise=True))


def test_dense_layers_fill_whole_vectors() -> None:
    widths = {layer.spatial.out_channels for stage in widened(PZResNet(31)).stages for layer in stage.dense}
    assert widths == {16, 32, 64}
    assert all(width % VECTOR == 0 for width in widths)
