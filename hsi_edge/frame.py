"""A frame made ready for tiles: what the graph is given for a region, and what its output means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.base_image import BaseImage
from hsi_edge.consistency import Consistency
from hsi_edge.guide import GuideReader, cut_out
from hsi_edge.manifest import ImageName
from hsi_edge.resampling import Float
from hsi_edge.tiling.geometry import Region


@dataclass(frozen=True, eq=False)
class Window:
    """What the graph is given for an LR region, and which of the HR pixels above it are valid.

    Attributes:
        images: By the name of the graph's input, `(channels, rows, cols)` on the image's own grid, or `(channels,)` for
            what belongs to the whole frame; the caller's own.
        valid: `(H, W)` bool.
    """

    images: dict[str, Float]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Findings:
    """What preparing and running a frame told of the pair; None where nothing was looked for or determinable.

    Attributes:
        translation_px: The displacement of the HR-MSI that was undone, along rows and columns, in HR pixels.
        lr_noise, msi_noise: Standard deviations of the noise in one band of one pixel, as parts of the frame's peak.
        correction: How far the degraded output was off the LR-HSI before it was made to agree, likewise.
        warnings: What the caller should know, in words.
    """

    translation_px: tuple[float, float] | None = None
    lr_noise: float | None = None
    msi_noise: float | None = None
    correction: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, ready to be cut: it knows what the graph is given for a region, and what the graph's output means.

    Attributes:
        lr_shape: Rows and columns of the LR-HSI.
        alignment: The grid that is cut has a multiple of this many rows and columns.
        ratio: HR pixels per LR pixel.
        scale: Factor from the network's numbers back to the LR-HSI's.
        lr_valid: `(h, w)` bool, which LR pixels were measured.
        dead_bands: `(bands,)` bool, bands that hold nothing; zero here.
        names: The images that the graph takes.
        lr: The scaled LR-HSI, `(bands, h, w)`; None where the graph does not take it.
        base: The base image; None where the graph takes none.
        guide: The MSI; None for a single-image model.
    """

    lr_shape: tuple[int, int]
    alignment: int
    ratio: int
    scale: float
    lr_valid: NDArray[np.bool_]
    dead_bands: NDArray[np.bool_]
    names: tuple[ImageName, ...]
    lr: Float | None
    base: BaseImage | None
    guide: GuideReader | None

    @property
    def grid(self) -> Region:
        """All that is cut: the LR-HSI, filled up to the alignment by repeating its last row and column."""
        rows, cols = (math.ceil(length / self.alignment) * self.alignment for length in self.lr_shape)
        return Region(0, rows, 0, cols)

    def window(self, lr_region: Region) -> Window:
        """The graph's images of an LR region of the grid."""
        region = lr_region.scaled(self.ratio)
        valid = cut_out(self.lr_valid, lr_region).repeat(self.ratio, axis=0).repeat(self.ratio, axis=1)
        images: dict[str, Float] = {}
        msi = None
        if self.guide is not None:
            msi, msi_valid = self.guide.window(region)
            images["hr_msi"] = msi
            valid = valid if msi_valid is None else valid & msi_valid
        if self.base is not None:
            images["base"] = self.base.window(region.rows, region.cols, msi)
        if self.lr is not None:
            images["lr_hsi"] = np.ascontiguousarray(cut_out(self.lr, lr_region))
        return Window({name: images[name] for name in self.names}, valid)

    def bands_from(self, output: Float) -> Float:
        """The bands `(bands, ...)` in the LR-HSI's numbers that the graph's output `(channels, ...)` stands for."""
        values: Float = output * np.float32(self.scale)
        return values

    def consistency(self) -> Consistency | None:
        """What makes the output agree with the measured LR-HSI; None for a network without that."""
        return None

    def findings(self, correction: float | None) -> Findings:
        """What the frame told of the pair, and how much its output had to be corrected."""
        return Findings(correction=correction)

    def hr_hsi_from(self, output: Float) -> Float:
        """The HR-HSI `(rows, cols, bands)` that the graph's output for the whole grid stands for."""
        rows, cols = (length * self.ratio for length in self.lr_shape)
        hr_hsi: Float = np.moveaxis(self.bands_from(output[:, :rows, :cols]), 0, 2)
        return hr_hsi
