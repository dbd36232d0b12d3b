"""The kernels that pass over a whole frame: the HR-MSI made ready, the output made to agree, the result written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from hsi_edge.consistency import TOLERANCE
from hsi_edge.cuda.arrays import KINDS, DeviceArray
from hsi_edge.cuda.driver import Cuda, kernel_names
from hsi_edge.cuda.memory import FrameMemory
from hsi_edge.frame import Frame
from hsi_edge.guide import GuideReader
from hsi_edge.registration.translation import TAPS
from hsi_edge.subspace import CHANNELS
from hsi_edge.subspace_frame import SubspaceFrame

NOTHING = float("nan")
NO_ARRAY = 0
DOWN, ACROSS = 1, 0
Image = tuple[int, int, int]
"""Address, rows and columns."""


class Kernels:
    """The kernels, loaded on a GPU."""

    def __init__(self, cuda: Cuda) -> None:
        source = resources.files("hsi_edge.cuda").joinpath("kernels.cu").read_text(encoding="utf-8")
        self._cuda = cuda
        self._kernels: Mapping[str, Any] = cuda.load(source, kernel_names(source))

    def launch(self, name: str, items: tuple[int, int, int], stream: int, *arguments: float) -> None:
        """Run a kernel for `x * y * z` items; whole numbers are passed as 64-bit integers, floats as 32-bit ones."""
        self._cuda.launch(self._kernels[name], items, stream, *arguments)


@dataclass(frozen=True, eq=False)
class Passes:
    """The passes over one prepared frame, in its memory.

    Attributes:
        kernels: The kernels.
        memory: The frame's.
        frame: The frame.
        msi: The HR-MSI where it was on the GPU before.
    """

    kernels: Kernels
    memory: FrameMemory
    frame: Frame
    msi: DeviceArray | None

    def prepare_msi(self, stream: int) -> None:
        """Make the image that tiles are cut from: scaled, invalid pixels filled, displacement undone, as guides."""
        guide, at = self.frame.guide, self.memory.at
        if guide is None:
            return
        ratio, (rows, cols) = self.frame.ratio, self._grid
        bands = guide.source.shape[2]
        self._read_msi(guide, stream)
        if guide.mask is not None or guide.source.dtype.kind == "f":
            items = (cols // ratio, rows // ratio, bands)
            self.kernels.launch("fill_invalid", items, stream, at["image"], at["valid"], at["fill"], ratio, rows, cols)
        if not guide.translation.is_zero:
            self._move(guide, stream)
        if isinstance(self.frame, SubspaceFrame):
            pixels = rows * cols
            guides = at["image"], at["whitening"], at["guide_mean"], pixels
            self.kernels.launch("make_guide", (pixels, 1, 1), stream, *guides)

    def _read_msi(self, guide: GuideReader, stream: int) -> None:
        at, (rows, cols) = self.memory.at, self._grid
        height, width, bands = guide.source.shape
        if self.msi is None:
            address, view = at["source"], self.memory.given["source"]
            row, col, band = view.strides
            kind = KINDS[view.dtype.name]
        else:
            address, (row, col, band), kind = self.msi.address, self.msi.strides, KINDS[self.msi.dtype]
        mask = NO_ARRAY if guide.mask is None else at["mask"]
        source = (address, row, col, band, kind, mask, height, width, bands, float(np.float32(1 / guide.divisor)))
        self.kernels.launch("read_msi", (cols, rows, 1), stream, *source, rows, cols, at["image"], at["valid"])

    def _move(self, guide: GuideReader, stream: int) -> None:
        """Undo the displacement along rows, then along columns, as `registration.translation.resampled` does."""
        at, shift, (rows, cols) = self.memory.at, guide.translation, self._grid
        bands = guide.source.shape[2]
        first_row, first_col = (int(np.floor(px)) - (TAPS // 2 - 1) for px in (shift.rows_px, shift.cols_px))
        image, moved = (at["image"], rows, cols), (at["moved"], rows, cols)
        self._filter(stream, bands, image, moved, (DOWN, at["move_rows"], 0, TAPS, 1, first_row))
        self._filter(stream, bands, moved, image, (ACROSS, at["move_cols"], 0, TAPS, 1, first_col))

    def correct(self, stream: int) -> None:
        """Find what the output, degraded, lacks of the LR-HSI: `missing`, to be interpolated and added."""
        frame, at = self.frame, self.memory.at
        assert isinstance(frame, SubspaceFrame)
        (h, w), bands, ratio = frame.lr_shape, len(frame.dead_bands), frame.ratio
        taps = at["blur"], 0, len(frame.blur.taps), ratio, frame.blur.offset
        canvas, narrow = (at["canvas"], h * ratio, w * ratio), (at["narrow"], h, w * ratio)
        self._filter(stream, CHANNELS, canvas, narrow, (DOWN, *taps))
        self._filter(stream, CHANNELS, narrow, (at["degraded"], h, w), (ACROSS, *taps))
        allowed = (1 + TOLERANCE * np.sqrt(2 / bands)) * self._noise(frame) ** 2
        self.kernels.launch(
            "find_missing",
            (h * w, 1, 1),
            stream,
            *(at["degraded"], CHANNELS, at["mixing"], at["offset"], at["lr"], at["lr_valid"], bands, h * w),
            *(float(allowed), at["missing"], at["squares"]),
        )
        # Bands lie innermost, so that columns are filtered as rows are, one LR row after the other.
        missing, sharpened = at["missing"], at["sharpened"]
        all_rows, all_cols = (h, w * bands), (w, bands)
        self._filter(stream, 1, (missing, *all_rows), (sharpened, *all_rows), (DOWN, at["sharpen_rows"], h, h, 0, 0))
        self._filter(stream, h, (sharpened, *all_cols), (missing, *all_cols), (DOWN, at["sharpen_cols"], w, w, 0, 0))
        self.memory.download("squares", "squares", 8 * h * w, stream)

    def write_rows(self, rows: tuple[int, int], result: int, strides: tuple[int, ...], stream: int) -> None:
        """Write HR rows of the result to an address, `strides` bytes between rows, columns and bands."""
        frame, at, guide = self.frame, self.memory.at, self.frame.guide
        ratio, (h, w) = frame.ratio, frame.lr_shape
        channels = self.memory.plan.work.fields["canvas"][0][0]
        mixed = isinstance(frame, SubspaceFrame)
        mixing = (at["mixing"], at["offset"], at["missing"]) if mixed else (NO_ARRAY, NO_ARRAY, NO_ARRAY)
        shift = (0, 0) if guide is None else (round(guide.translation.rows_px), round(guide.translation.cols_px))
        self.kernels.launch(
            "write_result",
            (w * ratio * len(frame.dead_bands), rows[1] - rows[0], 1),
            stream,
            *(at["canvas"], channels, h * ratio, w * ratio, rows[0], *mixing, float(np.float32(frame.scale)), NOTHING),
            *(ratio, h, w, at["lr_valid"], NO_ARRAY if guide is None else at["valid"], self._grid[1], *shift),
            *(at["dead"], len(frame.dead_bands), result, *strides),
        )

    def off_by(self) -> float:
        """How far the degraded output was off (root mean square, scaled); `squares` must have come down."""
        frame = self.frame
        total = float(self.memory.taken["squares"].sum())
        return float(np.sqrt(total / (len(frame.dead_bands) * frame.lr_valid.sum())))

    @property
    def _grid(self) -> tuple[int, int]:
        return self.frame.grid.scaled(self.frame.ratio).shape

    @staticmethod
    def _noise(frame: SubspaceFrame) -> float:
        return frame.lr_noise * float(np.sqrt(1 - frame.dead_bands.mean()))

    def _filter(self, stream: int, channels: int, source: Image, target: Image, weights: tuple[int, ...]) -> None:
        """Filter along an axis; `weights`: the axis, their address, their stride per item, count, step, first tap."""
        _, rows, cols = target
        self.kernels.launch("along_axis", (cols, rows, channels), stream, *source, *target, *weights)
