"""`hsi-edge build`: compile a bundle's graphs to engines, for this device or ahead of time for another one."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import get_args

from hsi_edge.backends.tensorrt_build import buildable_capabilities
from hsi_edge.backends.tensorrt_library import MODULES
from hsi_edge.bundle import Bundle
from hsi_edge.engine_build import BuildOrder, build_engine, build_for_device, chosen_tile, library_for
from hsi_edge.engine_store import EngineFacts, Kind, device_engines
from hsi_edge.errors import EngineLoadError, InputError, OutputError
from hsi_edge.gpu import DeviceFacts, find_device
from hsi_edge.manifest import GraphPrecision, Manifest
from hsi_edge.signing import SIGN_COMMAND, SIGNATURE

DEFAULT_MEMORY_MB = 1024
"""Budget for a tile where no size is asked for: the largest candidate of every shipped model fits."""

_BUILT_ON_THE_DEVICE = {
    "7.2": "Jetson Xavier",
    "8.7": "Jetson Orin",
    "9.0": "H100 and H200",
    "10.0": "B200",
    "11.0": "Jetson AGX Thor",
}
"""GPUs that TensorRT-RTX does not build for, by compute capability."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.description = (
        "Compile a bundle's graphs to engines: for the GPU of this device, into its cache; or with --target ahead of "
        "time for other GPUs, into the bundle, on any machine (TensorRT-RTX)."
    )
    parser.epilog = "example: hsi-edge build fieldfuse-x8 --target sm_86 sm_89 --precision fp16 --frame 64x80"
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="the model bundle; a folder, if engines are to go into it")
    add(
        "--target",
        nargs="+",
        type=_capability,
        metavar="SM",
        help="compute capabilities to build for, such as sm_86; one engine runs on all of them (default: this device)",
    )
    add("--backend", choices=list(MODULES), help="the library (default: the one that is installed, TensorRT first)")
    add(
        "--precision",
        nargs="+",
        choices=get_args(GraphPrecision),
        help="of the graph (default: every one that the bundle has)",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--tile", type=_side, metavar="LR", help="side of a tile with its halo, in LR pixels")
    size.add_argument(
        "--frame", type=_frame, metavar="ROWSxCOLS", help="size of the frames to come, in LR pixels: cut evenly"
    )
    add(
        "--memory-mb",
        type=_side,
        default=DEFAULT_MEMORY_MB,
        metavar="N",
        help="what a tile may take where --tile is not given (default: %(default)s)",
    )
    add("-o", "--output", type=Path, metavar="FOLDER", help="where the engines go (default: see above)")


def run(arguments: argparse.Namespace) -> None:
    """Build the engines that the command line asks for, and print where each lies.

    Raises:
        EngineLoadError: There is no GPU to build for, or a build fails.
        InputError: The bundle has no such graph, or the target, the tile or the library does not fit.
        MissingPackageError: The library is not installed.
        OutputError: The engines cannot be written.
    """
    bundle = Bundle.open(arguments.bundle)
    manifest = bundle.manifest
    precisions = _checked_precisions(manifest, arguments.precision)
    tile = chosen_tile(manifest, arguments.tile, arguments.frame, arguments.memory_mb << 20)
    capabilities = tuple(sorted(set(arguments.target or ()), key=float))
    kind, device = _checked_target(arguments.backend, capabilities)
    root = arguments.output or (device_engines(bundle) if device else _bundle_engines(bundle))
    _check_place(root, bundle)
    for precision in precisions:
        order = BuildOrder(
            kind=kind,
            device=device,
            capabilities=capabilities,
            precision=precision,
            tile_lr=tile,
            frame_lr=arguments.frame,
        )
        for_here = device is not None and arguments.output is None
        engine = build_for_device(bundle, order) if for_here else build_engine(bundle, order, root)
        sys.stdout.write(f"engine: {engine.folder} ({_in_words(engine.facts)})\n")
        sys.stdout.flush()
    if SIGNATURE in bundle.store.sizes and _is_below(root, bundle.path):
        sys.stderr.write(
            f"note: {bundle.path} is signed, and its signature does not cover what was built; sign it anew with: "
            f"{SIGN_COMMAND}\n"
        )


def _checked_precisions(manifest: Manifest, wanted: list[GraphPrecision] | None) -> list[GraphPrecision]:
    if not manifest.graphs:
        raise InputError(f"the model {manifest.name} has no graph, so there is nothing to build; it runs as it is")
    for precision in wanted or ():
        if precision not in manifest.graphs:
            raise InputError(
                f"the bundle {manifest.name} has no {precision} graph, only {', '.join(manifest.graphs)}; make one "
                f"with python -m calib, or leave --precision {precision} out"
            )
    return list(dict.fromkeys(wanted or manifest.graphs))


def _checked_target(kind: Kind | None, capabilities: tuple[str, ...]) -> tuple[Kind, DeviceFacts | None]:
    if not capabilities:
        return _this_device(kind)
    if kind == "tensorrt":
        raise InputError(
            "TensorRT builds only for the GPU that it runs on; leave --target out on the device itself, or build ahead "
            "of time with --backend tensorrt-rtx"
        )
    known = buildable_capabilities()
    for capability in capabilities:
        if capability not in known:
            owner = _BUILT_ON_THE_DEVICE.get(capability)
            raise InputError(
                f"TensorRT-RTX does not build for compute capability {capability}"
                f"{f' ({owner})' if owner else ''}, only for {', '.join(known)}; build on the device itself with "
                "hsi-edge build BUNDLE --backend tensorrt"
            )
    return "tensorrt-rtx", None


def _this_device(kind: Kind | None) -> tuple[Kind, DeviceFacts]:
    device, reason = find_device()
    if device is None:
        raise EngineLoadError(
            f"there is no GPU here to build for: {reason}. Build ahead of time for another one with --target, such as "
            "--target sm_86, or run hsi-edge build on the device"
        )
    return library_for(device, kind), device


def _bundle_engines(bundle: Bundle) -> Path:
    if not bundle.path.is_dir():
        raise InputError(f"{bundle.path} is a .zip file, which takes no engines; unpack it, or name a folder with -o")
    return bundle.path / "engines"


def _check_place(root: Path, bundle: Bundle) -> None:
    """Before the long work, and not after it."""
    if bundle.path.is_dir() and _is_below(root, bundle.path) and not _is_below(root, bundle.path / "engines"):
        raise InputError(
            f"engines in {root} would lie among the files of the bundle {bundle.path}; leave -o out, or name a folder "
            "beside it"
        )
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".hsi-edge-", dir=there):
            pass
    except OSError as err:
        raise OutputError(
            f"engines cannot be written into {root}: {there} cannot be written to ({err.strerror}); name another with "
            "-o"
        ) from err


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _in_words(facts: EngineFacts) -> str:
    rows, cols = facts.tile_lr
    megabytes = sum(plan.size_bytes for plan in facts.plans.values()) / 1e6
    checked = "precision of its layers checked" if facts.layers_checked else "layers to be checked on the device"
    where = facts.device or "compute capability " + ", ".join(facts.compute_capabilities)
    return f"{facts.precision}, tiles of {rows} x {cols} LR pixels, {where}, {megabytes:.1f} MB, {checked}"


def _capability(text: str) -> str:
    found = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"wanted a compute capability such as sm_86 or 8.6, got {text!r}")
    return f"{int(found[1])}.{found[2]}"


def _side(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"wanted a whole number above 0, got {text!r}")
    return int(text)


def _frame(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"wanted rows and columns such as 64x80, got {text!r}")
    return int(found[1]), int(found[2])
