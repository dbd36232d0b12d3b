"""GELIN: super-resolution of the LR-HSI alone, in overlapping groups of bands that each see their neighbours.

Source: Wang, Hu, Jiang, Ma, "A Group-Based Embedding Learning and Integration Network for Hyperspectral Image
Super-Resolution", IEEE TGRS 2022, and the authors' public program HuQ1an/GELIN_TGRS, by which the published counts were
made. Where the two differ, the program's way is the default.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.means import SpatialMeans
from hsi_edge.errors import InputError

Resize = Literal["nearest", "bilinear"]
Spectral = Literal["scconv", "none", "conv"]
REDUCTION = 16
"""Channels over those of the channel attention's inner layer."""


class GELINOutput(NamedTuple):
    """What a forward pass gives: the HR image and the pooled means of every channel attention."""

    output: Tensor
    statistics: Tensor


class SCConv(nn.Module):
    """Self-calibrated convolution: one half of the channels is gated by what a coarser grid sees of it."""

    def __init__(self, features: int, *, resize: Resize, output_relu: bool) -> None:
        super().__init__()
        half = features // 2
        self.coarse, self.calibrated, self.merged, self.plain = (nn.Conv2d(half, half, 3, padding=1) for _ in range(4))
        self.resize = resize
        self.output_relu = output_relu

    def forward(self, x: Tensor) -> Tensor:
        """`(N, features, rows, cols)` to the same; rows and columns are even."""
        gated, plain = x.chunk(2, dim=1)
        # A size, not a factor of 2: the exporter then need not be told that sizes are even.
        coarse = functional.interpolate(
            self.coarse(functional.avg_pool2d(gated, 2)), size=gated.shape[2:], mode=self.resize
        )
        calibrated = self.calibrated(gated) * torch.sigmoid(gated + coarse)
        y = torch.cat([self.merged(calibrated), self.plain(plain)], dim=1)
        return torch.relu(y) if self.output_relu else y


class ChannelAttentionBlock(nn.Module):
    """The paper's RCAB: two convolutions, each channel weighed by means over the frame, and a shortcut."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1), nn.ReLU(), nn.Conv2d(features, features, 3, padding=1)
        )
        inner = features // REDUCTION
        self.attention = nn.Sequential(
            nn.Conv2d(features, inner, 1), nn.ReLU(), nn.Conv2d(inner, features, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor, means: SpatialMeans) -> Tensor:
        """`(N, features, rows, cols)` to the same."""
        y = self.convs(x)
        result: Tensor = y * self.attention(means.of(y)) + x
        return result


class EmbeddingBlock(nn.Module):
    """The paper's SSELB: spectral convolution, channel attention, shortcut; without the first, the attention alone."""

    def __init__(self, features: int, spectral: nn.Module | None) -> None:
        super().__init__()
        self.spectral = spectral
        self.spatial = ChannelAttentionBlock(features)

    def forward(self, x: Tensor, means: SpatialMeans) -> Tensor:
        """`(N, features, rows, cols)` to the same."""
        if self.spectral is None:
            alone: Tensor = self.spatial(x, means)
            return alone
        result: Tensor = self.spatial(self.spectral(x), means) + x
        return result


class Embedding(nn.Module):
    """The paper's SSELM: a group of bands to features, on the LR grid; shared by all groups."""

    def __init__(self, group_bands: int, features: int, spectral: list[nn.Module | None]) -> None:
        super().__init__()
        self.head = nn.Conv2d(group_bands, features, 3, padding=1)
        self.blocks = nn.ModuleList(EmbeddingBlock(features, one) for one in spectral)

    def forward(self, group: Tensor, means: SpatialMeans) -> Tensor:
        """`(N, group_bands, h, w)` to `(N, features, h, w)`."""
        shallow = x = self.head(group)
        for block in self.blocks:
            x = block(x, means)
        result: Tensor = x + shallow
        return result


