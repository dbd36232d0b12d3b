"""SSRNet: super-resolution of the LR-HSI alone by separable three-dimensional convolutions.

Source: Wang, Li, Li, "Spatial-Spectral Residual Network for Hyperspectral Image Super-Resolution", arXiv:2001.04609.
Its published parameter counts hold with weight normalisation on every convolution. Any number of bands will do with the
same weights, but the band means are those of the training bands.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

UNITS = 3
"""Units of two blocks each in a module."""

Block = Callable[[], nn.Sequential]


class Unit(nn.Module):
    """Two blocks and a shortcut."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.blocks = nn.Sequential(block(), block())

    def forward(self, x: Tensor) -> Tensor:
        """`(N, features, bands, rows, cols)` to the same."""
        result: Tensor = self.blocks(x) + x
        return result


class ResidualModule(nn.Module):
    """The paper's SSRM: units in a row, all their outputs fused, a shortcut, and one more block."""

    def __init__(self, features: int, block: Block) -> None:
        super().__init__()
        self.units = nn.ModuleList(Unit(block) for _ in range(UNITS))
        self.fuse = weight_norm(nn.Conv3d(UNITS * features, features, 1))
        self.last = block()

    def forward(self, x: Tensor) -> Tensor:
        """`(N, features, bands, rows, cols)` to the same."""
        outputs = [x]
        for unit in self.units:
            outputs.append(unit(outputs[-1]))
        fused = torch.relu(self.fuse(torch.cat(outputs[1:], dim=1)))
        result: Tensor = self.last(fused + x)
        return result


class SSRNet(nn.Module):
    """The whole network; all but the last two layers run on the LR grid.

    `band_mean` `(hsi_bands,)`, the training images' mean of each band, is zero until set:
    `network.band_mean.copy_(means)`.

    Args:
        hsi_bands: Bands of the spectral image.
        ratio: LR GSD / HR GSD.
        features: Channels of every inner layer.
        modules: Residual modules, D in the paper.
        separable: Spatial and spectral convolutions in turn; False for the ablation with full 3x3x3 ones.
        spectral_first: Their order, which the paper does not tell; its authors' later programs have spatial first.
    """

    band_mean: Tensor

    def __init__(
        self,
        hsi_bands: int,
        ratio: int,
        *,
        features: int = 64,
        modules: int = 3,
        separable: bool = True,
        spectral_first: bool = False,
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.register_buffer("band_mean", torch.zeros(hsi_bands))
        block = partial(_block, features, separable=separable, spectral_first=spectral_first)
        self.head = weight_norm(nn.Conv3d(1, features, 3, padding=1))
        self.trunk = nn.ModuleList(ResidualModule(features, block) for _ in range(modules))
        side = ratio + 2
        self.upsample = weight_norm(
            nn.ConvTranspose3d(features, features, (3, side, side), stride=(1, ratio, ratio), padding=1)
        )
        self.tail = weight_norm(nn.Conv3d(features, 1, 3, padding=1))

    def forward(self, lr_hsi: Tensor) -> Tensor:
        """Super-resolve.

        Args:
            lr_hsi: `(N, B, h, w)` in [0, 1].

        Returns:
            `(N, B, ratio h, ratio w)`.
        """
        mean = self.band_mean[:, None, None]
        shallow = x = self.head((lr_hsi - mean)[:, None])
        for module in self.trunk:
            x = module(x) + shallow
        residual: Tensor = self.tail(self.upsample(x))[:, 0]
        return residual + mean


def without_weight_norm(network: SSRNet) -> SSRNet:
    """A copy with plain weights that computes the same, for export; its parameters are fewer."""
    folded = copy.deepcopy(network)
    for parent in list(folded.modules()):
        for name, module in list(parent.named_children()):
            if is_parametrized(module, "weight"):
                setattr(parent, name, _folded(module))
    return folded


def _folded(conv: nn.Module) -> nn.Module:
    # Not remove_parametrizations: it changes the convolution's class, which a copy has in common with its original.
    kind: Any = type_before_parametrizations(conv)
    given: Any = conv
    plain: nn.Module = kind(
        given.in_channels, given.out_channels, given.kernel_size, stride=given.stride, padding=given.padding
    )
    plain.weight = nn.Parameter(given.weight.detach())
    plain.bias = nn.Parameter(given.bias.detach())
    return plain


def _block(features: int, *, separable: bool, spectral_first: bool) -> nn.Sequential:
    sizes = [(1, 3, 3), (3, 1, 1)] if separable else [(3, 3, 3)]
    layers: list[nn.Module] = []
    for size in reversed(sizes) if spectral_first else sizes:
        layers += [weight_norm(nn.Conv3d(features, features, size, padding="same")), nn.ReLU()]
    return nn.Sequential(*layers)
