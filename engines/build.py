"""The build matrix: what each target needs of a bundle, made as far as this machine can, proved, packed and signed.

| target | what is made |
|---|---|
| a CPU | nothing: its backend compiles the bundle's graphs when it opens them |
| built ahead of time | engines of TensorRT-RTX for its compute capability, in the bundle's folder `engines` |
| built on the device | nothing here: TensorRT's engines belong to the GPU that built them; the command is told |
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from engines.pack import pack, unpack
from engines.sign import check_private_key, sign_bundle
from engines.targets import Target
from hsi_edge.backends.tensorrt_library import load_tensorrt
from hsi_edge.bundle import Bundle
from hsi_edge.bundle_store import FolderStore, store_at
from hsi_edge.engine_build import BuildOrder, build_engine, chosen_tile
from hsi_edge.engine_choice import choose_engine, graph_hashes
from hsi_edge.engine_store import StoredEngine
from hsi_edge.errors import EngineLoadError, InputError, ManifestError, OutputError
from hsi_edge.gpu import DeviceFacts, this_platform
from hsi_edge.io.atomic import atomic_path
from hsi_edge.manifest import GraphPrecision
from hsi_edge.report.measured import table, write_measured
from hsi_edge.signing import SIGNATURE

MEMORY_BYTES = 1 << 30
"""For a tile, where the size of the frames is not told; the same as `hsi-edge build` allows."""

Status = Literal["made and proved", "nothing to make", "to be made there"]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to build.

    Attributes:
        targets: For which devices.
        precisions: Of the graphs; None for all that the bundle has.
        frame_lr: Rows and columns of the frames to come, in LR pixels; None where they are not known.
        key: Private key to sign with; None leaves the bundle unsigned.
    """

    targets: Sequence[Target]
    precisions: Sequence[GraphPrecision] | None = None
    frame_lr: tuple[int, int] | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Row:
    """One line of the result: for which target what is made where, and whether it is."""

    target: str
    what: str
    where: str
    status: Status


@dataclass(frozen=True)
class Result:
    """Where the bundle lies that was made, what it is called, and what was done for each target."""

    path: Path
    name: str
    rows: list[Row]


def build_bundle(path: Path, order: Order, output: Path | None, say: Say) -> Result:
    """Make what this machine can make for some targets.

    Args:
        path: The bundle.
        order: What to build.
        output: A folder or `.zip` file for the result; None adds the engines to the bundle's own folder.
        say: Takes a line for each engine.

    Returns:
        The result, whose table is also written into the bundle's folder `report`.

    Raises:
        InputError: No target can be served from here, a precision or the output does not fit.
        EngineLoadError: A build fails, or an engine would not be taken by the device that it was made for.
        ManifestError: There is no whole bundle.
        MissingPackageError: TensorRT-RTX or model-signing is not installed.
        OutputError: The result cannot be written, or would replace something that is no bundle.
    """
    bundle = Bundle.open(path)
    name = bundle.manifest.name
    precisions = _checked_precisions(bundle, order)
    _check_served(path, order.targets)
    if order.key is not None:
        check_private_key(order.key)
    if output is None:
        if not path.is_dir():
            raise InputError(f"{path} is a .zip file; name a place for the result with -o")
        return Result(path, name, _built(bundle, order, precisions, say))
    _check_replaceable(output)
    with atomic_path(output) as partial, tempfile.TemporaryDirectory(prefix="hsi-edge-") as temporary:
        copied = _copied(bundle, Path(temporary, "bundle"))
        rows = _built(copied, order, precisions, say)
        if output.suffix == ".zip":
            pack(copied.path, partial)
            say(f"unpack {output} on the device: engines are used from a folder alone; the signature holds there too")
        else:
            shutil.copytree(copied.path, partial)
    return Result(output, name, rows)


def _check_replaceable(output: Path) -> None:
    if output.exists():
        try:
            store_at(output)
        except ManifestError as err:
            raise OutputError(
                f"{output} is there and is no bundle, so it is not replaced; choose another name"
            ) from err


def _copied(bundle: Bundle, folder: Path) -> Bundle:
    if bundle.path.is_dir():
        shutil.copytree(bundle.path, folder, symlinks=True)
    else:
        unpack(bundle.store, folder)
    return replace(bundle, store=FolderStore(folder))


def _checked_precisions(bundle: Bundle, order: Order) -> tuple[GraphPrecision, ...]:
    graphs = bundle.manifest.graphs
    wanted = tuple(dict.fromkeys(order.precisions or graphs))
    if missing := [precision for precision in wanted if precision not in graphs]:
        raise InputError(
            f"the bundle {bundle.manifest.name} has no graph in {' or '.join(missing)}, only in {', '.join(graphs)}; "
            "make one with python -m calib"
        )
    return wanted


