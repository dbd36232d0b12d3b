"""The command line of the bench around bundles."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hsi_edge.errors import HSIEdgeError
from hsi_edge.machine import machine_facts

BUNDLE = Path("engines/bundles/pzres-vis31-x8")
PACKAGES = ("numpy", "openvino", "onnxruntime", "torch")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 2 for wrong use, 1 for failed work."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except HSIEdgeError as err:
        print(f"engines: {err}", file=sys.stderr)
        return 2 if isinstance(err, ValueError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines", description=__doc__)
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
    return parser


def _facts() -> dict[str, str]:
    facts = {"command": f"python -m engines {shlex.join(sys.argv[1:])}", **machine_facts(PACKAGES)}
    return facts | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "")}


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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
