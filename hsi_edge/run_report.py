"""How a result was made: what the engine says of a run."""

from __future__ import annotations

from dataclasses import dataclass


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
        timings_ms: By stage: `prepare`, `statistics`, `tiles`, `total`.
        planned_bytes: Memory planned beyond the inputs and the output.
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
