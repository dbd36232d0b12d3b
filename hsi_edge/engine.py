"""HSIEngine: a model bundle, opened on this device and run on frame pairs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.backends import FixedSizes
from hsi_edge.bundle import Bundle
from hsi_edge.cube import Cube
from hsi_edge.cuda.arrays import DeviceArray, is_device_array, taken_output, taken_to_host
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.cuda.result import Slot
from hsi_edge.errors import EngineLoadError, InputError
from hsi_edge.frame import Frame
from hsi_edge.inputs import FrameInput, Image, check_inputs
from hsi_edge.manifest import Manifest, StatisticsMode
from hsi_edge.opening import Opened, open_network, runs_on
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import Float
from hsi_edge.run_report import RunReport, made_report
from hsi_edge.statistics import images_to_measure, sample_shape
from hsi_edge.tile_loop import Progress, run_tiles
from hsi_edge.tiling.geometry import Tile, plan_tiles
from hsi_edge.tiling.size import fastest_tile

DEFAULT_MEMORY_MB = 128
"""Budget for what a run needs beyond its inputs and its output."""
GRAPHLESS_TILE_PX = 256
"""HR side of a window where no network runs: large enough for the matrix product, small enough for the cache."""


@dataclass(frozen=True)
class _Prepared:
    """A checked, prepared frame pair, how long that took, and the HR-MSI where the caller has it on the GPU."""

    given: FrameInput
    frame: Frame
    milliseconds: float
    msi_on_gpu: DeviceArray | None


@dataclass(frozen=True, eq=False)
class _Begun:
    """A frame under way.

    Attributes:
        prepared: The frame.
        tiles: That it is cut into.
        statistics: Of the frame, for its tiles; None where they take none.
        result: To be written to.
        statistics_ms: What they took.
        started: When the tiles began, by `time.perf_counter`.
        slot: Where the GPU is at it; None on a CPU.
    """

    prepared: _Prepared
    tiles: tuple[Tile, ...]
    statistics: Float | None
    result: NDArray[Any] | DeviceArray
    statistics_ms: float
    started: float
    slot: Slot | None = None


class HSIEngine:
    """A model bundle, opened on this device.

    The first time that a bundle is opened on a device, its golden pair is replayed and the fastest tile is measured;
    both are remembered. An engine is for one thread at a time. The same frame gives the same bits on the same device.

    Args:
        bundle: The bundle's folder or `.zip` file.
        backend: A name in `hsi_edge.backends`; None for the default of this device.
        precision: `fp32`, `bf16`, `fp16` or `int8`; None for the fastest that the device has and the model's accuracy
            gates allow.
        memory_mb: Budget for what the network needs for a tile; it bounds the tile. The compiled network itself, and
            what a run copies of the LR-HSI, come on top (`RunReport.planned_bytes`, docs/growth.md).
        statistics: Where a network with global statistics takes them from; None for the model's default. `whole` runs
            the frame of any model in one piece.
        build: Whether to build an engine for this device's GPU, which takes minutes, where none is valid here.

    Raises:
        SignatureError: A key is trusted, and the bundle is not signed with it, or was altered.
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
        build: bool = False,
    ) -> None:
        self._bundle = Bundle.open(bundle)
        self.manifest: Manifest = self._bundle.manifest
        self._mode = _checked_mode(self.manifest, statistics)
        self._budget = _checked_budget(memory_mb)
        self._report: RunReport | None = None
        self._closed = False
        self._opened: Opened | None = None
        if self.manifest.graphs:
            self._opened = open_network(self._bundle, backend, precision, self._budget, build=build)
        elif backend is not None or precision not in (None, "fp32"):
            raise InputError(f"the model {self.manifest.name} has no graph, so it takes no backend and no precision")

    def __enter__(self) -> HSIEngine:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the engine holds; it cannot be used after it. A second call does nothing."""
        if self._opened is not None and not self._closed:
            self._opened.close()
        self._closed = True

    @property
    def runs_on(self) -> tuple[str, str, str]:
        """Backend, precision and device, as in the report."""
        return runs_on(self._opened)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bundle's manifest, which has those of all that the model is."""
        return self._bundle.fingerprint

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
        out: Any | None = None,
        resample: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Return the HR-HSI of one frame pair.

        Args:
            lr_hsi: `(h, w, S)`, an array of an integer or float type (any strides), or a Cube, whose bands and quantity
                are checked against the model's. Never changed.
            hr_msi: `(h * ratio, w * ratio, s)`, likewise; None for a single-image model.
            out: `(h * ratio, w * ratio, S)` float array of any strides to write to; a new float32 one by default. Where
                the engine runs on a GPU, this and both images may lie there (`__cuda_array_interface__`: PyCUDA, CuPy,
                torch); a float32 `out` there is written to and returned.
            resample: Whether to resample a Cube with other bands to the model's.
            progress: Called with the number of tiles done and of all tiles.

        Returns:
            `(h * ratio, w * ratio, S)` in the units of `lr_hsi` (a Cube's physical units), NaN where an input was NaN,
            infinite or masked. A Cube for a Cube, with its metadata; else an array. The caller owns it.

        Raises:
            InputError: Names the argument, what it is, what was wanted and the way out.
        """
        self._check_open()
        return self._finish(self._begin(self._prepare(lr_hsi, hr_msi, resample), None, out), progress)

    @property
    def _pipeline(self) -> DevicePipeline | None:
        return None if self._opened is None else self._opened.pipeline

    @property
    def _cuda(self) -> Cuda | None:
        """The GPU that frames run on; None on a CPU."""
        return None if self._opened is None else self._opened.cuda

    def stream(self, pairs: Iterable[tuple[Image, Image | None]]) -> Iterator[Any]:
        """Yield the HR-HSI of one frame pair after the other, as `run` returns it; `report` is that of the yielded one.

        The next pair is fetched and prepared while the present one is computed. A GPU is also given the next one, if it
        is there, before the present one's result is waited for. In the statistics mode `previous`, every frame but the
        first takes the statistics of the frame before it.

        Raises:
            InputError: As `run`, when the wrong pair's turn comes.
        """
        self._check_open()
        source = iter(pairs)

        def fetch() -> _Prepared | None:
            pair = next(source, None)
            return None if pair is None else self._prepare(*pair, resample=False)

        pool = ThreadPoolExecutor(1, thread_name_prefix="hsi-edge-prepare")
        under_way: deque[_Begun] = deque()
        try:
            ahead: Future[_Prepared | None] = pool.submit(fetch)
            statistics: Float | None = None
            while (prepared := ahead.result()) is not None:
                ahead = pool.submit(fetch)
                under_way.append(self._begin(prepared, statistics, None))
                # One more may be under way, but no result waits for a frame that is still to come.
                while len(under_way) > (1 if ahead.done() and self._has_room() else 0):
                    yield self._finish(under_way.popleft(), None)
                    self._check_open()
                if self._mode == "previous" and self._takes_statistics(self._plan(prepared.frame)):
                    statistics = self._measured(prepared.frame)
            while under_way:
                yield self._finish(under_way.popleft(), None)
        finally:
            # A source that blocks must not hold up the one who stops listening.
            pool.shutdown(wait=False, cancel_futures=True)
            for begun in under_way:
                self._abandon(begun)

    def _has_room(self) -> bool:
        return self._pipeline is not None and self._pipeline.has_room

    def _abandon(self, begun: _Begun) -> None:
        if begun.slot is not None and self._pipeline is not None and not self._closed:
            self._pipeline.abandon(begun.slot)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineLoadError("the engine is closed; open the bundle again")

    def _prepare(self, lr_hsi: Image, hr_msi: Image | None, resample: bool) -> _Prepared:
        start = time.perf_counter()
        lr_hsi, _ = taken_to_host("lr_hsi", lr_hsi, self._cuda)
        # Noise, displacement and the like are found on the host; the tiles read the image where it is.
        hr_msi, on_gpu = taken_to_host("hr_msi", hr_msi, self._cuda)
        given = check_inputs(self.manifest, lr_hsi, hr_msi, resample=resample)
        return _Prepared(given, prepare_frame(self.manifest, given), _ms_since(start), on_gpu)

    def _begin(self, prepared: _Prepared, statistics: Float | None, out: Any | None) -> _Begun:
        """Plan a frame's tiles; on a GPU, start them and return while it is at it."""
        frame, start = prepared.frame, time.perf_counter()
        result = self._output(frame, prepared.given, out)
        tiles = self._plan(frame)
        if not self._takes_statistics(tiles):
            statistics = None
        elif statistics is None:
            statistics = self._measured(frame)
        begun = _Begun(prepared, tiles, statistics, result, _ms_since(start), time.perf_counter())
        pipeline = self._pipeline
        if pipeline is None:
            return begun
        return replace(begun, slot=pipeline.start(frame, tiles, statistics, msi=prepared.msi_on_gpu))

    def _finish(self, begun: _Begun, progress: Progress | None) -> Any:
        """Bring a frame to its end, and report on it."""
        given, frame, result = begun.prepared.given, begun.prepared.frame, begun.result
        if begun.slot is not None:
            assert self._pipeline is not None
            correction = self._pipeline.finish(begun.slot, result, progress=progress)
        else:
            assert not isinstance(result, DeviceArray)
            network = None if self._opened is None else self._opened.network
            correction = run_tiles(frame, begun.tiles, network, begun.statistics, result, progress)
        timings = {
            "prepare": begun.prepared.milliseconds,
            "statistics": begun.statistics_ms,
            "tiles": _ms_since(begun.started),
        }
        mode = None if begun.statistics is None else self._mode
        self._report = made_report(self.manifest, self._opened, given, frame, begun.tiles, correction, timings, mode)
        if isinstance(result, DeviceArray):
            return result.owner
        return result if given.lr_cube is None else _cube_like(given.lr_cube, result, frame, self.manifest.ratio)

    def _takes_statistics(self, tiles: tuple[Tile, ...]) -> bool:
        """Whether the tiles must be told the frame's statistics; one tile is the frame and measures its own."""
        if self.manifest.statistics is None or self._opened is None:
            return False
        fixed = self._opened.network.backend.fixed
        return len(tiles) > 1 or (fixed is not None and fixed.sample_lr is not None)

    def _measured(self, frame: Frame) -> Float:
        assert self._opened is not None
        fixed, tiling = self._opened.network.backend.fixed, self.manifest.tiling
        sample = None if fixed is None else fixed.sample_lr
        if sample is None:
            largest = max(self._opened.seconds_by_side)
            sample = sample_shape(largest, frame.ratio, tiling.alignment_lr, frame.grid.shape)
        return self._opened.network.measure(images_to_measure(frame, self._mode or "exact", sample))

    def _plan(self, frame: Frame) -> tuple[Tile, ...]:
        tiling, grid = self.manifest.tiling, frame.grid.shape
        fixed = None if self._opened is None else self._opened.network.backend.fixed
        if fixed is not None:
            tile = fixed.tile_lr
            _check_suits(grid, fixed, self._mode)
        elif self._mode == "whole":
            tile = grid
        elif self._opened is None:
            tile = (max(1, GRAPHLESS_TILE_PX // self.manifest.ratio),) * 2
        else:
            tile = fastest_tile(grid, tiling, self._opened.seconds_by_side)
        return plan_tiles(grid, tile, halo=tiling.halo_lr, alignment=tiling.alignment_lr)

    def _output(self, frame: Frame, given: FrameInput, out: Any | None) -> NDArray[Any] | DeviceArray:
        rows, cols = (side * self.manifest.ratio for side in frame.lr_shape)
        shape = (rows, cols, given.lr_hsi.shape[2])
        if out is None:
            return np.empty(shape, np.float32)
        if is_device_array(out):
            return taken_output(out, shape, self._cuda)
        if out.shape != shape or out.dtype.kind != "f" or not out.flags.writeable:
            raise InputError(
                f"out is {out.shape} {out.dtype}{'' if out.flags.writeable else ', read-only'}; "
                f"wanted a writable float array {shape}"
            )
        array: NDArray[Any] = out
        return array


def _check_suits(grid: tuple[int, int], fixed: FixedSizes, mode: StatisticsMode | None) -> None:
    """Refuse a frame that an engine for one tile cannot run."""
    sample, whole = fixed.sample_lr, mode == "whole"
    if sample is not None and mode in ("exact", "reduced"):
        raise InputError(
            f"statistics is {mode!r}, and this engine measures them on a sample of {sample[0]} x {sample[1]} LR "
            "pixels: open the bundle with statistics='sampled', or with backend='openvino'"
        )
    rows, cols = (max(sides) for sides in zip(fixed.tile_lr, sample or (0, 0), strict=True))
    tile = rows, cols
    if grid[0] < rows or grid[1] < cols or (whole and grid != tile):
        raise InputError(
            f"lr_hsi has {grid[0]} x {grid[1]} pixels{', to be run as a whole' if whole else ''}, and this engine was "
            f"built for tiles of {tile[0]} x {tile[1]}: build one for such frames with hsi-edge build --frame "
            f"{grid[0]}x{grid[1]}, or open the bundle with backend='openvino'"
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


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
