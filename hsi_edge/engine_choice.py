"""Which of the stored engines runs a model here: why the others do not, and which of the valid ones is best.

What NVIDIA says of where an engine runs:

- TensorRT: only with the version that built it, on the platform and the GPU model that built it, unless it was built
  with the flags for version or hardware compatibility, which are not used here
  (docs.nvidia.com/deeplearning/tensorrt, Engine Compatibility and Support Matrix: "Serialized engines are not portable
  across platforms").
- TensorRT-RTX: "engines are not compatible between different releases of TensorRT-RTX"; on the compute capabilities
  that it was built for (docs.nvidia.com/deeplearning/tensorrt-rtx, Engine Compatibility, and CPU-Only AOT and
  TensorRT-RTX Engines). It moves between Linux and Windows; between processors nothing is promised, so it does not
  here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsi_edge.engine_store import EngineFacts, Form, StoredEngine
from hsi_edge.errors import EngineLoadError
from hsi_edge.gpu import DeviceFacts
from hsi_edge.manifest import GraphPrecision, Manifest
from hsi_edge.network import image_shapes

FASTEST_FIRST: tuple[GraphPrecision, ...] = ("int8", "fp16", "fp32")

GraphHashes = Mapping[GraphPrecision, Mapping[Form, str]]


@dataclass(frozen=True)
class Choice:
    """The engine to use, None if there is no valid one; and for each that is not valid here a line with the reason."""

    engine: StoredEngine | None
    reasons: tuple[str, ...]


def choose_engine(
    manifest: Manifest,
    graphs: GraphHashes,
    engines: Sequence[StoredEngine],
    device: DeviceFacts | None,
    precision: GraphPrecision | None = None,
) -> Choice:
    """Choose the engine that runs a model here.

    The best is the one of the fastest precision, then one that was built on this device rather than ahead of time, then
    the one with the largest tile. Its plans are compared with their hashes before it is chosen.

    Args:
        manifest: Of the model; an engine of a precision without calibration there is not used.
        graphs: SHA-256 of the model's graphs as they are now.
        engines: What there is.
        device: This machine's GPU; None if it has none.
        precision: The only one wanted; None for the fastest.
    """
    valid, reasons = valid_engines(manifest, graphs, engines, device, precision)
    for engine in valid:
        damage = _damage(engine)
        if damage is None:
            return Choice(engine, tuple(reasons))
        reasons.append(f"{engine.folder.name}: {damage}")
    return Choice(None, tuple(reasons))


def valid_engines(
    manifest: Manifest,
    graphs: GraphHashes,
    engines: Sequence[StoredEngine],
    device: DeviceFacts | None,
    precision: GraphPrecision | None = None,
) -> tuple[list[StoredEngine], list[str]]:
    """The engines whose facts say that they run a model here, the best first, and for each other a line with why not.

    Args as of `choose_engine`; nothing but the facts is read.
    """
    reasons, valid = [], []
    for engine in engines:
        reason = _refusal(engine.facts, manifest, graphs, device, precision)
        if reason is None:
            valid.append(engine)
        else:
            reasons.append(f"{engine.folder.name}: {reason}")
    return sorted(valid, key=_rank), reasons


def graph_hashes(manifest: Manifest) -> GraphHashes:
    """The SHA-256 of a model's graphs, as its manifest lists them."""
    hashes: dict[GraphPrecision, dict[Form, str]] = {}
    for precision, graph in manifest.graphs.items():
        hashes[precision] = {"whole": manifest.files[graph.whole].sha256}
        if graph.given is not None:
            hashes[precision]["given"] = manifest.files[graph.given].sha256
    return hashes


def _damage(engine: StoredEngine) -> str | None:
    try:
        for form in engine.facts.plans:
            engine.read_plan(form)
    except EngineLoadError as err:
        return str(err)
    return None


def _rank(engine: StoredEngine) -> tuple[int, bool, int]:
    facts = engine.facts
    return FASTEST_FIRST.index(facts.precision), not facts.device, -facts.tile_lr[0] * facts.tile_lr[1]


