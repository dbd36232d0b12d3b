from __future__ import annotations

import pytest
import torch
from torch import nn

from export.networks.ssrnet import SSRNet, without_weight_norm


def small(ratio: int = 2, *, separable: bool = True, spectral_first: bool = False) -> SSRNet:
    torch.manual_seed(0)
    return SSRNet(5, ratio, features=4, modules=2, separable=separable, spectral_first=spectral_first).eval()


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize("bands", [5, 1])
@torch.inference_mode()
def test_any_number_of_bands_and_any_size_become_ratio_times_larger(ratio: int, bands: int) -> None:
    network = SSRNet(bands, ratio, features=4, modules=1)
    assert network(torch.rand(2, bands, 7, 10)).shape == (2, bands, 7 * ratio, 10 * ratio)


@torch.inference_mode()
def test_weights_of_one_number_of_bands_serve_another() -> None:
    weights = {name: value for name, value in small().state_dict().items() if name != "band_mean"}
    other = SSRNet(9, 2, features=4, modules=2)
    assert other.load_state_dict(weights, strict=False).missing_keys == ["band_mean"]


@torch.inference_mode()
def test_the_band_means_are_taken_off_and_put_back() -> None:
    network, image = small(), torch.rand(1, 5, 6, 6)
    wanted = network(image)
    means = torch.arange(5.0)
    network.band_mean.copy_(means)
    means = means[:, None, None]
    torch.testing.assert_close(network(image + means), wanted + means, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_order_of_spatial_and_spectral_is_a_choice_that_matters() -> None:
    spatial, spectral = small(), small(spectral_first=True)
    assert [conv.kernel_size for conv in spatial.trunk[0].last if isinstance(conv, nn.Conv3d)] == [(1, 3, 3), (3, 1, 1)]
    assert [conv.kernel_size for conv in spectral.trunk[0].last if isinstance(conv, nn.Conv3d)] == [
        (3, 1, 1),
        (1, 3, 3),
    ]


@pytest.mark.parametrize("separable", [True, False])
@torch.inference_mode()
def test_folding_the_weight_norm_changes_no_output_and_not_the_original(separable: bool) -> None:
    network, image = small(separable=separable), torch.rand(1, 5, 6, 8)
    wanted = network(image)
    folded = without_weight_norm(network)
    torch.testing.assert_close(folded(image), wanted)
    assert not any("original" in name for name in folded.state_dict())
    torch.testing.assert_close(network(image), wanted, atol=0, rtol=0)
    torch.testing.assert_close(without_weight_norm(network)(image), wanted)


def test_every_convolution_is_trained_under_weight_norm_with_one_length_per_first_index() -> None:
    network = small()
    lengths = {name: value.shape for name, value in network.state_dict().items() if name.endswith("original0")}
    assert len(lengths) == sum(isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)) for module in network.modules())
    # Of a transposed convolution the first index is the input channel.
    assert lengths["upsample.parametrizations.weight.original0"] == (4, 1, 1, 1, 1)


@pytest.mark.parametrize("ratio", [2, 3, 4])
@torch.inference_mode()
def test_an_lr_pixel_reaches_as_far_as_the_specification_says(ratio: int) -> None:
    network = without_weight_norm(SSRNet(3, ratio, features=2, modules=3))
    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            nn.init.constant_(module.weight, 0.05)
            nn.init.zeros_(module.bias)
    image = torch.zeros(1, 3, 55, 55, dtype=torch.float64)
    image[:, 1, 27, 27] = 1
    moved = network.double()(image)[0].any(dim=0).nonzero()
    # 22 LR pixels through the trunk, one HR pixel each for the transposed convolution and the tail.
    first, last = int(moved.min()), int(moved.max())
    assert (first, last) == ((27 - 22) * ratio - 2, (27 + 22) * ratio + ratio - 1 + 2)
