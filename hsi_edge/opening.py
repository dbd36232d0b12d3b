"""Which backend, engine and precision run a bundle's graph on this device."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hsi_edge.backends import (
    BACKENDS,
    Backend,
    allowed_precisions,
    is_engine_backend,
    native_precisions,
    open_backend,
)
from hsi_edge.backends.tensorrt import TensorRTBackend
from hsi_edge.bundle import Bundle
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.cuda.plan import FrameShape, fitting_tile
from hsi_edge.engine_build import build_here, graph_name
from hsi_edge.engine_choice import graph_hashes, valid_engines
from hsi_edge.engine_store import Kind, StoredEngine, device_engines, has_zipped_engines, stored_engines
from hsi_edge.errors import EngineLoadError, InputError, MissingPackageError, OutputError, TilingError
from hsi_edge.golden import replay_golden
from hsi_edge.gpu import DeviceFacts, find_device
from hsi_edge.manifest import GraphPrecision, Manifest
from hsi_edge.network import Network

LEAST_GAIN = 1.2
"""INT8 is taken by itself only where it was measured to be that many times as fast as what it replaces."""
BUILD_MEMORY_BYTES = 1 << 30
"""Of the tile of an engine that is built while a bundle is opened."""
FEWEST_BANDS = 8
"""Of a spectral frame for a model that takes any, where its need of memory is estimated before there is a frame."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A network that was proved on this device.

    Attributes:
        network: On its backend.
        seconds_by_side: Seconds per tile by side in LR pixels.
        pipeline: Takes whole frames to the GPU; None on a CPU.
        cuda: That GPU.
        fallback: Why this is not what the bundle or the device was made for; None where it is.
    """

    network: Network
    seconds_by_side: dict[int, float]
    pipeline: DevicePipeline | None = None
    cuda: Cuda | None = None
    fallback: str | None = None

    def close(self) -> None:
        """Give back what it holds."""
        if self.pipeline is not None:
            self.pipeline.close()
        self.network.close()


def runs_on(opened: Opened | None) -> tuple[str, str, str]:
    """Backend, precision and device; `numpy`, `fp32` and `CPU` for a model without a graph."""
    if opened is None:
        return "numpy", "fp32", "CPU"
    backend = opened.network.backend
    return backend.name, backend.precision, backend.device


def open_network(
    bundle: Bundle, backend: str | None, precision: str | None, budget_bytes: int, *, build: bool = False
) -> Opened:
    """Open a bundle's graph on the best that this device has, replay its golden pair, and find its fastest tile.

    An engine that is valid here comes first (see `hsi_edge.engine_choice`), then the default backend on the CPU.

    Args:
        bundle: With a graph.
        backend: A name; None for the best.
        precision: Of the arithmetic; None for the fastest that the device has and the model's accuracy gates allow.
        budget_bytes: Of memory, for a tile on the CPU.
        build: Whether to build an engine for this device's GPU, some minutes, where none is valid.

    Raises:
        EngineLoadError: The backend cannot run the graph, no engine for it is valid here, or the golden pair does not
            come out as it should.
        InputError: No such backend or precision.
        TilingError: The memory budget holds no tile.
    """
    if backend is not None and not is_engine_backend(backend):
        return _on_cpu(bundle, backend, precision, budget_bytes)
    wanted = _graph_wanted(bundle, precision)
    if precision is not None and wanted is None:
        if backend is None:
            return _on_cpu(bundle, None, precision, budget_bytes)
        raise InputError(
            f"{backend} runs the graphs of {bundle.manifest.name}, which are {', '.join(bundle.manifest.graphs)}; "
            f"there is none in {precision!r}"
        )
    device, why_none = find_device()
    opened, reasons = _on_gpu(bundle, backend, wanted, device, build=build)
    if device is None and (reasons or backend is not None or wanted == "fp16"):
        reasons = [why_none, *reasons]
    if opened is None and backend is not None:
        raise _no_engine(bundle, backend, device, reasons)
    fallback = _fallback(bundle, device, opened, reasons)
    if fallback is not None:
        _log.warning(fallback)
    if opened is None:
        # No CPU computes in FP16 here; what was asked of a GPU is no reason to fail on the CPU, which says so.
        opened = _on_cpu(bundle, None, None if wanted == "fp16" else precision, budget_bytes)
    return replace(opened, fallback=fallback)


def _graph_wanted(bundle: Bundle, precision: str | None) -> GraphPrecision | None:
    """The precision of the graph that is asked for; None for any, or where there is none in it."""
    return next((graph for graph in bundle.manifest.graphs if graph == precision), None)


def _no_engine(bundle: Bundle, kind: Kind, device: DeviceFacts | None, reasons: list[str]) -> EngineLoadError:
    way_out = "open it with backend='openvino'" if device is None else f"build one with: {_build(bundle, kind)}"
    why = "; ".join(reasons) or "none was built"
    return EngineLoadError(f"no engine of {bundle.manifest.name} runs here on {kind}: {why}. To go on, {way_out}")


def _fallback(bundle: Bundle, device: DeviceFacts | None, opened: Opened | None, reasons: list[str]) -> str | None:
    """Why what was opened is not the best that could be, in words; None where it is."""
    name, why = bundle.manifest.name, "; ".join(reasons)
    if opened is not None:
        precision = opened.network.backend.precision
        return f"{name} runs on the next best engine, in {precision}: {why}" if reasons else None
    if device is None:
        return f"{name} runs on the CPU, as no engine is valid here: {why}" if reasons else None
    build = f"build one with: {_build(bundle)}"
    if reasons:
        return f"{name} runs on the CPU, as no engine is valid here: {why}; {build}"
    return f"{name} runs on the CPU, and this device has a {device.name} but no engine for it; {build}"


def _build(bundle: Bundle, kind: Kind | None = None) -> str:
    return f"hsi-edge build {bundle.path}" + (f" --backend {kind}" if kind else "")


def _on_gpu(
    bundle: Bundle, kind: Kind | None, precision: GraphPrecision | None, device: DeviceFacts | None, *, build: bool
) -> tuple[Opened | None, list[str]]:
    """The best engine that is valid here and proves itself, and why others were not taken.

    Those that are for another device, precision or version are only told of where none is taken.
    """
    engines, unusable = _candidates(bundle, kind)
    opened, failed, not_valid = _first_proved(bundle, engines, device, precision)
    if opened is None and build and device is not None:
        opened, more = _built(bundle, kind, precision, device)
        failed = [*failed, *more]
    return opened, [*unusable, *failed, *([] if opened else not_valid)]


def _built(
    bundle: Bundle, kind: Kind | None, precision: GraphPrecision | None, device: DeviceFacts
) -> tuple[Opened | None, list[str]]:
    """An engine built for this device, and why that failed."""
    try:
        engine = build_here(bundle, device, kind=kind, precision=precision, budget_bytes=BUILD_MEMORY_BYTES)
    except (EngineLoadError, MissingPackageError, OutputError) as err:
        return None, [f"none could be built: {err}"]
    opened, failed, not_valid = _first_proved(bundle, [engine], device, precision)
    return opened, [*failed, *not_valid]


def _candidates(bundle: Bundle, kind: Kind | None) -> tuple[list[StoredEngine], list[str]]:
    """Engines of the device's cache and of the bundle, and a line for each that cannot be read or trusted."""
    here, unusable_here = stored_engines(device_engines(bundle))
    there, unusable = stored_engines(bundle.path / "engines", bundle.covered)
    lines = [*unusable_here, *unusable]
    if has_zipped_engines(bundle):
        lines.append(f"the engines in {bundle.path} are not read, as they lie in a .zip file; unpack it")
    return [engine for engine in here + there if kind in (None, engine.facts.backend)], lines


