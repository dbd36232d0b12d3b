"""MS-SSFNet: fusion of LR-HSI and HR-MSI along an image pyramid, spectral features going up as spatial ones come down.

Source: Han, Zheng, Chen, "Multi-Level and Multi-Scale Spatial and Spectral Fusion CNN for Hyperspectral Image
Super-Resolution", ICCV Workshops 2019. The paper gives neither widths nor kernels and its authors no program: 3x3
convolutions, 4x4 transposed ones, 64 features and slopes per channel are our choice, and so is the reading by which the
pyramid ends at full size.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsi_edge.errors import InputError

RATIOS = (4, 8, 16)
SLOPE = 0.25
"""Of every PReLU at the start."""


class MSSSFOutput(NamedTuple):
    """What a forward pass gives; training needs all of it, a device `output` alone.

    Attributes:
        output: `(N, C, ratio h, ratio w)`.
        levels: The images in between, coarse first, at the sizes that `MSSSFNet.level_ratios` tells.
    """

    output: Tensor
    levels: tuple[Tensor, ...]


class MSSSFNet(nn.Module):
    """The whole network.

    Args:
        hsi_bands: Bands C of the spectral image.
        msi_bands: Bands of the HR-MSI.
        ratio: LR GSD / HR GSD: 4, 8 or 16.
        spectral_features: Channels on the way up from the LR-HSI.
        spatial_features: Channels on the way down from the HR-MSI.
        levels: Images that are compared with the truth in training, the output included; 2 in the paper.

    Raises:
        InputError: Another ratio.
    """

    def __init__(
        self,
        hsi_bands: int,
        msi_bands: int,
        ratio: int,
        *,
        spectral_features: int = 64,
        spatial_features: int = 64,
        levels: int = 2,
    ) -> None:
        super().__init__()
        if ratio not in RATIOS:
            raise InputError(f"ratio is {ratio}; MS-SSFNet is made for {', '.join(map(str, RATIOS))}")
        scales = ratio.bit_length() - 1
        spectral, spatial = spectral_features, spatial_features
        self.down = nn.ModuleList(_double(msi_bands if scale == 0 else spatial, spatial) for scale in range(scales))
        self.start = _double(hsi_bands, spectral)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(spectral, spectral, 4, stride=2, padding=1) for _ in range(scales)
        )
        self.up = nn.ModuleList(_double(spectral + spatial, spectral) for _ in range(scales))
        # Rounded up where the scales do not share out evenly: at ratio 8 the level in between is at 4, as at ratio 16.
        after = sorted({math.ceil(level * scales / levels) for level in range(1, levels + 1)})
        self.heads = nn.ModuleDict({str(scale): nn.Conv2d(spectral, hsi_bands, 3, padding=1) for scale in after})
        self.apply(_set_fan_in_weights)

    @property
    def level_ratios(self) -> tuple[int, ...]:
        """How many times larger than the LR-HSI each level's image is, coarse first; the last is the output."""
        return tuple(2 ** int(scale) for scale in self.heads)

    def forward(self, lr_hsi: Tensor, hr_msi: Tensor) -> MSSSFOutput:
        """Fuse.

        Args:
            lr_hsi: `(N, C, h, w)` in [0, 1].
            hr_msi: `(N, msi_bands, ratio h, ratio w)` in [0, 1].
        """
        spatial = [self.down[0](hr_msi)]
        for block in self.down[1:]:
            spatial.append(block(functional.max_pool2d(spatial[-1], 2)))
        x = self.start(lr_hsi)
        images = []
        for scale, (upsample, block) in enumerate(zip(self.upsample, self.up, strict=True), start=1):
            x = block(torch.cat([upsample(x), spatial[-scale]], dim=1))
            if str(scale) in self.heads:
                images.append(self.heads[str(scale)](x))
        return MSSSFOutput(images[-1], tuple(images[:-1]))


def without_levels(network: MSSSFNet) -> MSSSFNet:
    """A copy that gives its output alone, for export."""
    bare = copy.deepcopy(network)
    last = list(bare.heads)[-1]
    bare.heads = nn.ModuleDict({last: bare.heads[last]})
    return bare


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.PReLU(outputs, init=SLOPE),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.PReLU(outputs, init=SLOPE),
    )


def _set_fan_in_weights(module: nn.Module) -> None:
    """Keep the signal's size through the depth, which the paper's standard deviation of 0.001 does not."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        taps = math.prod(module.kernel_size) / math.prod(module.stride)
        # Of a transposed convolution's taps each output pixel meets one per stride; a PReLU halves the power, nearly.
        gain = 1 if isinstance(module, nn.ConvTranspose2d) else 2 / (1 + SLOPE**2)
        nn.init.normal_(module.weight, std=math.sqrt(gain / (module.in_channels * taps)))
        assert module.bias is not None
        nn.init.zeros_(module.bias)