def _refusal(
    facts: EngineFacts,
    manifest: Manifest,
    graphs: GraphHashes,
    device: DeviceFacts | None,
    precision: GraphPrecision | None,
) -> str | None:
    """Why an engine is not to be used, or None."""
    if precision is not None and facts.precision != precision:
        return f"it computes in {facts.precision}, and {precision} was asked for"
    return _off_model(facts, manifest, graphs) or _off_device(facts, device)


def _off_model(facts: EngineFacts, manifest: Manifest, graphs: GraphHashes) -> str | None:
    precision = facts.precision
    if precision not in graphs:
        return f"the model has no {precision} graph (it has {', '.join(graphs)})"
    if precision != "fp32" and precision not in manifest.calibration:
        return f"the model's manifest holds no calibration for {precision}, so nothing says that it is accurate"
    for form, plan in facts.plans.items():
        if plan.graph_sha256 != graphs[precision].get(form):
            return f"it was built of another {precision} graph than the model has now; build it anew"
    return _off_tiling(facts, manifest)


def _off_tiling(facts: EngineFacts, manifest: Manifest) -> str | None:
    tiling, rows, cols = manifest.tiling, *facts.tile_lr
    tile = f"its tile of {rows} x {cols} LR pixels"
    if rows % tiling.alignment_lr or cols % tiling.alignment_lr:
        return f"{tile} is no multiple of {tiling.alignment_lr}, as the model's tiling asks for"
    if min(rows, cols) < max(tiling.min_lr, 1):
        return f"{tile} is smaller than the model takes ({tiling.min_lr})"
    if tiling.max_tile_lr and max(rows, cols) > tiling.max_tile_lr:
        return f"{tile} is larger than the model takes ({tiling.max_tile_lr})"
    form: Form = "given" if "given" in facts.plans else "whole"
    shapes = dict(facts.plans[form].shapes)
    wanted = tile_shapes(manifest, form, facts.tile_lr)
    if shapes != wanted:
        odd = next(name for name in {**wanted, **shapes} if shapes.get(name) != wanted.get(name))
        return f"it takes {odd} as {shapes.get(odd)}; at {tile} the model gives {wanted.get(odd)}"
    return None


def _off_device(facts: EngineFacts, device: DeviceFacts | None) -> str | None:
    if device is None:
        return f"it needs an NVIDIA GPU ({_meant_for(facts)}), and there is none to be used here"
    version = device.versions.get(facts.backend)
    if version is None:
        return f"it needs {facts.backend} {facts.version}, which is not installed here"
    if version != facts.version:
        return f"it was built with {facts.backend} {facts.version}; here is {version}, and engines do not move between"
    if device.platform != facts.platform:
        return f"it was built on {facts.platform}; this is {device.platform}"
    if device.compute_capability not in facts.compute_capabilities:
        return (
            f"it was built for {_meant_for(facts)}; this is a {device.name} with compute capability "
            f"{device.compute_capability}"
        )
    if facts.backend == "tensorrt" and device.name != facts.device:
        return f"it was built on a {facts.device}; this is a {device.name}, and TensorRT's engines do not move between"
    return None


def _meant_for(facts: EngineFacts) -> str:
    return f"compute capability {', '.join(facts.compute_capabilities)}" + (f", {facts.device}" if facts.device else "")


def tile_shapes(manifest: Manifest, form: Form, tile_lr: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of a graph's inputs for a tile, NCHW, by name.

    Args:
        manifest: Of the model.
        form: Of the graph; `given` takes the statistics too.
        tile_lr: Rows and columns with halo, in LR pixels.
    """
    images = image_shapes(manifest.input.images, tile_lr, manifest.ratio, (manifest.n_bands, manifest.msi.bands))
    shapes: dict[str, tuple[int, ...]] = {name: (1, *shape) for name, shape in images.items()}
    if form == "given" and manifest.statistics is not None:
        shapes["statistics"] = (1, manifest.statistics.size)
    return shapes