class Integration(nn.Module):
    """The paper's NGIM: a group's bands on the HR grid, corrected by what it and its neighbours have in common."""

    def __init__(self, group_bands: int, features: int, ratio: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(3 * features, features // 2, 3, padding=1)
        self.expand = nn.Conv2d(features // 2, features, 3, padding=1)
        self.upsample_shared, self.upsample_own = (
            nn.Sequential(
                nn.ConvTranspose2d(features, features, ratio + 4, stride=ratio, padding=2), nn.PReLU(features)
            )
            for _ in range(2)
        )
        self.correct = nn.Conv2d(features, features, 3, padding=1)
        self.reconstruct = nn.Conv2d(features, group_bands, 3, padding=1)

    def forward(self, before: Tensor, own: Tensor, after: Tensor) -> Tensor:
        """Three embeddings `(N, features, h, w)` to `(N, group_bands, ratio h, ratio w)`."""
        shared = self.upsample_shared(self.expand(self.reduce(torch.cat([before, own, after], dim=1))))
        raised = self.upsample_own(own)
        result: Tensor = self.reconstruct(raised + self.correct(shared - raised))
        return result


class PlainUpsampling(nn.Sequential):
    """The ablation without neighbours, as the published cost tells it: pixel shuffles by 2, then a convolution."""

    def __init__(self, group_bands: int, features: int, ratio: int) -> None:
        doublings = ratio.bit_length() - 1
        stages = [(nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2)) for _ in range(doublings)]
        layers = [layer for stage in stages for layer in stage]
        super().__init__(*layers, nn.Conv2d(features, group_bands, 3, padding=1))


class GELIN(nn.Module):
    """The whole network. LR rows and columns must be even: a pooling by 2 would drop the last of an odd number.

    Args:
        hsi_bands: Bands B of the spectral image.
        ratio: LR GSD / HR GSD; 4 and 8 are published.
        group_bands: Bands of a group.
        overlap: Bands that a group shares with the next; the last group may share more.
        blocks: Embedding blocks, R in the paper.
        features: Channels of every inner layer, a multiple of 16; the published counts tell 256.
        resize: From the coarse grid of a self-calibrated convolution; `nearest` as the program, `bilinear` as the text.
        output_relu: ReLU on a self-calibrated convolution's output, as the program; False as the text.
        spectral: First layer of a block; `none` and `conv` are ablations.
        ngim: Integrate neighbouring groups; False is an ablation.

    Raises:
        InputError: The bands cannot be grouped so, or the features or the ratio do not fit.
    """

    def __init__(
        self,
        hsi_bands: int,
        ratio: int,
        *,
        group_bands: int,
        overlap: int,
        blocks: int,
        features: int = 256,
        resize: Resize = "nearest",
        output_relu: bool = True,
        spectral: Spectral = "scconv",
        ngim: bool = True,
    ) -> None:
        super().__init__()
        if features % REDUCTION:
            raise InputError(f"features is {features}; wanted a multiple of {REDUCTION}")
        if not ngim and ratio.bit_count() != 1:
            raise InputError(f"ratio is {ratio}; without NGIM it must be a power of 2")
        self.ratio = ratio
        self.group_bands = group_bands
        self.starts = group_starts(hsi_bands, group_bands, overlap)

        def layer() -> nn.Module | None:
            if spectral == "scconv":
                return SCConv(features, resize=resize, output_relu=output_relu)
            return nn.Conv2d(features, features, 3, padding=1) if spectral == "conv" else None

        self.embed = Embedding(group_bands, features, [layer() for _ in range(blocks)])
        self.integrate = (Integration if ngim else PlainUpsampling)(group_bands, features, ratio)
        self.ngim = ngim

    def forward(self, lr_hsi: Tensor, base: Tensor, statistics: Tensor | None = None) -> GELINOutput:
        """Add the learned residual to the base image.

        Args:
            lr_hsi: `(N, B, h, w)` in [0, 1], h and w even.
            base: `(N, B, ratio h, ratio w)`: `lr_hsi` upsampled by bicubic interpolation with a = -0.5.
            statistics: `(N, size)` means of another pass, or None to measure them on this input.

        Raises:
            InputError: h or w is odd. An exported graph cannot say so.
        """
        if not torch.compiler.is_exporting() and (lr_hsi.shape[2] % 2 or lr_hsi.shape[3] % 2):
            rows, cols = lr_hsi.shape[2:]
            raise InputError(
                f"lr_hsi has {rows} x {cols} pixels; GELIN wants even numbers: repeat the last row or column and crop "
                "the result"
            )
        means = SpatialMeans(statistics)
        groups = [lr_hsi[:, start : start + self.group_bands] for start in self.starts]
        embedded = [self.embed(group, means) for group in groups]
        return GELINOutput(self._merged(embedded) + base, means.vector())

    def _merged(self, embedded: list[Tensor]) -> Tensor:
        """The groups' residuals side by side, averaged where they overlap."""
        if self.ngim:
            count = len(embedded)
            residuals = [self.integrate(embedded[g - 1], embedded[g], embedded[(g + 1) % count]) for g in range(count)]
        else:
            residuals = [self.integrate(own) for own in embedded]
        edges = sorted({edge for start in self.starts for edge in (start, start + self.group_bands)})
        parts = []
        for first, end in itertools.pairwise(edges):
            covering = [
                residual[:, first - start : end - start]
                for residual, start in zip(residuals, self.starts, strict=True)
                if start <= first and end <= start + self.group_bands
            ]
            total = sum(covering[1:], start=covering[0])
            parts.append(total / len(covering) if len(covering) > 1 else total)
        return torch.cat(parts, dim=1)


def group_starts(bands: int, group_bands: int, overlap: int) -> list[int]:
    """The first band of every group; the last group is moved back to end with the last band.

    Raises:
        InputError: There would be fewer than two groups, or they would not move on.
    """
    if not 0 <= overlap < group_bands < bands:
        raise InputError(
            f"{bands} bands in groups of {group_bands} that overlap by {overlap}; wanted at least two groups: "
            "0 <= overlap < group_bands < bands"
        )
    step = group_bands - overlap
    count = math.ceil((bands - overlap) / step)
    return [min(group * step, bands - group_bands) for group in range(count)]