def _first_proved(
    bundle: Bundle, engines: list[StoredEngine], device: DeviceFacts | None, precision: GraphPrecision | None
) -> tuple[Opened | None, list[str], list[str]]:
    """The best engine that proves itself, a line for each better one that did not, and for each that is not valid."""
    valid, not_valid = valid_engines(bundle.manifest, graph_hashes(bundle.manifest), engines, device, precision)
    failed: list[str] = []
    for engine in valid:
        assert device is not None
        try:
            return _with_pipeline(bundle, engine, device), failed, not_valid
        except (EngineLoadError, MissingPackageError, TilingError) as err:
            failed.append(f"{engine.folder.name}: {err}")
    return None, failed, not_valid


def _with_pipeline(bundle: Bundle, stored: StoredEngine, device: DeviceFacts) -> Opened:
    manifest, facts = bundle.manifest, stored.facts
    backend = TensorRTBackend(stored)
    with _closed_on_failure(backend):
        _check_fits(manifest, facts.tile_lr, backend.cuda)
        # All of them now: one that does not load must not be found out in the air.
        engines = {
            form: backend.engine(bundle.read_bytes(graph_name(manifest, facts.precision, form)), plan.shapes)
            for form, plan in facts.plans.items()
        }
    # The driver belongs to it: TensorRT-RTX compiles the plan's kernels on the device.
    plans = " ".join([*(plan.sha256 for plan in facts.plans.values()), device.driver])
    opened = _proved(bundle, backend, BUILD_MEMORY_BYTES, plans)
    with _closed_on_failure(opened):
        engine = engines["given"] if "given" in engines else engines["whole"]
        return replace(opened, pipeline=DevicePipeline(engine, backend.cuda, manifest), cuda=backend.cuda)