def _check_served(path: Path, targets: Sequence[Target]) -> None:
    """A run that could make nothing is refused before it begins."""
    if all(_is_elsewhere(target) for target in targets):
        there = "; ".join(f"{target.name} {_where(target, path)}" for target in targets)
        raise InputError(
            f"this machine cannot build for any of these targets. Build for {there}. To hand the bundle out as it is, "
            f"sign it: python -m engines sign {path} --key private.pem"
        )


def _is_elsewhere(target: Target) -> bool:
    if target.built == "ahead of time":
        return target.platform != this_platform()
    return target.built == "on the device"


def _built(bundle: Bundle, order: Order, precisions: Sequence[GraphPrecision], say: Say) -> list[Row]:
    """Everything, in a bundle's folder that may be changed."""
    rows = [row for target in order.targets for row in _rows(bundle, target, order, precisions, say)]
    _write_report(bundle, rows)
    if order.key is not None:
        sign_bundle(bundle.path, order.key)
    elif SIGNATURE in bundle.store.sizes:
        say("the bundle's signature does not cover what was made here; sign it anew with --key")
    return rows


def _rows(bundle: Bundle, target: Target, order: Order, precisions: Sequence[GraphPrecision], say: Say) -> list[Row]:
    if target.built == "not needed" or not bundle.manifest.graphs:
        what = f"{', '.join(precisions)} graphs" if precisions else "a model without a graph"
        return [Row(target.name, what, f"on the device, by {target.backends[0]}", "nothing to make")]
    if _is_elsewhere(target):
        where = _where(target, Path(bundle.manifest.name))
        return [Row(target.name, f"{precision} engine", where, "to be made there") for precision in precisions]
    rows = []
    for precision in precisions:
        engine = _made(bundle, target, precision, order.frame_lr)
        rows.append(Row(target.name, f"{precision} engine", f"engines/{engine.folder.name}", "made and proved"))
        say(f"{target.name}: {engine.folder.name}")
    return rows


def _where(target: Target, path: Path) -> str:
    if target.built == "ahead of time":
        return f"on a {target.platform} machine: python -m engines build {path} --targets {target.name}"
    return f"on the device itself: hsi-edge build {path}"


def _made(bundle: Bundle, target: Target, precision: GraphPrecision, frame_lr: tuple[int, int] | None) -> StoredEngine:
    order = BuildOrder(
        kind="tensorrt-rtx",
        device=None,
        capabilities=(target.compute_capability,),
        precision=precision,
        tile_lr=chosen_tile(bundle.manifest, None, frame_lr, MEMORY_BYTES),
        frame_lr=frame_lr,
    )
    engine = build_engine(bundle, order, bundle.path / "engines")
    prove_engine(bundle, target, engine)
    return engine


def prove_engine(bundle: Bundle, target: Target, engine: StoredEngine) -> None:
    """Ask the choice that the device will make whether it would take an engine: facts, hashes and graphs.

    Raises:
        EngineLoadError: It would not, and why.
    """
    device = DeviceFacts(
        name=target.title,
        compute_capability=target.compute_capability,
        driver="",
        platform=target.platform,
        versions={engine.facts.backend: str(load_tensorrt(engine.facts.backend).__version__)},
    )
    choice = choose_engine(bundle.manifest, graph_hashes(bundle.manifest), [engine], device, engine.facts.precision)
    if choice.engine is None:
        raise EngineLoadError(
            f"{target.name} would not take the engine made for it: {'; '.join(choice.reasons)}; report this"
        )
    if not engine.facts.layers_checked:
        raise EngineLoadError(
            f"the {engine.facts.precision} engine for {target.name} was built, but its layers could not be checked; "
            "build it on the device with hsi-edge build"
        )


def engines_markdown(name: str, rows: Sequence[Row]) -> str:
    """The result as a table."""
    cells = [[row.target, row.what, row.where, row.status] for row in rows]
    proved = (
        "An engine is proved when the choice that the device makes takes it: its facts fit the device and the model, "
        "its\nplans hash to what its facts say, its layers compute in the precision asked for. It has not run."
    )
    return "\n\n".join([f"# Engines of {name}", proved, table(["target", "what", "where", "status"], cells, words=4)])


def _write_report(bundle: Bundle, rows: Sequence[Row]) -> None:
    plain = {"bundle": bundle.manifest.name, "rows": [asdict(row) for row in rows]}
    write_measured(bundle.path / "report", "engines", engines_markdown(bundle.manifest.name, rows), plain)
