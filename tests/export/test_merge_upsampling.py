from __future__ import annotations

import pytest
import torch
from torch import nn

from export.counts import count_network
from export.merge_upsampling import merged
from export.networks.ssrnet import SSRNet


def small(ratio: int, *, separable: bool = True) -> SSRNet:
    """With biases and means that are not nearly zero, which would hide what they do at the border."""
    torch.manual_seed(0)
    network = SSRNet(5, ratio, features=8, modules=1, separable=separable).eval()
    network.band_mean.uniform_()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.uniform_(parameter, -0.5, 0.5)
    return network


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (7, 10)])
@torch.inference_mode()
def test_the_output_is_the_same_up_to_the_frame_s_last_pixel(ratio: int, size: tuple[int, int]) -> None:
    network, image = small(ratio), torch.rand(2, 5, *size)
    torch.testing.assert_close(merged(network)(image), network(image), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_full_convolutions_and_a_single_band_are_merged_as_well() -> None:
    network = small(2, separable=False)
    network.band_mean = network.band_mean[:1]
    image = torch.rand(1, 1, 4, 5)
    torch.testing.assert_close(merged(network)(image), network(image), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_the_original_is_untouched_and_no_transposed_convolution_is_left() -> None:
    network, image = small(4), torch.rand(1, 5, 6, 6)
    wanted = network(image)
    network_merged = merged(network)
    assert torch.equal(network(image), wanted)
    assert not any(isinstance(module, nn.ConvTranspose3d) for module in network_merged.modules())


def test_at_ratio_4_a_quarter_of_the_multiplications_goes() -> None:
    network = SSRNet(31, 4)
    plain, fast = (count_network(each, [(1, 31, 32, 32)]).macs for each in (network, merged(network)))
    assert fast < 0.76 * plain
