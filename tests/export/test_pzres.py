from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from export.networks.pzres import PZResNet, Variant, band_subset

SIDE_512_PX = 512 * 512


def parameters(network: PZResNet) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.inference_mode()
def macs_per_px(network: PZResNet, bands: int) -> float:
    """Multiplications of all convolutions in one pass, per HR pixel."""
    counts: list[int] = []

    def count(conv: nn.Conv2d, _inputs: Any, output: Tensor) -> None:
        counts.append(output.numel() * conv.weight[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    network(torch.zeros(1, bands, 8, 8), torch.zeros(1, 3, 8, 8))
    return sum(counts) / 64


@pytest.mark.parametrize(("variant", "wanted", "gflop"), [("code", 516_787, 270.0), ("paper", 538_555, 281.4)])
def test_parameters_and_cost_are_those_of_the_specification(variant: Variant, wanted: int, gflop: float) -> None:
    network = PZResNet(31, variant=variant)
    assert parameters(network) == wanted
    assert 2 * macs_per_px(network, 31) * SIDE_512_PX / 1e9 == pytest.approx(gflop, abs=0.05)


def test_the_depthwise_reading_is_a_third_of_the_published_network() -> None:
    network = PZResNet(31, depthwise=True)
    assert parameters(network) == 181_501
    assert 2 * macs_per_px(network, 31) * SIDE_512_PX / 1e9 == pytest.approx(94, abs=0.5)


@pytest.mark.parametrize(("bands", "wanted"), [(31, [8, 16, 31]), (48, [12, 24, 48]), (8, [2, 4, 8])])
def test_each_stage_sees_twice_the_bands_of_the_one_before(bands: int, wanted: list[int]) -> None:
    subsets = PZResNet(bands).subsets
    assert [len(subset) for subset in subsets] == wanted
    assert all(subset[0] == 0 and subset[-1] == bands - 1 for subset in subsets)


def test_the_last_index_of_a_subset_is_the_last_band() -> None:
    assert band_subset(31, 4) == [0, 4, 8, 12, 16, 20, 24, 30]
    assert band_subset(31, 2)[-2:] == [28, 30]


@pytest.mark.parametrize("variant", ["code", "paper"])
@pytest.mark.parametrize(("rows", "cols"), [(8, 8), (13, 24)])
@torch.inference_mode()
def test_any_frame_size_gives_an_image_of_that_size(variant: Variant, rows: int, cols: int) -> None:
    output = PZResNet(8, 4, variant=variant)(torch.rand(2, 8, rows, cols), torch.rand(2, 4, rows, cols))
    assert output.refined.shape == output.coarse.shape == (2, 8, rows, cols)


@pytest.mark.parametrize("variant", ["code", "paper"])
@torch.inference_mode()
def test_given_statistics_of_the_same_frame_change_nothing(variant: Variant) -> None:
    network = PZResNet(8, variant=variant)
    base, msi = torch.rand(1, 8, 20, 24), torch.rand(1, 3, 20, 24)
    measured = network(base, msi)
    given = network(base, msi, measured.statistics)
    assert torch.equal(given.refined, measured.refined)


@torch.inference_mode()
def test_given_statistics_of_another_frame_matter() -> None:
    torch.manual_seed(0)
    network = PZResNet(8)
    base, msi = torch.rand(1, 8, 20, 24), torch.rand(1, 3, 20, 24)
    other = network(base**2, 1 - msi).statistics
    assert not torch.allclose(network(base, msi, other).refined, network(base, msi).refined, atol=1e-5)


@pytest.mark.parametrize(("variant", "radius"), [("code", 28), ("paper", 27)])
@torch.inference_mode()
def test_an_impulse_reaches_as_far_as_the_specification_says(variant: Variant, radius: int) -> None:
    network = PZResNet(4, variant=variant)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.3 / module.in_channels)
            nn.init.zeros_(module.bias)
    base, msi = torch.zeros(1, 4, 61, 61), torch.zeros(1, 3, 61, 61)
    size = network(base, msi).statistics.shape[1]
    msi[:, :, 30, 30] = 1
    moved = network(base, msi, torch.zeros(1, size)).refined[0].any(dim=0).nonzero()
    assert (moved - 30).abs().max() == radius
