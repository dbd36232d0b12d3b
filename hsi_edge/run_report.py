"""How a result was made: what the engine says of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hsi_edge.frame import Frame
from hsi_edge.guide import STRIP_BYTES
from hsi_edge.inputs import FrameInput
from hsi_edge.manifest import Manifest, StatisticsMode
from hsi_edge.opening import Opened, runs_on
from hsi_edge.statistics import SAMPLE_PX
from hsi_edge.tiling.geometry import Tile


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How a result was made.

    Attributes:
        bundle, network, ratio, base: Of the model.
        backend, precision, device: What ran it; `numpy` for a model without a graph.
        statistics: Where the global statistics came from; None for a network without, or a frame run in one piece.
        tile: Rows and columns of a tile with its halo, in HR pixels.
        n_tiles: Number of tiles.
        lr_shape, msi_shape: Of the inputs, `(rows, cols, bands)`.
        translation_px: The displacement of the HR-MSI that was undone, along rows and columns, in HR pixels; None where
            the model looks for none, or it could not be told.
        lr_noise, msi_noise: Standard deviation of each sensor's noise in one band of one pixel, as a part of its
            frame's peak (`frame_peak` scaling's); None where the model does not estimate it.
        correction: How far the degraded output was off the LR-HSI before it was made to agree (root mean square), as a
            part of the same peak; None where that is not done.
        masked_lr_px, masked_msi_px: Invalid pixels of the inputs; the output is NaN above and at them.
        timings_ms: By stage: `prepare`, `statistics`, `tiles`, and `total`, their sum; on a GPU also `device`, what it
            was busy or waiting from the start of the upload until the result was made.
        planned_bytes: Memory planned beyond the inputs and the output, for the tile and for copies of the LR-HSI; the
            compiled network itself comes on top.
        planned_gpu_bytes: Memory planned and allocated on the GPU, the engine's included; 0 on a CPU.
        fallback: Why this is not what the bundle or the device was made for; None where it is. Also among the warnings.
        warnings: What the caller should know, in words.
    """

    bundle: str
    network: str
    ratio: int
    base: str
    backend: str
    precision: str
    device: str
    statistics: str | None
    tile: tuple[int, int]
    n_tiles: int
    lr_shape: tuple[int, int, int]
    msi_shape: tuple[int, int, int] | None
    translation_px: tuple[float, float] | None = None
    lr_noise: float | None = None
    msi_noise: float | None = None
    correction: float | None = None
    masked_lr_px: int
    masked_msi_px: int
    timings_ms: dict[str, float]
    planned_bytes: int
    planned_gpu_bytes: int = 0
    fallback: str | None = None
    warnings: tuple[str, ...]


def made_report(
    manifest: Manifest,
    opened: Opened | None,
    given: FrameInput,
    frame: Frame,
    tiles: tuple[Tile, ...],
    correction: float | None,
    timings_ms: Mapping[str, float],
    statistics: StatisticsMode | None,
) -> RunReport:
    """What is to be said of a run.

    Args:
        manifest: The model's.
        opened: What ran it; None for a model without a graph.
        given: The checked inputs.
        frame: The prepared frame.
        tiles: That it was cut into.
        correction: As the tile loop returned it.
        timings_ms: By stage, without their sum.
        statistics: As in the report.
    """
    found = frame.findings(correction)
    rows, cols = tiles[0].read.scaled(manifest.ratio).shape
    backend, precision, device = runs_on(opened)
    pipeline = None if opened is None else opened.pipeline
    masked_lr = int((~frame.lr_valid).sum())
    masked_msi = 0 if frame.guide is None else frame.guide.count_invalid()
    return RunReport(
        bundle=manifest.name,
        network=manifest.network,
        ratio=manifest.ratio,
        base=manifest.base,
        backend=backend,
        precision=precision,
        device=device,
        statistics=statistics,
        tile=(rows, cols),
        n_tiles=len(tiles),
        lr_shape=_shape3(given.lr_hsi),
        msi_shape=None if given.hr_msi is None else _shape3(given.hr_msi),
        translation_px=found.translation_px,
        lr_noise=found.lr_noise,
        msi_noise=found.msi_noise,
        correction=found.correction,
        masked_lr_px=masked_lr,
        masked_msi_px=masked_msi,
        timings_ms={**timings_ms, "total": sum(timings_ms.values())}
        | ({} if pipeline is None else {"device": pipeline.device_ms}),
        planned_bytes=_planned_bytes(manifest, given, rows * cols),
        planned_gpu_bytes=0 if pipeline is None else pipeline.planned_bytes,
        fallback=None if opened is None else opened.fallback,
        warnings=(*_warnings(opened, masked_lr, masked_msi), *found.warnings),
    )


def _warnings(opened: Opened | None, masked_lr: int, masked_msi: int) -> Iterator[str]:
    if opened is not None and opened.fallback is not None:
        yield opened.fallback
    if masked_lr or masked_msi:
        yield f"{masked_lr} LR-HSI and {masked_msi} MSI pixels were invalid; the output is NaN above and at them"
    if opened is not None and opened.pipeline is not None:
        yield from opened.pipeline.warnings


def _planned_bytes(manifest: Manifest, given: FrameInput, tile_px: int) -> int:
    # Of the LR-HSI: scaled and filled; with components, denoised, degraded output and correction as well.
    copies = 6 if manifest.base == "subspace" else 3
    if manifest.statistics is not None:
        tile_px += min(tile_px, SAMPLE_PX**2)
    return tile_px * manifest.tiling.bytes_per_px + 2 * STRIP_BYTES + copies * given.lr_hsi.nbytes


def _shape3(image: NDArray[Any]) -> tuple[int, int, int]:
    rows, cols, bands = image.shape
    return rows, cols, bands
