"""PZRes-Net: fusion of LR-HSI and HR-MSI by zero-centric residual learning.

Source: Zhu, Hou, Chen, Zeng, Zhou, "Hyperspectral Image Super-Resolution via Deep Progressive Zero-Centric Residual
Learning", IEEE TIP 2021. The paper's text and the authors' public program describe different layers; the published cost
is that of the program. Both are here, `variant="code"` is the default.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from export.networks.means import SpatialMeans

Variant = Literal["code", "paper"]
S3_PER_STAGE = 8
STAGES = 3
GROWTH = 2
"""Channels of a dense layer's output, in multiples of the stage's bands."""


class PZResOutput(NamedTuple):
    """What a forward pass gives; training needs all of it, a device `refined` alone."""

    coarse: Tensor
    refined: Tensor
    statistics: Tensor


class S3(nn.Module):
    """Spatial-spectral separable layer: 1x1 over channels, then a full 3x3, with ReLU after either by choice.

    The caller centres the input. In the dense stages that is exact and cheap: centring works channel by channel, so a
    concatenation of centred features is centred, and no feature's mean is taken twice.
    """

    def __init__(
        self, inputs: int, inner: int, outputs: int, *, centred: bool, relu: tuple[bool, bool], depthwise: bool
    ) -> None:
        super().__init__()
        self.spectral = nn.Conv2d(inputs, inner, 1)
        self.spatial = nn.Conv2d(inner, outputs, 3, padding=1, groups=inner if depthwise else 1)
        self.centred = centred
        self.relu = relu

    def forward(self, x: Tensor, means: SpatialMeans) -> Tensor:
        """`(N, inputs, H, W)`, centred, to `(N, outputs, H, W)`."""
        x = self.spectral(x)
        if self.relu[0]:
            x = torch.relu(x)
        x = self.spatial(means.subtract(x) if self.centred else x)
        return torch.relu(x) if self.relu[1] else x


class Stage(nn.Module):
    """Predicts the zero-mean residual of `bands` bands from the base image, the MSI and the stage before."""

    def __init__(self, bands: int, msi_bands: int, previous: int, *, variant: Variant, depthwise: bool) -> None:
        super().__init__()
        self.variant = variant
        code = variant == "code"
        self.lift = nn.Conv2d(previous + msi_bands, bands, 3, padding=1) if code else nn.Conv2d(msi_bands, bands, 1)
        growth = GROWTH * bands
        inputs = 2 * bands + (0 if code else previous)
        dense = [
            S3(inputs + k * growth, growth, growth, centred=True, relu=(True, True), depthwise=depthwise)
            for k in range(S3_PER_STAGE - 1)
        ]
        last_inputs = inputs + (S3_PER_STAGE - 1) * growth
        self.dense = nn.ModuleList(dense)
        # A depthwise 3x3 keeps its channel count, so the last layer's inner width is that of its output.
        self.last = S3(last_inputs, bands, bands, centred=True, relu=(code, False), depthwise=depthwise)

    def forward(self, base: Tensor, msi: Tensor, previous: Tensor | None, means: SpatialMeans) -> Tensor:
        """The residual of this stage's bands; `base` holds those bands, `previous` is the stage before's residual."""
        seen = [] if previous is None else [previous]
        if self.variant == "code":
            lifted = torch.relu(self.lift(torch.cat([*seen, msi], dim=1)))
            features = [base, lifted]
        else:
            lifted = self.lift(msi)
            features = [base, lifted, *seen]
        features = [means.subtract(feature) for feature in features]
        for layer in self.dense:
            features.append(means.subtract(layer(torch.cat(features, dim=1), means)))
        residual = self.last(torch.cat(features, dim=1), means)
        return (torch.tanh(residual) if self.variant == "code" else residual) + lifted


class PZResNet(nn.Module):
    """The whole network; every learned layer runs on the HR grid.

    Args:
        hsi_bands: Bands S of the spectral image.
        msi_bands: Bands of the HR-MSI, 3 for RGB.
        variant: `code` as the authors' public program, `paper` as the text.
        depthwise: Read the text's "per-channel filters" literally; its cost contradicts the published one.
    """

    def __init__(
        self, hsi_bands: int = 31, msi_bands: int = 3, *, variant: Variant = "code", depthwise: bool = False
    ) -> None:
        super().__init__()
        self.variant = variant
        self.subsets = [band_subset(hsi_bands, 2 ** (STAGES - 1 - k)) for k in range(STAGES)]
        counts = [len(subset) for subset in self.subsets]
        self.stages = nn.ModuleList(
            Stage(bands, msi_bands, previous, variant=variant, depthwise=depthwise)
            for bands, previous in zip(counts, [0, *counts[:-1]], strict=True)
        )
        code = variant == "code"
        relus = [(True, True)] if code else [(True, True), (True, True), (False, False)]
        self.refine = nn.ModuleList(
            S3(hsi_bands, hsi_bands, hsi_bands, centred=code, relu=relu, depthwise=depthwise) for relu in relus
        )

    def forward(self, base: Tensor, msi: Tensor, statistics: Tensor | None = None) -> PZResOutput:
        """Add the learned residual to the base image.

        Args:
            base: `(N, S, H, W)`, the upsampled LR-HSI, in [0, 1].
            msi: `(N, s, H, W)` in [0, 1].
            statistics: `(N, size)` means of another pass, or None to measure them on this input.
        """
        means = SpatialMeans(statistics)
        guide = means.subtract(msi) if self.variant == "code" else msi
        residual: Tensor | None = None
        for stage, subset in zip(self.stages, self.subsets, strict=True):
            # Not base[:, subset], which the ONNX exporter writes as Transpose, GatherND, Transpose.
            bands = (
                base if len(subset) == base.shape[1] else base.index_select(1, torch.tensor(subset, device=base.device))
            )
            residual = stage(bands, guide, residual, means)
        assert residual is not None
        coarse = refined = base + residual
        for layer in self.refine:
            refined = layer(means.subtract(refined) if layer.centred else refined, means)
        return PZResOutput(coarse, refined + coarse, means.vector())


def band_subset(bands: int, stride: int) -> list[int]:
    """Every `stride`-th band, the last one replaced by the last band of all."""
    subset = list(range(0, bands, stride))
    subset[-1] = bands - 1
    return subset
