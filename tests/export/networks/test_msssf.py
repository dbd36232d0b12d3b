from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from export.networks.msssf import MSSSFNet, without_levels
from hsi_edge.errors import InputError


def small(ratio: int, levels: int = 2) -> MSSSFNet:
    torch.manual_seed(0)
    return MSSSFNet(5, 4, ratio, spectral_features=6, spatial_features=3, levels=levels).eval()


def images(ratio: int, rows: int = 3, cols: int = 5) -> tuple[Tensor, Tensor]:
    return torch.rand(2, 5, rows, cols), torch.rand(2, 4, rows * ratio, cols * ratio)


@pytest.mark.parametrize(
    ("ratio", "levels", "wanted"),
    [(4, 2, (2, 4)), (8, 2, (4, 8)), (16, 2, (4, 16)), (16, 1, (16,)), (16, 4, (2, 4, 8, 16)), (8, 3, (2, 4, 8))],
)
@torch.inference_mode()
def test_levels_have_the_sizes_that_the_network_tells(ratio: int, levels: int, wanted: tuple[int, ...]) -> None:
    network = small(ratio, levels)
    output = network(*images(ratio))
    assert network.level_ratios == wanted
    assert output.output.shape == (2, 5, 3 * ratio, 5 * ratio)
    assert [image.shape[2:] for image in output.levels] == [(3 * each, 5 * each) for each in wanted[:-1]]


def test_a_ratio_that_it_is_not_made_for_is_refused() -> None:
    with pytest.raises(InputError, match="ratio is 6; MS-SSFNet is made for 4, 8, 16"):
        small(6)


@torch.inference_mode()
def test_without_levels_the_output_is_the_same_and_the_original_keeps_its_own() -> None:
    network, pair = small(16), images(16)
    bare = without_levels(network)
    assert bare(*pair).levels == ()
    assert torch.equal(bare(*pair).output, network(*pair).output)
    assert len(network(*pair).levels) == 1


@torch.inference_mode()
def test_random_weights_keep_the_signal_s_size_through_the_depth() -> None:
    torch.manual_seed(0)
    network = MSSSFNet(31, 3, 16)
    output = network(torch.randn(1, 31, 8, 8), torch.randn(1, 3, 128, 128))
    assert all(0.2 < float(image.std()) < 3 for image in (output.output, *output.levels))


@pytest.mark.parametrize(("ratio", "spectral", "spatial"), [(4, 18, 15), (8, 38, 35), (16, 78, 75)])
@torch.inference_mode()
def test_an_impulse_reaches_less_far_than_five_lr_pixels(ratio: int, spectral: int, spatial: int) -> None:
    network = MSSSFNet(2, 1, ratio, spectral_features=2, spatial_features=2).double()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.constant_(module.weight, 0.1)
    side, middle = 16, 8
    lr_hsi = torch.zeros(1, 2, side, side, dtype=torch.float64)
    hr_msi = torch.zeros(1, 1, side * ratio, side * ratio, dtype=torch.float64)
    lr_hsi[:, :, middle, middle] = 1
    reached = network(lr_hsi, hr_msi).output[0].any(dim=0).nonzero()
    assert (
        middle * ratio - int(reached.min()) == int(reached.max()) - (middle * ratio + ratio - 1) == spectral < 5 * ratio
    )
    # A pooling's window begins at even places, so how far a pixel reaches depends on where it stands.
    assert max(_reach(network, middle * ratio + offset, side * ratio) for offset in range(ratio)) == spatial


def _reach(network: MSSSFNet, place: int, side: int) -> int:
    hr_msi = torch.zeros(1, 1, side, side, dtype=torch.float64)
    hr_msi[:, :, place, place] = 1
    side_lr = side // network.level_ratios[-1]
    output = network(torch.zeros(1, 2, side_lr, side_lr, dtype=torch.float64), hr_msi).output
    return int((output[0].any(dim=0).nonzero() - place).abs().max())
