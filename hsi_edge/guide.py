"""The HR-MSI as the caller gave it, read window by window: scaled, invalid pixels filled, a displacement undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hsi_edge.registration.translation import NO_TRANSLATION, Translation, margin_px, resampled
from hsi_edge.resampling import Blur, Float, decimate_cols, decimate_rows
from hsi_edge.tiling.geometry import Region

Pixel = TypeVar("Pixel", bound=np.generic)

STRIP_BYTES = 4 << 20
"""Size of the float32 strips in which a whole MSI is passed through."""


@dataclass(frozen=True, eq=False)
class GuideReader:
    """Reads windows of the caller's MSI as scaled float32, `(msi_bands, rows, cols)`, invalid pixels filled.

    An invalid pixel becomes the mean of the valid ones within its LR pixel. Windows lie on the LR grid, so that the
    same pixel is filled alike in every tile. A translation is undone last.
    """

    source: NDArray[np.generic]
    mask: NDArray[np.bool_] | None
    ratio: int
    divisor: float
    fill: Float
    translation: Translation = NO_TRANSLATION

    @property
    def lr_shape(self) -> tuple[int, int]:
        """Rows and columns of the LR grid."""
        rows, cols, _ = self.source.shape
        return rows // self.ratio, cols // self.ratio

    def window(self, region: Region) -> tuple[Float, NDArray[np.bool_] | None]:
        """The pixels of an HR region on the LR grid, and which of them are valid (None: all)."""
        if self.translation.is_zero:
            return self._read(region)
        shifts = (self.translation.rows_px, self.translation.cols_px)
        margins = [margin_px(shift) for shift in shifts]
        image, valid = self._read_with_margins(region, margins)
        for axis, shift in enumerate(shifts, 1):
            image = resampled(image, shift, axis)
        if valid is None:
            return image, None
        # A pixel is as valid as the nearest one that it is made of.
        top, left = (margin + round(shift) for margin, shift in zip(margins, shifts, strict=True))
        return image, valid[top : top + region.shape[0], left : left + region.shape[1]]

    def _read_with_margins(self, region: Region, margins: list[int]) -> tuple[Float, NDArray[np.bool_] | None]:
        """A region and some pixels around it; beyond the frame, the outermost are repeated."""
        r = self.ratio
        rows, cols = (length * r for length in self.lr_shape)
        wanted = Region(
            region.top - margins[0], region.bottom + margins[0], region.left - margins[1], region.right + margins[1]
        )
        inside = Region(max(0, wanted.top), wanted.bottom, max(0, wanted.left), wanted.right).clipped((rows, cols))
        # Invalid pixels are filled from their whole LR pixels.
        whole = Region(inside.top // r * r, -(-inside.bottom // r) * r, inside.left // r * r, -(-inside.right // r) * r)
        image, valid = self._read(whole)
        in_rows, in_cols = inside.within(whole).slices
        beyond = (
            (inside.top - wanted.top, wanted.bottom - inside.bottom),
            (inside.left - wanted.left, wanted.right - inside.right),
        )
        image = _repeated(image[:, in_rows, in_cols], beyond)
        return image, None if valid is None else _repeated(valid[in_rows, in_cols], beyond)

    def _read(self, region: Region) -> tuple[Float, NDArray[np.bool_] | None]:
        # A copy always: the caller's array may already lie in this order, and is never changed.
        image = np.array(cut_out(np.moveaxis(self.source, 2, 0), region), np.float32, order="C")
        image *= np.float32(1 / self.divisor)
        valid = every(np.isfinite(image), 0) if self.source.dtype.kind == "f" else None
        if self.mask is not None:
            marked = cut_out(self.mask, region)
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


def degraded_guide(guide: GuideReader, blur: Blur) -> tuple[Float, NDArray[np.bool_]]:
    """The whole MSI blurred and decimated, `(msi_bands, h, w)`, by strips; and where no invalid pixel lies below."""
    lr_rows, lr_cols = guide.lr_shape
    result = np.empty((guide.source.shape[2], lr_rows, lr_cols), np.float32)
    valid = np.ones((lr_rows, lr_cols), np.bool_)
    for first, last in strips(lr_rows, 4 * guide.ratio**2 * lr_cols * guide.source.shape[2]):
        (strip,), strip_valid = degraded_window(guide, Region(first, last, 0, lr_cols), [(blur, blur)])
        result[:, first:last] = strip
        if strip_valid is not None:
            valid[first:last] = strip_valid
    return result, valid


def degraded_window(
    guide: GuideReader, lr_region: Region, blurs: Sequence[tuple[Blur, Blur]]
) -> tuple[list[Float], NDArray[np.bool_] | None]:
    """The same for a part of the frame, which is read once, by several blurs; None where all pixels are valid.

    Args:
        guide: The MSI.
        lr_region: Of the LR grid.
        blurs: Along rows and along columns; what is the same along rows for several is done once.
    """
    ratio, (lr_rows, lr_cols) = guide.ratio, guide.lr_shape
    margins = [max(-(min(0, blur.offset) // ratio) for blur in along) for along in zip(*blurs, strict=True)]
    top, bottom = max(0, lr_region.top - margins[0]), min(lr_rows, lr_region.bottom + margins[0])
    left, right = max(0, lr_region.left - margins[1]), min(lr_cols, lr_region.right + margins[1])
    image, image_valid = guide.window(Region(top, bottom, left, right).scaled(ratio))
    inner = lr_region.within(Region(top, bottom, left, right))
    at_rows, at_cols = (top == 0, bottom == lr_rows), (left == 0, right == lr_cols)
    narrow = {blur: decimate_rows(image, ratio, blur, inner.rows, at_rows) for blur, _ in dict.fromkeys(blurs)}
    degraded = [decimate_cols(narrow[rows], ratio, cols, inner.cols, at_cols) for rows, cols in blurs]
    if image_valid is None:
        return degraded, None
    blocks = image_valid.reshape(bottom - top, ratio, right - left, ratio)
    return degraded, every(every(blocks, 3), 1)[inner.slices]


def cut_out(image: NDArray[Pixel], region: Region) -> NDArray[Pixel]:
    """A region of `(..., rows, cols)`; beyond the last row and column, these are repeated."""
    part = image[(slice(None),) * (image.ndim - 2) + region.slices]
    beyond = [(0, wanted - got) for wanted, got in zip(region.shape, part.shape[-2:], strict=True)]
    return _repeated(part, beyond)


def _repeated(image: NDArray[Pixel], beyond: Sequence[tuple[int, int]]) -> NDArray[Pixel]:
    """`(..., rows, cols)` with its outermost pixels repeated before and after, along rows and columns."""
    if not any(map(any, beyond)):
        return image
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + list(beyond), mode="edge")


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
