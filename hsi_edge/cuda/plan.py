"""What a frame needs on the GPU, planned from its shape before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import TilingError
from hsi_edge.manifest import Manifest
from hsi_edge.network import image_shapes
from hsi_edge.registration.translation import TAPS
from hsi_edge.resampling import Blur
from hsi_edge.subspace import CHANNELS, CONDITIONS, FEATURES, GUIDES, MARGIN_LR
from hsi_edge.tiling.geometry import plan_tiles

STRIP_SIZES = (8 << 20, 1 << 20)
"""Bytes of the result that are on their way to the host at a time, twice; the second where memory is short."""
MOST_ROWS = 65535
"""Of a frame, in HR pixels: a launch has one block for each, and CUDA takes no more along that axis."""
ALIGNMENT_BYTES = 256
"""Of every array, as TensorRT wants of its tensors."""
WHOLE_FRAME = ("condition", "statistics", "measured_statistics")
"""Tensors of an engine that belong to the frame, and not to a tile."""
Fields = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and NumPy type by name."""


@dataclass(frozen=True, kw_only=True)
class FrameShape:
    """What decides which memory a frame needs.

    Attributes:
        lr: Rows and columns of the LR-HSI.
        bands: Of the LR-HSI.
        msi_bands: Of the HR-MSI; 0 where there is none.
        msi_dtype: NumPy's name of the uploaded HR-MSI's type; None where there is none, or it lies on the GPU already.
        masked: Whether the HR-MSI has a mask.
        tiles: Number of tiles.
    """

    lr: tuple[int, int]
    bands: int
    msi_bands: int
    msi_dtype: str | None
    masked: bool
    tiles: int


