"""A frame pair made ready for tiles: scaled, invalid pixels filled, the base image prepared, the MSI read on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.base_image import BaseImage, make_base_image
from hsi_edge.errors import InputError
from hsi_edge.inputs import FrameInput
from hsi_edge.manifest import Manifest
from hsi_edge.resampling import Blur, Float, decimate_cols, decimate_rows
from hsi_edge.scaling import frame_peak
from hsi_edge.tiling.geometry import Region

STRIP_BYTES = 4 << 20
"""Size of the float32 strips in which a whole MSI is passed through."""


@dataclass(frozen=True, eq=False)
class GuideReader:
    """Reads windows of the caller's MSI as scaled float32, `(msi_bands, rows, cols)`, invalid pixels filled.

    An invalid pixel becomes the mean of the valid ones within its LR pixel. Windows lie on the LR grid, so that the
    same pixel is filled alike in every tile.
    """

    source: NDArray[np.generic]
    mask: NDArray[np.bool_] | None
    ratio: int
    divisor: float
    fill: Float

    def window(self, region: Region) -> tuple[Float, NDArray[np.bool_] | None]:
        """The pixels of an HR region on the LR grid, and which of them are valid (None: all)."""
        part = self.source[region.slices]
        # A copy always: the caller's array may already lie in this order, and is never changed.
        image = np.array(np.moveaxis(part, 2, 0), np.float32, order="C")
        image *= np.float32(1 / self.divisor)
        valid = every(np.isfinite(image), 0) if part.dtype.kind == "f" else None
        if self.mask is not None:
            marked = self.mask[region.slices]
            valid = marked if valid is None else valid & marked
        if valid is None or valid.all():
            return image, None
        return self._filled(image, valid), valid

    def count_invalid(self) -> int:
        """Invalid pixels of the whole MSI."""
        rows, cols, bands = self.source.shape
        if self.mask is None and self.source.dtype.kind != "f":
            return 0
        invalid = 0
        for first, last in strips(rows, 4 * cols * bands):
            part = self.source[first:last]
            valid = every(np.isfinite(part), 2)
            invalid += int((~(valid if self.mask is None else valid & self.mask[first:last])).sum())
        return invalid

    def _filled(self, image: Float, valid: NDArray[np.bool_]) -> Float:
        bands, rows, cols = image.shape
        r = self.ratio
        blocks = np.where(valid, image, 0).reshape(bands, rows // r, r, cols // r, r)
        counts = valid.reshape(rows // r, r, cols // r, r).sum(axis=(1, 3))
        means = np.where(counts > 0, blocks.sum(axis=(2, 4)) / np.maximum(counts, 1), self.fill[:, None, None])
        return np.where(valid, image, means.repeat(r, axis=1).repeat(r, axis=2)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame pair, ready to be cut.

    Attributes:
        lr_shape: Rows and columns of the LR grid.
        scale: Factor from the network's numbers back to the LR-HSI's.
        lr_valid: `(h, w)` bool, which LR pixels were measured.
        dead_bands: `(bands,)` bool, bands that hold nothing; zero here.
        base: The base image.
        guide: The MSI; None for a single-image model.
    """

    lr_shape: tuple[int, int]
    scale: float
    lr_valid: NDArray[np.bool_]
    dead_bands: NDArray[np.bool_]
    base: BaseImage
    guide: GuideReader | None

    def window(self, lr_region: Region) -> tuple[Float, Float | None, NDArray[np.bool_]]:
        """Base image, MSI and validity of the HR pixels above an LR region: `(S, H, W)`, `(s, H, W)`, `(H, W)`."""
        ratio = self.base.ratio
        region = lr_region.scaled(ratio)
        valid = self.lr_valid[lr_region.slices].repeat(ratio, axis=0).repeat(ratio, axis=1)
        msi = None
        if self.guide is not None:
            msi, msi_valid = self.guide.window(region)
            valid = valid if msi_valid is None else valid & msi_valid
        return self.base.window(region.rows, region.cols, msi), msi, valid


def prepare_frame(manifest: Manifest, given: FrameInput) -> Frame:
    """Scale a checked frame pair and prepare its base image.

    Raises:
        InputError: The MSI has no valid pixel.
    """
    valid = every(np.isfinite(given.lr_hsi) | given.dead_bands, 2)
    peaked = manifest.input.lr_scaling == "frame_peak"
    measured = given.lr_hsi if valid.all() else given.lr_hsi[valid]
    scale = frame_peak(measured) if peaked else given.lr_divisor
    lr = np.array(np.moveaxis(given.lr_hsi, 2, 0), order="C")
    lr *= np.float32(1 / scale)
    lr[given.dead_bands] = 0
    if not valid.all():
        lr = fill_invalid(lr, valid)
    guide, lr_msi, fit = None, None, valid
    if given.hr_msi is not None:
        guide, lr_msi, lr_msi_valid = _prepare_guide(manifest, given)
        fit = valid & lr_msi_valid
    base = make_base_image(manifest.base, lr, lr_msi, manifest.ratio, fit)
    rows, cols = valid.shape
    return Frame((rows, cols), scale, valid, given.dead_bands, base, guide)


