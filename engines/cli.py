"""The command line of the bench around bundles."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from engines.targets import ARITHMETIC, chosen_targets, target_names
from hsi_edge.bundle import Bundle
from hsi_edge.command_line import OneLineParser, run_tool
from hsi_edge.gpu import find_device
from hsi_edge.machine import machine_facts
from hsi_edge.manifest import GraphPrecision
from hsi_edge.signing import KEY_VARIABLE

BUNDLE = Path("engines/bundles/pzres-vis31-x8")
PACKAGES = ("numpy", "openvino", "onnxruntime", "torch")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 2 for wrong use, 1 for failed work."""
    return run_tool("engines", lambda: _parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m engines", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    bench = commands.add_parser("bench", help="speed and memory beside torch and bare OpenVINO, against the targets")
    bench.add_argument("--quick", action="store_true", help="one round, and the large frame without the network")
    bench.set_defaults(run=_bench)
    tiling = commands.add_parser("tiling", help="tiled against whole, by statistics mode, on the Salton Sea scene")
    tiling.add_argument("--bundle", type=Path, nargs="+", default=[BUNDLE], help="folders or .zip files")
    tiling.add_argument("--memory-mb", type=int, help="budget that keeps the tiles small (found by itself)")
    tiling.set_defaults(run=_tiling)
    bench.add_argument("--bundle", type=Path, default=BUNDLE, help="folder or .zip file (%(default)s)")
    for command in (bench, tiling):
        command.add_argument("-o", "--output", type=Path, help="folder for the results as Markdown, JSON and pictures")
    targets = commands.add_parser("targets", help="the devices that are known, with figures and sources")
    targets.set_defaults(run=_targets)
    _add_growth(commands)
    _add_build(commands)
    _add_roofline(commands)
    _add_signing(commands)
    _add_live(commands)
    return parser


def _add_growth(commands: Commands) -> None:
    growth = commands.add_parser("growth", help="time and memory of frames from 256 to 8192 pixels: a table, a plot")
    growth.add_argument("bundle", type=Path, nargs="+", help="folders or .zip files")
    growth.add_argument("--sides", type=int, nargs="+", metavar="PX", help="of the frames, in HR pixels (all)")
    growth.add_argument("--backend", help="as for HSIEngine; builds an engine where one is asked for (the best here)")
    growth.add_argument("--precision", help="as for HSIEngine (the best here)")
    growth.add_argument("-o", "--output", type=Path, help="folder for the results as Markdown, JSON and a picture")
    growth.set_defaults(run=_growth)


def _add_live(commands: Commands) -> None:
    endurance = commands.add_parser("live-soak", help="the live pipeline in real time: latency per stage, memory")
    endurance.add_argument("--minutes", type=float, default=1.0, help="how long (%(default)s)")
    endurance.add_argument("--bundle", default="fieldfuse-x8", help="a shipped fusion model of ratio 8 (%(default)s)")
    endurance.add_argument("--lr-side", type=int, default=64, metavar="PX", help="rows and columns (%(default)s)")
    endurance.add_argument("--faults", action="store_true", help="with all faults in turn, a recorder, rude visitors")
    endurance.add_argument("--watched", action="store_true", help="with a visitor who watches")
    endurance.add_argument("--name", default="live-soak", help="of the files (%(default)s)")
    endurance.set_defaults(run=_live_soak)
    faults = commands.add_parser("live-faults", help="the live pipeline under scripted faults: a table")
    faults.set_defaults(run=_live_faults)
    for command in (endurance, faults):
        command.add_argument("-o", "--output", type=Path, help="folder for the results as Markdown, JSON and pictures")


Commands = Any  # argparse has no public name for it


def _add_build(commands: Commands) -> None:
    build = commands.add_parser("build", help="make what targets need, as far as this machine can, and sign it")
    build.add_argument("bundle", type=Path, help="folder or .zip file")
    build.add_argument("--targets", nargs="+", required=True, metavar="NAME", help=f"all, {', '.join(target_names())}")
    build.add_argument("--precision", nargs="+", choices=get_args(GraphPrecision), help="graphs (all that it has)")
    build.add_argument("--frame", type=_frame, metavar="ROWSxCOLS", help="size of the frames to come, in LR pixels")
    build.add_argument("--key", type=Path, help="private key to sign with (not signed)")
    build.add_argument("-o", "--output", type=Path, help="folder or .zip file for the result (the bundle itself)")
    build.set_defaults(run=_build)


def _add_roofline(commands: Commands) -> None:
    roofline = commands.add_parser("roofline", help="predict the frame time on devices that are not here")
    roofline.add_argument("bundle", type=Path, help="folder or .zip file")
    roofline.add_argument("--target", nargs="+", default=["all"], metavar="NAME", help="targets (%(default)s)")
    roofline.add_argument("--frame", type=_frame, default=(512, 512), metavar="ROWSxCOLS", help="HR pixels (512x512)")
    roofline.add_argument("--precision", nargs="+", choices=ARITHMETIC, help="of the layers (all that a target runs)")
    roofline.add_argument("--measure", action="store_true", help="predict this CPU too, and run the engine beside it")
    roofline.add_argument("-o", "--output", type=Path, help="folder for the results as Markdown and JSON")
    roofline.set_defaults(run=_roofline)


def _add_signing(commands: Commands) -> None:
    keys = commands.add_parser("keys", help="make a key pair to sign bundles with")
    keys.add_argument("folder", type=Path, help="for private.pem and public.pem")
    keys.set_defaults(run=_keys)
    sign = commands.add_parser("sign", help="sign a bundle, so that devices that trust the key take it")
    sign.add_argument("bundle", type=Path, help="folder or .zip file")
    sign.add_argument("--key", type=Path, required=True, help="private key, a PEM file")
    sign.set_defaults(run=_sign)


def _frame(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"wanted rows and columns such as 512x640, got {text!r}")
    return int(found[1]), int(found[2])


def _facts() -> dict[str, str]:
    facts = {"command": f"python -m engines {shlex.join(sys.argv[1:])}", **machine_facts(PACKAGES)}
    return facts | {"gpu": _gpu(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "")}


def _gpu() -> str:
    device, why_none = find_device()
    if device is None:
        return f"none: {why_none}"
    libraries = (f"{kind} {version}" for kind, version in device.versions.items())
    return ", ".join([f"{device.name} ({device.compute_capability})", device.driver, *libraries])


def _bench(arguments: argparse.Namespace) -> None:
    from engines.bench import run_bench
    from engines.bench_report import bench_markdown, write_bench

    facts = _facts()
    bench = run_bench(arguments.bundle, quick=arguments.quick, say=_say)
    print(bench_markdown(bench, facts))
    if arguments.output:
        write_bench(arguments.output, bench, facts)


def _tiling(arguments: argparse.Namespace) -> None:
    from engines.salton_sea import frame_pairs
    from engines.tiling_check import check_tiling
    from engines.tiling_report import tiling_markdown, write_tiling

    facts = _facts()
    checks = [check_tiling(bundle, frame_pairs, memory_mb=arguments.memory_mb, say=_say) for bundle in arguments.bundle]
    print(tiling_markdown(checks, facts))
    if arguments.output:
        write_tiling(arguments.output, checks, facts)
    for check in checks:
        check.require_exact()


def _growth(arguments: argparse.Namespace) -> None:
    from engines.growth import SIDES, measure_growth
    from engines.growth_report import growth_markdown, write_growth

    sides, backend, precision = arguments.sides or SIDES, arguments.backend, arguments.precision
    machine = _facts()
    measured = [measure_growth(bundle, sides, backend, precision, _say) for bundle in arguments.bundle]
    print(growth_markdown(measured, machine))
    if arguments.output:
        write_growth(arguments.output, measured, machine)


def _targets(_: argparse.Namespace) -> None:
    from engines.targets_page import targets_page

    print(targets_page(chosen_targets(["all"])))


def _build(arguments: argparse.Namespace) -> None:
    from engines.build import Order, build_bundle, engines_markdown

    targets = chosen_targets(arguments.targets)
    order = Order(targets=targets, precisions=arguments.precision, frame_lr=arguments.frame, key=arguments.key)
    result = build_bundle(arguments.bundle, order, arguments.output, _say)
    print(engines_markdown(result.name, result.rows))
    print(f"\nthe bundle: {result.path}{'' if arguments.key is None else ', signed'}")


def _roofline(arguments: argparse.Namespace) -> None:
    from engines.roofline_report import measure, predict_all, roofline_markdown, write_roofline

    bundle = Bundle.open(arguments.bundle)
    targets = chosen_targets(arguments.target)
    predictions = predict_all(bundle, targets, arguments.frame, arguments.precision)
    measured = measure(bundle, arguments.frame, *(arguments.precision or ())[:1]) if arguments.measure else None
    text = roofline_markdown(bundle, arguments.frame, predictions, targets, measured)
    print(text)
    if arguments.output:
        write_roofline(arguments.output, text, predictions, measured)


def _keys(arguments: argparse.Namespace) -> None:
    from engines.sign import make_keys

    private, public = make_keys(arguments.folder)
    print(f"wrote {private}: keep it on the bench, it signs for whoever holds it")
    print(f"wrote {public}: put it on the devices and name it in ${KEY_VARIABLE}")


def _sign(arguments: argparse.Namespace) -> None:
    from engines.sign import sign_bundle

    signed = sign_bundle(arguments.bundle, arguments.key)
    print(f"signed {arguments.bundle}: {len(signed)} files")


def _live_soak(arguments: argparse.Namespace) -> None:
    from engines.live.flight import simulated_flight
    from engines.live.soak import mixed_faults, soak
    from engines.live.soak_report import soak_markdown, write_soak

    seconds = 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="hsi-edge-soak-") as folder:
        flight = simulated_flight(
            bundle=arguments.bundle,
            lr_side=arguments.lr_side,
            faults=mixed_faults(seconds) if arguments.faults else (),
            paced=True,
            record_to=Path(folder) if arguments.faults else None,
        )
        seen = soak(flight, seconds, _say, rude=arguments.faults, watched=arguments.faults or arguments.watched)
    side = arguments.lr_side * 8
    what = (
        f"{arguments.bundle}, results of {side} x {side} x 31, spectral frames at 2 and RGB at 10 per second, "
        f"{'all faults in turn, a failing sink, visitors that stall and flood' if arguments.faults else 'no faults'}."
    )
    machine = _facts()
    print(soak_markdown(seen, what, machine, "figures"))
    if arguments.output:
        write_soak(arguments.output, arguments.name, seen, what, machine)


def _live_faults(arguments: argparse.Namespace) -> None:
    from engines.live.faults import SCENARIOS, fly
    from engines.live.faults_report import faults_markdown, write_faults

    rows = []
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="hsi-edge-faults-") as folder:
            rows.append((scenario, fly(scenario.faults, Path(folder))))
        _say(scenario.name)
    machine = _facts()
    print(faults_markdown(rows, machine))
    if arguments.output:
        write_faults(arguments.output, rows, machine)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