class Layout:
    """Arrays one behind the other in one piece of memory."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.offsets: dict[str, int] = {}
        end = 0
        for name, (shape, dtype) in fields.items():
            self.offsets[name] = end
            end += _aligned(math.prod(shape) * np.dtype(dtype).itemsize)
        self.nbytes = end

    def views(self, block: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The arrays in a block of bytes."""
        return {
            name: block[start : start + math.prod(shape) * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
            for (name, (shape, dtype)), start in zip(self.fields.items(), self.offsets.values(), strict=True)
        }

    def addresses(self, base: int) -> dict[str, int]:
        """Where the arrays lie in memory that begins at an address."""
        return {name: base + offset for name, offset in self.offsets.items()}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The memory of a frame.

    Attributes:
        frame: The frame's shape.
        given: What the host gives for every frame, in pinned memory and, copied, on the GPU.
        work: What only the GPU knows.
        taken: What the host takes, in pinned memory; an integrated GPU writes there itself.
        strip_rows: HR rows of a strip of the result.
        tile_sets: Sets of tile tensors: with two, a tile is cut while the one before it is computed.
        engine_bytes: What the engine holds for itself.
        integrated: Whether the GPU works in the host's memory.
    """

    frame: FrameShape
    given: Layout
    work: Layout
    taken: Layout
    strip_rows: int
    tile_sets: int
    engine_bytes: int
    integrated: bool

    @property
    def own_bytes(self) -> int:
        """GPU memory that is still to be allocated once the engine is loaded."""
        on_gpu = self.given.nbytes + self.work.nbytes
        # There, what is pinned comes out of the same memory.
        return on_gpu + self.given.nbytes + self.taken.nbytes if self.integrated else on_gpu

    @property
    def planned_bytes(self) -> int:
        """All GPU memory of the frame, the engine's included."""
        return self.own_bytes + self.engine_bytes


def plan_memory(
    manifest: Manifest,
    frame: FrameShape,
    tensors: Mapping[str, tuple[int, ...]],
    *,
    engine_bytes: int,
    integrated: bool,
    strip_bytes: int,
) -> Plan:
    """Plan the memory of frames of one shape.

    Args:
        manifest: The model's.
        frame: The frame's shape.
        tensors: Shapes of the engine's inputs and outputs, which fix the tile.
        engine_bytes: What the engine holds for itself.
        integrated: Whether the GPU works in the host's memory.
        strip_bytes: Of a strip of the result, at least one row.

    Raises:
        TilingError: The frame has more rows than a kernel can be launched for.
    """
    rows, cols = (length * manifest.ratio for length in frame.lr)
    unit = manifest.tiling.alignment_lr
    if -(-frame.lr[0] // unit) * unit * manifest.ratio > MOST_ROWS:
        raise TilingError(
            f"the frame has {rows} HR rows, and a GPU runs at most {MOST_ROWS} at once; cut it into shorter frames, or "
            "open the model with backend='openvino'"
        )
    strip_rows = min(rows, max(1, strip_bytes // (4 * cols * frame.bands)))
    strip = ((strip_rows, cols, frame.bands), "f4")
    tile_sets = min(2, frame.tiles)
    work = dict(_work(manifest, frame, tensors))
    for index in range(tile_sets):
        work |= {f"{name}.{index}": (shape, "f4") for name, shape in tensors.items() if name not in WHOLE_FRAME}
    taken: dict[str, tuple[tuple[int, ...], str]] = {"strip.0": strip, "strip.1": strip}
    if manifest.base == "subspace":
        taken["squares"] = (frame.lr, "f8")
    if not integrated:
        work |= {name: field for name, field in taken.items() if name != "strip.1"}
    return Plan(
        frame=frame,
        given=Layout(_given(manifest, frame, tensors)),
        work=Layout(work),
        taken=Layout(taken),
        strip_rows=strip_rows,
        tile_sets=tile_sets,
        engine_bytes=engine_bytes,
        integrated=integrated,
    )


def fitting_plan(plans: Sequence[Plan], free_bytes: int) -> Plan:
    """The first plan that the free memory of the GPU holds.

    Raises:
        TilingError: None of them fits.
    """
    for plan in plans:
        if plan.own_bytes <= free_bytes:
            return plan
    raise _too_little(min(plan.own_bytes for plan in plans), free_bytes)


def fitting_tile(
    manifest: Manifest, frame: FrameShape, tiles_lr: Sequence[tuple[int, int]], *, free_bytes: int, integrated: bool
) -> tuple[int, int]:
    """The largest tile with which a frame fits into the free memory of the GPU.

    What an engine holds for itself is known once it is loaded; here, what the FP32 graph took at export stands for it.

    Args:
        manifest: The model's.
        frame: The frame's shape; its number of tiles is not looked at.
        tiles_lr: Rows and columns of the tiles that there are engines for, in LR pixels.
        free_bytes: On the GPU.
        integrated: Whether the GPU works in the host's memory.

    Raises:
        TilingError: None of them fits.
    """
    largest_first = sorted(tiles_lr, key=math.prod, reverse=True)
    needed: list[int] = []
    for tile in largest_first:
        plan = _plan_for_tile(manifest, frame, tile, integrated=integrated)
        if plan.planned_bytes <= free_bytes:
            return tile
        needed.append(plan.planned_bytes)
    raise _too_little(min(needed), free_bytes)


def _plan_for_tile(manifest: Manifest, frame: FrameShape, tile: tuple[int, int], *, integrated: bool) -> Plan:
    unit, ratio = manifest.tiling.alignment_lr, manifest.ratio
    grid = (-(-frame.lr[0] // unit) * unit, -(-frame.lr[1] // unit) * unit)
    tiles = plan_tiles(grid, tile, halo=manifest.tiling.halo_lr, alignment=unit)
    rows, cols = tiles[0].read.scaled(ratio).shape
    given = image_shapes(manifest.input.images, tiles[0].read.shape, ratio, (frame.bands, frame.msi_bands))
    tensors = {name: (1, *shape) for name, shape in given.items()}
    tensors["hr_hsi"] = (1, CHANNELS if manifest.base == "subspace" else frame.bands, rows, cols)
    if manifest.statistics is not None:
        name = "statistics" if len(tiles) > 1 else "measured_statistics"
        tensors[name] = (1, manifest.statistics.size)
    return plan_memory(
        manifest,
        replace(frame, tiles=len(tiles)),
        tensors,
        engine_bytes=rows * cols * manifest.tiling.bytes_per_px,
        integrated=integrated,
        strip_bytes=STRIP_SIZES[-1],
    )


def _too_little(needed_bytes: int, free_bytes: int) -> TilingError:
    return TilingError(
        f"the frame needs {needed_bytes / 2**20:.1f} MB on the GPU, where {free_bytes / 2**20:.1f} MB are free; close "
        "what else uses the GPU, or take an engine of a smaller tile"
    )


def _given(manifest: Manifest, frame: FrameShape, tensors: Mapping[str, tuple[int, ...]]) -> Fields:
    (h, w), bands, msi = frame.lr, frame.bands, frame.msi_bands
    hr = (h * manifest.ratio, w * manifest.ratio)
    fields: dict[str, tuple[tuple[int, ...], str]] = {"lr_valid": ((h, w), "u1"), "dead": ((bands,), "u1")}
    if msi:
        fields["fill"] = ((msi,), "f4")
    if frame.msi_dtype is not None:
        fields["source"] = ((*hr, msi), frame.msi_dtype)
    if frame.masked:
        fields["mask"] = (hr, "u1")
    if manifest.base == "subspace" or "lr_hsi" in manifest.input.images:
        fields["lr"] = ((bands, h, w), "f4")
    if "base" in manifest.input.images:
        fields["remainder"] = ((bands, h, w), "f4")
    if manifest.base == "regression":
        fields["weights"] = ((bands, msi), "f4")
    if "statistics" in tensors:
        fields["statistics"] = (tensors["statistics"], "f4")
    if manifest.base == "subspace":
        taps = len(Blur.gaussian(manifest.psf_fwhm_px, manifest.ratio).taps)
        fields |= {
            "features": ((FEATURES, h + 2 * MARGIN_LR, w + 2 * MARGIN_LR), "f4"),
            "condition": ((CONDITIONS,), "f4"),
            "whitening": ((GUIDES, GUIDES), "f4"),
            "guide_mean": ((GUIDES,), "f4"),
            "mixing": ((CHANNELS, bands), "f4"),
            "offset": ((bands,), "f4"),
            "blur": ((taps,), "f4"),
            "move_rows": ((TAPS,), "f4"),
            "move_cols": ((TAPS,), "f4"),
            "sharpen_rows": ((h, h), "f4"),
            "sharpen_cols": ((w, w), "f4"),
        }
    return fields


def _work(manifest: Manifest, frame: FrameShape, tensors: Mapping[str, tuple[int, ...]]) -> Fields:
    (h, w), unit = frame.lr, manifest.tiling.alignment_lr
    hr = (h * manifest.ratio, w * manifest.ratio)
    grid = tuple(-(-length // unit) * unit * manifest.ratio for length in frame.lr)
    channels = tensors["hr_hsi"][1]
    fields: dict[str, tuple[tuple[int, ...], str]] = {"canvas": ((channels, *hr), "f4")}
    if frame.msi_bands:
        fields |= {"image": ((frame.msi_bands, *grid), "f4"), "valid": (grid, "u1")}
    if "measured_statistics" in tensors:
        fields["measured_statistics"] = (tensors["measured_statistics"], "f4")
    if manifest.base == "subspace":
        fields |= {
            "moved": ((frame.msi_bands, *grid), "f4"),
            "narrow": ((channels, h, hr[1]), "f4"),
            "degraded": ((channels, h, w), "f4"),
            "missing": ((h, w, frame.bands), "f4"),
            "sharpened": ((h, w, frame.bands), "f4"),
        }
    return fields


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
