"""Engines of a bundle's graphs: which forms and tiles they need, and how they are built and stored."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from hsi_edge.backends.tensorrt_build import BUILD_FLAGS, BuiltPlan, PlanOrder, build_plan
from hsi_edge.backends.tensorrt_library import load_tensorrt
from hsi_edge.bundle import Bundle
from hsi_edge.device_facts import cache_folder
from hsi_edge.engine_choice import FASTEST_FIRST, tile_shapes
from hsi_edge.engine_store import (
    EngineFacts,
    Form,
    Kind,
    StoredEngine,
    device_engines,
    drop_predecessors,
    plan_file,
    save_engine,
)
from hsi_edge.errors import InputError
from hsi_edge.gpu import DeviceFacts, this_platform
from hsi_edge.manifest import GraphPrecision, Manifest
from hsi_edge.progress import Progress
from hsi_edge.statistics import sample_shape
from hsi_edge.tiling.size import candidate_sides, fastest_tile


@dataclass(frozen=True, kw_only=True)
class BuildOrder:
    """What to build engines for.

    Attributes:
        kind: The library.
        device: The GPU that is here; None to build ahead of time.
        capabilities: Compute capabilities to build for ahead of time.
        precision: Of the graph.
        tile_lr: Rows and columns of a tile with its halo, in LR pixels.
        frame_lr: Rows and columns of the frames to come, in LR pixels, where they are known.
    """

    kind: Kind
    device: DeviceFacts | None
    capabilities: tuple[str, ...] = ()
    precision: GraphPrecision
    tile_lr: tuple[int, int]
    frame_lr: tuple[int, int] | None = None


def build_engine(bundle: Bundle, order: BuildOrder, root: Path) -> StoredEngine:
    """Build one engine, with a plan for every form of the graph that a frame needs, and store it below `root`.

    Progress goes to stderr.

    Raises:
        EngineLoadError: A build fails, or an engine does not compute in the precision asked for.
        OutputError: It cannot be written.
    """
    manifest = bundle.manifest
    version = str(load_tensorrt(order.kind).__version__)
    shapes = plan_shapes(manifest, order.tile_lr, order.frame_lr)
    graphs = {form: bundle.read_bytes(graph_name(manifest, order.precision, form)) for form in shapes}
    built = {form: _built(manifest, order, form, graphs[form], shapes[form]) for form in shapes}
    device = order.device
    facts = EngineFacts(
        backend=order.kind,
        version=version,
        platform=this_platform(),
        device="" if device is None else device.name,
        compute_capabilities=order.capabilities if device is None else (device.compute_capability,),
        driver="" if device is None else device.driver,
        precision=order.precision,
        tile_lr=order.tile_lr,
        flags=BUILD_FLAGS,
        layers_checked=all(plan.layers_checked for plan in built.values()),
        built=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        plans={
            form: plan_file(form, plan.data, graph=graphs[form], shapes=shapes[form]) for form, plan in built.items()
        },
    )
    return save_engine(root, facts, {form: plan.data for form, plan in built.items()})


def build_here(
    bundle: Bundle, device: DeviceFacts, *, kind: Kind | None, precision: GraphPrecision | None, budget_bytes: int
) -> StoredEngine:
    """Build an engine for this device, into its cache, with the largest tile that the budget holds.

    Args:
        bundle: With a graph.
        device: This one's GPU.
        kind: The library; None for the one that is installed.
        precision: Of the graph; None for the narrowest that the bundle has.
        budget_bytes: Of memory, for a tile.

    Raises:
        EngineLoadError: The build fails, or the engine does not compute in the precision asked for.
        MissingPackageError: The library is not installed.
        OutputError: It cannot be written.
        TilingError: The budget holds no tile.
    """
    manifest = bundle.manifest
    narrowest: GraphPrecision = next(one for one in FASTEST_FIRST if one in manifest.graphs)
    order = BuildOrder(
        kind=library_for(device, kind),
        device=device,
        precision=narrowest if precision is None else precision,
        tile_lr=chosen_tile(manifest, None, None, budget_bytes),
    )
    return build_for_device(bundle, order)


def build_for_device(bundle: Bundle, order: BuildOrder) -> StoredEngine:
    """Build one engine into this device's cache, in place of those of other tiles or versions that it takes over from.

    Raises as `build_engine`.
    """
    engine = build_engine(bundle, order, device_engines(bundle))
    drop_predecessors(engine)
    return engine


def library_for(device: DeviceFacts, kind: Kind | None) -> Kind:
    """The library to build with on a device: the one asked for, or the first that is installed.

    Raises:
        MissingPackageError: It is not installed.
    """
    chosen: Kind = next(iter(device.versions), "tensorrt-rtx") if kind is None else kind
    load_tensorrt(chosen)
    return chosen


def _built(
    manifest: Manifest, order: BuildOrder, form: Form, graph: bytes, shapes: Mapping[str, tuple[int, ...]]
) -> BuiltPlan:
    calibration = manifest.calibration.get(order.precision)
    plan_order = PlanOrder(
        kind=order.kind,
        precision=order.precision,
        float_layers=() if calibration is None else calibration.float_layers,
        capabilities=order.capabilities,
        timing_cache=None if order.device is None else cache_folder() / f"{order.kind}-timings.cache",
    )
    with Progress(sys.stderr, f"{manifest.name} {order.precision} {form}") as progress:
        return build_plan(graph, shapes, plan_order, progress)


def plan_shapes(
    manifest: Manifest, tile_lr: tuple[int, int], frame_lr: tuple[int, int] | None
) -> dict[Form, dict[str, tuple[int, ...]]]:
    """The forms of the graph to build, and the shapes of their inputs.

    A network with statistics needs two: `given` for the tiles, `whole` for the sample that its statistics are measured
    on. A frame that is a single tile measures its own.
    """
    takes_statistics = manifest.graphs["fp32"].given is not None
    if not takes_statistics or (frame_lr is not None and _aligned(manifest, frame_lr) == tile_lr):
        return {"whole": tile_shapes(manifest, "whole", tile_lr)}
    grid = None if frame_lr is None else _aligned(manifest, frame_lr)
    sample = sample_shape(max(tile_lr), manifest.ratio, manifest.tiling.alignment_lr, grid)
    return {"whole": tile_shapes(manifest, "whole", sample), "given": tile_shapes(manifest, "given", tile_lr)}


def chosen_tile(
    manifest: Manifest, side: int | None, frame_lr: tuple[int, int] | None, budget_bytes: int
) -> tuple[int, int]:
    """The tile's rows and columns, in LR pixels: as asked for, or cut evenly out of the frame, or as large as fits.

    Raises:
        InputError: The side asked for does not suit the model.
        TilingError: The budget holds no tile.
    """
    tiling = manifest.tiling
    if side is not None:
        least = max(2 * tiling.halo_lr + tiling.alignment_lr, tiling.min_lr)
        most = tiling.max_tile_lr or side
        if side % tiling.alignment_lr or not least <= side <= most:
            upper = f" to {tiling.max_tile_lr}" if tiling.max_tile_lr else " or more"
            raise InputError(
                f"a tile of {side} LR pixels does not suit {manifest.name}; wanted {least}{upper}, and a multiple of "
                f"{tiling.alignment_lr}"
            )
        return side, side
    largest = candidate_sides(tiling, manifest.ratio, budget_bytes)[-1]
    if frame_lr is None:
        return largest, largest
    # Only how evenly the cuts lie decides: on a GPU, the time per pixel changes little below the largest tile.
    return fastest_tile(_aligned(manifest, frame_lr), tiling, {largest: float(largest**2)})


def _aligned(manifest: Manifest, frame_lr: tuple[int, int]) -> tuple[int, int]:
    unit = manifest.tiling.alignment_lr
    return math.ceil(frame_lr[0] / unit) * unit, math.ceil(frame_lr[1] / unit) * unit


def graph_name(manifest: Manifest, precision: GraphPrecision, form: Form) -> str:
    """The bundle's file with a graph in a form that it has."""
    graph = manifest.graphs[precision]
    name = graph.whole if form == "whole" else graph.given
    assert name is not None
    return name
