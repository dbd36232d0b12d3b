"""HSIEngine: a model bundle, opened on this device and run on frame pairs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.bundle import Bundle
from hsi_edge.cube import Cube
from hsi_edge.errors import EngineLoadError, InputError
from hsi_edge.frame import Findings, Frame
from hsi_edge.guide import STRIP_BYTES
from hsi_edge.inputs import FrameInput, Image, check_inputs
from hsi_edge.manifest import Manifest, StatisticsMode
from hsi_edge.network import Network
from hsi_edge.opening import open_network
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import Float
from hsi_edge.run_report import RunReport
from hsi_edge.statistics import SAMPLE_PX, images_to_measure
from hsi_edge.tile_loop import Progress, run_tiles
from hsi_edge.tiling.geometry import Tile, plan_tiles
from hsi_edge.tiling.size import fastest_tile

DEFAULT_MEMORY_MB = 128
"""Budget for what a run needs beyond its inputs and its output."""
GRAPHLESS_TILE_PX = 256
"""HR side of a window where no network runs: large enough for the matrix product, small enough for the cache."""


@dataclass(frozen=True)
class _Prepared:
    """A checked, prepared frame pair, and how long that took."""

    given: FrameInput
    frame: Frame
    milliseconds: float


class HSIEngine:
    """A model bundle, opened on this device.

    The first time that a bundle is opened on a device, its golden pair is replayed and the fastest tile is measured;
    both are remembered. An engine is for one thread at a time. The same frame gives the same bits on the same device.

    Args:
        bundle: The bundle's folder or `.zip` file.
        backend: A name in `hsi_edge.backends`; None for the default of this device.
        precision: `fp32`, `bf16`, `fp16` or `int8`; None for the fastest that the device has and the model's accuracy
            gates allow.
        memory_mb: Budget for what a run needs beyond its inputs and output; it bounds the tile.
        statistics: Where a network with global statistics takes them from; None for the model's default. `whole` runs
            the frame of any model in one piece.

    Raises:
        ManifestError: The bundle is damaged, unsafe or unknown.
        EngineLoadError: The backend cannot run the graph, or the golden pair does not come out as it should.
        InputError: No such backend, precision or mode.
        TilingError: The memory budget holds no tile.
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        backend: str | None = None,
        precision: str | None = None,
        memory_mb: int | None = None,
        statistics: StatisticsMode | None = None,
    ) -> None:
        self._bundle = Bundle.open(bundle)
        self.manifest: Manifest = self._bundle.manifest
        self._mode = _checked_mode(self.manifest, statistics)
        self._budget = _checked_budget(memory_mb)
        self._report: RunReport | None = None
        self._closed = False
        self._network: Network | None = None
        self._seconds_by_side: dict[int, float] = {}
        self._fallback: str | None = None
        if self.manifest.graphs:
            opened = open_network(self._bundle, backend, precision, self._budget)
            self._network, self._seconds_by_side = opened.network, opened.seconds_by_side
            self._fallback = opened.fallback
        elif backend is not None or precision not in (None, "fp32"):
            raise InputError(f"the model {self.manifest.name} has no graph, so it takes no backend and no precision")

    def __enter__(self) -> HSIEngine:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the engine holds; it cannot be used after it. A second call does nothing."""
        if self._network is not None and not self._closed:
            self._network.close()
        self._closed = True

    @property
    def report(self) -> RunReport:
        """How the latest result was made.

        Raises:
            EngineLoadError: Nothing was run yet.
        """
        if self._report is None:
            raise EngineLoadError("there is no report yet: it is about the latest run")
        return self._report

    def run(
        self,
        lr_hsi: Image,
        hr_msi: Image | None = None,
        *,
        out: NDArray[Any] | None = None,
        resample: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Return the HR-HSI of one frame pair.

        Args:
            lr_hsi: `(h, w, S)`, an array of an integer or float type (any strides), or a Cube, whose bands and quantity
                are checked against the model's. Never changed.
            hr_msi: `(h * ratio, w * ratio, s)`, likewise; None for a single-image model.
            out: `(h * ratio, w * ratio, S)` float array of any strides to write to; a new float32 one by default.
            resample: Whether to resample a Cube with other bands to the model's.
            progress: Called with the number of tiles done and of all tiles.

        Returns:
            `(h * ratio, w * ratio, S)` in the units of `lr_hsi` (a Cube's physical units), NaN where an input was NaN,
            infinite or masked. A Cube for a Cube, with its metadata; else an array. The caller owns it.

        Raises:
            InputError: Names the argument, what it is, what was wanted and the way out.
        """
        self._check_open()
        prepared = self._prepare(lr_hsi, hr_msi, resample)
        return self._fuse(prepared, None, out, progress)

    def stream(self, pairs: Iterable[tuple[Image, Image | None]]) -> Iterator[Any]:
        """Yield the HR-HSI of one frame pair after the other, as `run` returns it; `report` is that of the yielded one.

        The next pair is fetched and prepared while the present one is computed. In the statistics mode `previous`,
        every frame but the first takes the statistics of the frame before it.

        Raises:
            InputError: As `run`, when the wrong pair's turn comes.
        """
        self._check_open()
        source = iter(pairs)

        def fetch() -> _Prepared | None:
            pair = next(source, None)
            return None if pair is None else self._prepare(*pair, resample=False)

        pool = ThreadPoolExecutor(1, thread_name_prefix="hsi-edge-prepare")
        try:
            ahead: Future[_Prepared | None] = pool.submit(fetch)
            statistics: Float | None = None
            while (prepared := ahead.result()) is not None:
                ahead = pool.submit(fetch)
                yield self._fuse(prepared, statistics, None, None)
                self._check_open()
                if self._mode == "previous" and self._takes_statistics(self._plan(prepared.frame)):
                    statistics = self._measured(prepared.frame)
        finally:
            # A source that blocks must not hold up the one who stops listening.
            pool.shutdown(wait=False, cancel_futures=True)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineLoadError("the engine is closed; open the bundle again")

    def _prepare(self, lr_hsi: Image, hr_msi: Image | None, resample: bool) -> _Prepared:
        start = time.perf_counter()
        given = check_inputs(self.manifest, lr_hsi, hr_msi, resample=resample)
        return _Prepared(given, prepare_frame(self.manifest, given), _ms_since(start))

    def _fuse(
        self, prepared: _Prepared, statistics: Float | None, out: NDArray[Any] | None, progress: Progress | None
    ) -> Any:
        given, frame = prepared.given, prepared.frame
        start = time.perf_counter()
        result = self._output(frame, given, out)
        tiles = self._plan(frame)
        tiled = self._takes_statistics(tiles)
        if tiled and statistics is None:
            statistics = self._measured(frame)
        statistics_ms = _ms_since(start)
        start = time.perf_counter()
        correction = run_tiles(frame, tiles, self._network, statistics if tiled else None, result, progress)
        timings = {"prepare": prepared.milliseconds, "statistics": statistics_ms, "tiles": _ms_since(start)}
        found = frame.findings(correction)
        self._report = self._reported(given, frame, found, tiles, timings, self._mode if tiled else None)
        return result if given.lr_cube is None else _cube_like(given.lr_cube, result, frame, self.manifest.ratio)

    def _takes_statistics(self, tiles: tuple[Tile, ...]) -> bool:
        """Whether the tiles must be told the frame's statistics; one tile is the frame and measures its own."""
        return len(tiles) > 1 and self.manifest.statistics is not None

    def _measured(self, frame: Frame) -> Float:
        assert self._network is not None
        return self._network.measure(images_to_measure(frame, self._mode or "exact", max(self._seconds_by_side)))

    def _plan(self, frame: Frame) -> tuple[Tile, ...]:
        tiling, grid = self.manifest.tiling, frame.grid.shape
        if self._mode == "whole":
            tile = grid
        elif self._network is None:
            tile = (max(1, GRAPHLESS_TILE_PX // self.manifest.ratio),) * 2
        elif self._network.backend.tile_lr is not None:
            tile = self._network.backend.tile_lr
            _check_holds(grid, tile)
        else:
            tile = fastest_tile(grid, tiling, self._seconds_by_side)
        return plan_tiles(grid, tile, halo=tiling.halo_lr, alignment=tiling.alignment_lr)

    def _output(self, frame: Frame, given: FrameInput, out: NDArray[Any] | None) -> NDArray[Any]:
        rows, cols = (side * self.manifest.ratio for side in frame.lr_shape)
        shape = (rows, cols, given.lr_hsi.shape[2])
        if out is None:
            return np.empty(shape, np.float32)
        if out.shape != shape or out.dtype.kind != "f" or not out.flags.writeable:
            raise InputError(
                f"out is {out.shape} {out.dtype}{'' if out.flags.writeable else ', read-only'}; "
                f"wanted a writable float array {shape}"
            )
        return out

    def _reported(
        self,
        given: FrameInput,
        frame: Frame,
        found: Findings,
        tiles: tuple[Tile, ...],
        timings: dict[str, float],
        statistics: StatisticsMode | None,
    ) -> RunReport:
        ratio = self.manifest.ratio
        rows, cols = tiles[0].read.scaled(ratio).shape
        backend = None if self._network is None else self._network.backend
        masked_lr = int((~frame.lr_valid).sum())
        masked_msi = 0 if frame.guide is None else frame.guide.count_invalid()
        masked = f"{masked_lr} LR-HSI and {masked_msi} MSI pixels were invalid; the output is NaN above and at them"
        return RunReport(
            bundle=self.manifest.name,
            network=self.manifest.network,
            ratio=ratio,
            base=self.manifest.base,
            backend="numpy" if backend is None else backend.name,
            precision="fp32" if backend is None else backend.precision,
            device="CPU" if backend is None else backend.device,
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
            timings_ms=timings | {"total": sum(timings.values())},
            planned_bytes=self._planned_bytes(given, (rows, cols)),
            fallback=self._fallback,
            warnings=tuple(filter(None, (self._fallback, masked if masked_lr or masked_msi else ""))) + found.warnings,
        )

    def _planned_bytes(self, given: FrameInput, tile_px: tuple[int, int]) -> int:
        pixels = tile_px[0] * tile_px[1]
        # Of the LR-HSI: scaled and filled; with components, denoised, degraded output and correction as well.
        copies = 6 if self.manifest.base == "subspace" else 3
        if self.manifest.statistics is not None:
            pixels += min(pixels, SAMPLE_PX**2)
        return pixels * self.manifest.tiling.bytes_per_px + 2 * STRIP_BYTES + copies * given.lr_hsi.nbytes


def _check_holds(grid: tuple[int, int], tile: tuple[int, int]) -> None:
    if grid[0] < tile[0] or grid[1] < tile[1]:
        raise InputError(
            f"lr_hsi has {grid[0]} x {grid[1]} pixels, and this engine was built for tiles of {tile[0]} x {tile[1]}: "
            f"build one for such frames with hsi-edge build --frame {grid[0]}x{grid[1]}, or open the bundle with "
            "backend='openvino'"
        )


def _checked_mode(manifest: Manifest, wanted: StatisticsMode | None) -> StatisticsMode | None:
    if manifest.statistics is None:
        # In one piece, any model can run a frame.
        if wanted not in (None, "whole"):
            raise InputError(f"the model {manifest.name} has no global statistics; leave statistics out")
        return wanted
    modes = manifest.statistics.modes
    if wanted is not None and wanted not in modes:
        raise InputError(f"statistics is {wanted!r}; the model {manifest.name} has {', '.join(modes)}")
    return wanted or manifest.statistics.default


def _checked_budget(memory_mb: int | None) -> int:
    if memory_mb is not None and memory_mb < 1:
        raise InputError(f"memory_mb is {memory_mb}; wanted a positive number of megabytes")
    return (memory_mb or DEFAULT_MEMORY_MB) << 20


def _cube_like(lr: Cube, data: NDArray[Any], frame: Frame, ratio: int) -> Cube:
    """The LR cube's metadata around the result; values are physical, so stored factors no longer apply."""
    invalid = np.isnan(data[:, :, int(np.argmin(frame.dead_bands))])
    georeference = None if lr.georeference is None else lr.georeference.scaled(ratio)
    return replace(
        lr,
        data=data,
        scale_factor=1.0,
        gain=None,
        offset=None,
        nodata=None,
        mask=~invalid if invalid.any() else None,
        georeference=georeference,
    )


def _shape3(array: NDArray[Any]) -> tuple[int, int, int]:
    rows, cols, bands = array.shape
    return rows, cols, bands


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