def _prepare_guide(manifest: Manifest, given: FrameInput) -> tuple[GuideReader, Float, NDArray[np.bool_]]:
    """The MSI's reader, the MSI on the LR grid in its scale, and which LR pixels saw valid MSI pixels alone."""
    assert given.hr_msi is not None
    raw = GuideReader(
        given.hr_msi, given.msi_valid, manifest.ratio, given.msi_divisor, np.zeros(given.hr_msi.shape[2], np.float32)
    )
    lr_msi, valid = degraded_guide(raw, Blur.gaussian(manifest.psf_fwhm_px, manifest.ratio))
    if not valid.any():
        raise InputError("hr_msi has no LR pixel's worth of valid pixels; check the camera, or its mask")
    peak = frame_peak(lr_msi[:, valid]) if manifest.input.msi_scaling == "frame_peak" else 1.0
    lr_msi *= np.float32(1 / peak)
    fill = lr_msi[:, valid].mean(axis=1)
    guide = GuideReader(given.hr_msi, given.msi_valid, manifest.ratio, given.msi_divisor * peak, fill)
    return guide, lr_msi, valid


def degraded_guide(guide: GuideReader, blur: Blur) -> tuple[Float, NDArray[np.bool_]]:
    """The whole MSI blurred and decimated, `(msi_bands, h, w)`, by strips; and where no invalid pixel lies below."""
    rows, cols, bands = guide.source.shape
    ratio = guide.ratio
    lr_rows, lr_cols = rows // ratio, cols // ratio
    result = np.empty((bands, lr_rows, lr_cols), np.float32)
    valid = np.ones((lr_rows, lr_cols), np.bool_)
    margin = -(min(0, blur.offset) // ratio)
    for first, last in strips(lr_rows, 4 * ratio * cols * bands):
        above, below = max(0, first - margin), min(lr_rows, last + margin)
        image, image_valid = guide.window(Region(above * ratio, below * ratio, 0, cols))
        result[:, first:last] = decimate_cols(
            decimate_rows(image, ratio, blur, (first - above, last - above), (above == 0, below == lr_rows)),
            ratio,
            blur,
        )
        if image_valid is not None:
            blocks = image_valid.reshape(below - above, ratio, lr_cols, ratio).all(axis=(1, 3))
            valid[above:below] &= blocks
    return result, valid


def strips(lr_rows: int, bytes_per_row: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of LR rows, each about `STRIP_BYTES` of HR pixels."""
    height = max(1, STRIP_BYTES // bytes_per_row)
    for first in range(0, lr_rows, height):
        yield first, min(lr_rows, first + height)


def fill_invalid(image: Float, valid: NDArray[np.bool_]) -> Float:
    """Fill the invalid pixels of `(channels, rows, cols)` from their valid neighbours, ring by ring.

    What is filled is never handed out: it only keeps interpolation and convolution beside it free of NaN.
    """
    # A margin all around spares the border's special cases: it is never known, and never missing.
    filled = np.pad(np.where(valid, image, 0).astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    known, missing = np.pad(valid, 1), np.pad(~valid, 1)
    steps = (-1, 0, 1)
    while missing.any():
        count = _known_neighbours(known)
        rows, cols = np.nonzero(missing & (count > 0))
        # Of the ring alone: a frame may have wide corners without pixels, which take many rings.
        total = sum(filled[:, rows + i, cols + j] for i in steps for j in steps)
        filled[:, rows, cols] = total / count[rows, cols]
        known[rows, cols], missing[rows, cols] = True, False
    return np.ascontiguousarray(filled[:, 1:-1, 1:-1])


def _known_neighbours(known: NDArray[np.bool_]) -> Float:
    """How many of the 3 x 3 pixels around each are known; 0 in the outermost row and column."""
    rows = known[:-2].astype(np.float32) + known[1:-1] + known[2:]
    return np.pad(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:], 1)


def every(flags: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Whether all flags along an axis are set."""
    result: NDArray[np.bool_] = np.logical_and.reduce(flags, axis=axis)
    return result
