"""The networks by name, each as a record that a recipe holds: architecture, arguments, and what goes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from export.networks.fieldfuse import FieldFuse
from export.networks.gelin import GELIN, Resize, Spectral
from export.networks.msssf import MSSSFNet, without_levels
from export.networks.pzres import PZResNet, Variant
from export.networks.ssrnet import SSRNet, without_weight_norm
from hsi_edge.manifest import ImageName as Image
from hsi_edge.manifest import Task
from hsi_edge.network import image_shapes as shapes_by_name


@dataclass(frozen=True, kw_only=True)
class PZResChoice:
    """The arguments of `PZResNet`, at any ratio."""

    images: ClassVar[tuple[Image, ...]] = ("base", "hr_msi")
    task: ClassVar[Task] = "fusion"

    architecture: Literal["pzres"] = "pzres"
    hsi_bands: int
    msi_bands: int
    variant: Variant = "code"
    depthwise: bool = False

    def build(self) -> PZResNet:
        """A new network with random weights."""
        return PZResNet(self.hsi_bands, self.msi_bands, variant=self.variant, depthwise=self.depthwise)


@dataclass(frozen=True, kw_only=True)
class SSRNetChoice:
    """The arguments of `SSRNet`."""

    images: ClassVar[tuple[Image, ...]] = ("lr_hsi",)
    task: ClassVar[Task] = "single"

    architecture: Literal["ssrnet"] = "ssrnet"
    hsi_bands: int
    ratio: int
    features: int = 64
    modules: int = 3
    separable: bool = True
    spectral_first: bool = False

    def build(self) -> SSRNet:
        """A new network with random weights."""
        return SSRNet(
            self.hsi_bands,
            self.ratio,
            features=self.features,
            modules=self.modules,
            separable=self.separable,
            spectral_first=self.spectral_first,
        )


@dataclass(frozen=True, kw_only=True)
class GELINChoice:
    """The arguments of `GELIN`."""

    images: ClassVar[tuple[Image, ...]] = ("lr_hsi", "base")
    task: ClassVar[Task] = "single"

    architecture: Literal["gelin"] = "gelin"
    hsi_bands: int
    ratio: int
    group_bands: int
    overlap: int
    blocks: int
    features: int = 256
    resize: Resize = "nearest"
    output_relu: bool = True
    spectral: Spectral = "scconv"
    ngim: bool = True

    def build(self) -> GELIN:
        """A new network with random weights."""
        return GELIN(
            self.hsi_bands,
            self.ratio,
            group_bands=self.group_bands,
            overlap=self.overlap,
            blocks=self.blocks,
            features=self.features,
            resize=self.resize,
            output_relu=self.output_relu,
            spectral=self.spectral,
            ngim=self.ngim,
        )


@dataclass(frozen=True, kw_only=True)
class MSSSFChoice:
    """The arguments of `MSSSFNet`."""

    images: ClassVar[tuple[Image, ...]] = ("lr_hsi", "hr_msi")
    task: ClassVar[Task] = "fusion"

    architecture: Literal["msssf"] = "msssf"
    hsi_bands: int
    msi_bands: int
    ratio: int
    spectral_features: int = 64
    spatial_features: int = 64
    levels: int = 2

    def build(self) -> MSSSFNet:
        """A new network with random weights."""
        return MSSSFNet(
            self.hsi_bands,
            self.msi_bands,
            self.ratio,
            spectral_features=self.spectral_features,
            spatial_features=self.spatial_features,
            levels=self.levels,
        )


@dataclass(frozen=True, kw_only=True)
class FieldFuseChoice:
    """The arguments of `FieldFuse`, at any ratio and for any bands."""

    images: ClassVar[tuple[Image, ...]] = ("guide", "features", "condition")
    task: ClassVar[Task] = "fusion"

    architecture: Literal["fieldfuse"] = "fieldfuse"
    width: int = 32
    deep_width: int = 64
    deep_blocks: int = 2

    def build(self) -> FieldFuse:
        """A new network with random weights, which takes the ratio from its images."""
        return FieldFuse(width=self.width, deep_width=self.deep_width, deep_blocks=self.deep_blocks)


NetworkChoice = PZResChoice | SSRNetChoice | GELINChoice | MSSSFChoice | FieldFuseChoice
"""What a recipe holds; `architecture` tells which one."""


def image_shapes(choice: NetworkChoice, ratio: int, lr_shape: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's images for one frame of so many LR rows and columns, without the batch axis."""
    bands = (getattr(choice, "hsi_bands", 0), getattr(choice, "msi_bands", 0))
    return shapes_by_name(choice.images, lr_shape, ratio, bands)


def without_training_parts(network: nn.Module) -> nn.Module:
    """The network as a bundle holds it, with the same output: no weight norm, no images that only training compares."""
    if isinstance(network, SSRNet):
        return without_weight_norm(network)
    if isinstance(network, MSSSFNet):
        return without_levels(network)
    return network