def _check_fits(manifest: Manifest, tile_lr: tuple[int, int], cuda: Cuda) -> None:
    """Refuse an engine whose tile alone, as the smallest frame that it runs, is more than the GPU has free.

    Raises:
        TilingError: Says how much is missing; an engine of a smaller tile may do.
    """
    shape = FrameShape(
        lr=tile_lr,
        bands=manifest.n_bands or FEWEST_BANDS,
        msi_bands=manifest.msi.bands,
        msi_dtype="uint8" if manifest.msi.bands else None,
        masked=False,
        tiles=1,
    )
    fitting_tile(manifest, shape, [tile_lr], free_bytes=cuda.free_bytes(), integrated=cuda.integrated)


def _on_cpu(bundle: Bundle, name: str | None, precision: str | None, budget_bytes: int) -> Opened:
    name, allowed = name or next(iter(BACKENDS)), allowed_precisions(bundle.manifest)
    wide = _proved(bundle, open_backend(name, precision, allowed), budget_bytes)
    if precision is not None or "int8" not in allowed or "int8" not in native_precisions(name):
        return wide
    try:
        narrow = _proved(bundle, open_backend(name, "int8", allowed), budget_bytes)
    except EngineLoadError as err:
        _log.warning("INT8 is left out: %s", err)
        return wide
    better, worse = (narrow, wide) if _gain(narrow, wide) >= LEAST_GAIN else (wide, narrow)
    worse.close()
    return better


def _proved(bundle: Bundle, backend: Backend, budget_bytes: int, plans: str = "") -> Opened:
    network = Network(bundle, backend)
    with _closed_on_failure(network):
        return Opened(network, replay_golden(bundle, network, budget_bytes, plans))


@contextmanager
def _closed_on_failure(resource: Backend | Network | Opened) -> Iterator[None]:
    try:
        yield
    except BaseException:
        resource.close()
        raise


def _gain(one: Opened, other: Opened) -> float:
    """How many times as fast one is as the other, each with its fastest tile."""
    per_px = [min(seconds / side**2 for side, seconds in opened.seconds_by_side.items()) for opened in (one, other)]
    return per_px[1] / per_px[0]
