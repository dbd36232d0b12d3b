"""FieldFuse: fusion of any spectral sensor with an RGB camera, in the frame's own components.

A network of this project. The runtime finds a frame's components (`hsi_edge.subspace`): the three guides, which are the
RGB bands decorrelated, and the four strongest components of what they leave of the spectra. This network sees nothing
else, so it serves any number of bands and any camera response. It does two things: it takes noise out of the guides,
which the mixture of bands would amplify, and it gives the rest the detail that LR pixels lack. It is told how noisy the
frame is, and how much change that calls for: none in a clean one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, relu

from hsi_edge.subspace import CHANNELS, CONDITIONS, GUIDES, MARGIN_LR, REST

MODULATION = 32
"""Width of what the layers are told of the frame's noise."""


class FieldFuseOutput(NamedTuple):
    """Components `(N, CHANNELS, H, W)`: the result, and the start that the network improves on."""

    refined: Tensor
    start: Tensor

    def mixed(self, mixing: Tensor, offset: Tensor) -> FieldFuseOutput:
        """The same in bands `(N, bands, H, W)`, by `(N, bands, CHANNELS)` and `(N, bands)`."""
        bands = (torch.einsum("nbc,nchw->nbhw", mixing, image.float()) for image in self)
        refined, start = (image + offset[:, :, None, None] for image in bands)
        return FieldFuseOutput(refined, start)


class Block(nn.Module):
    """Two 3x3 convolutions around a skip, the first one's output scaled and shifted by the frame's noise (FiLM).

    Source of the modulation: Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.modulation = nn.Linear(MODULATION, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """`(N, width, H, W)` and `(N, MODULATION)` to `(N, width, H, W)`."""
        gain, shift = self.modulation(noise)[:, :, None, None].chunk(2, dim=1)
        result: Tensor = x + self.second(relu(self.first(x) * (1 + gain) + shift))
        return result


class FieldFuse(nn.Module):
    """The whole network; the same weights serve every ratio.

    Args:
        ratio: HR pixels per LR pixel, a multiple of 4, for an export; None to take it from the images.
        width: Channels at half the resolution.
        deep_width: Channels at a quarter of the resolution.
        deep_blocks: Blocks there.
    """

    def __init__(
        self, ratio: int | None = None, *, width: int = 32, deep_width: int = 64, deep_blocks: int = 2
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.condition = nn.Sequential(
            nn.Linear(GUIDES + REST, MODULATION), nn.ReLU(), nn.Linear(MODULATION, MODULATION), nn.ReLU()
        )
        self.head = nn.Conv2d(GUIDES + 2 * REST, width, 6, stride=2, padding=2)
        self.before = Block(width)
        self.down = nn.Conv2d(width, deep_width, 2, stride=2)
        self.deep = nn.ModuleList(Block(deep_width) for _ in range(deep_blocks))
        self.up = nn.ConvTranspose2d(deep_width, width, 2, stride=2)
        self.after = Block(width)
        self.tail = nn.Conv2d(width, 4 * CHANNELS, 3, padding=1)
        self.strength = nn.Linear(MODULATION, CHANNELS)
        nn.init.zeros_(self.strength.weight)
        nn.init.ones_(self.strength.bias)
        with torch.no_grad():
            self.tail.weight.mul_(0.05)
            self.tail.bias.zero_()  # type: ignore[union-attr]  # it has one

    def forward(self, guide: Tensor, features: Tensor, condition: Tensor) -> FieldFuseOutput:
        """Improve on the components that the local fits give.

        Args:
            guide: `(N, GUIDES, H, W)`.
            features: `(N, FEATURES, H / ratio + 2 * MARGIN_LR, W / ratio + 2 * MARGIN_LR)`.
            condition: `(N, CONDITIONS)`.
        """
        assert condition.shape[1] == CONDITIONS
        interpolated, fitted = self._rest(guide, features)
        noise, guide_noise, called_for = condition.split_with_sizes([GUIDES + REST, GUIDES, 2], dim=1)
        told = self.condition(noise)
        x = self.head(torch.cat([guide, interpolated, fitted - interpolated], dim=1))
        x = self.before(x, told)
        deep = self.down(x)
        for block in self.deep:
            deep = block(deep, told)
        x = self.after(x + self.up(deep), told)
        guides, rest = called_for.chunk(2, dim=1)
        strength = self.strength(told) * torch.cat([guides.expand(-1, GUIDES), rest.expand(-1, REST)], dim=1)
        change = pixel_shuffle(self.tail(x), 2) * strength[:, :, None, None]
        # A guide is changed within a few deviations of its noise; without noise, not at all.
        denoised = guide + 3 * guide_noise[:, :, None, None] * change[:, :GUIDES]
        start = torch.cat([guide, fitted], dim=1)
        return FieldFuseOutput(torch.cat([denoised, fitted + change[:, GUIDES:]], dim=1), start)

    def _rest(self, guide: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The rest at full resolution: interpolated, and with the guides' detail by the local slopes."""
        ratio = self.ratio or guide.shape[2] // (features.shape[2] - 2 * MARGIN_LR)
        wide = interpolate(features, scale_factor=ratio, mode="bicubic", align_corners=False)
        edge = MARGIN_LR * ratio
        rest, slopes, lr_guide = wide[:, :, edge:-edge, edge:-edge].split_with_sizes(
            [REST, REST * GUIDES, GUIDES], dim=1
        )
        detail = guide - lr_guide
        of_guides = slopes.reshape(-1, REST, GUIDES, *detail.shape[2:])
        fitted = rest + (of_guides * detail[:, None]).sum(dim=2)
        return rest, fitted
