"""The command line of the precisions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hsi_edge.command_line import OneLineParser, run_tool
from hsi_edge.errors import InputError
from hsi_edge.machine import machine_facts

PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino")
SCENES = "folder of reference scenes: SCENES/NAME/lr_hsi.*, hr_msi.* and, where the truth is known, hr_hsi.*"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 2 for wrong use, 1 for failed work."""
    words = sys.argv[1:] if argv is None else list(argv)
    command = {"diff": _diff_parser, "table": _table_parser}.get(words[0] if words else "")
    parser, rest = (_parser, words) if command is None else (command, words[1:])
    return run_tool("calib", lambda: parser().parse_args(rest))


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m calib",
        description="Put an FP16 or INT8 graph into a bundle, if it passes its accuracy gate on the scenes held out.",
        epilog="Other commands, each with --help: python -m calib diff, python -m calib table",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--precision", choices=("fp16", "int8"), required=True, help="of the graph to make")
    parser.add_argument("--data", type=Path, required=True, metavar="SCENES", help=SCENES)
    parser.add_argument("--gate", type=Path, metavar="GATE.yaml", help="limits in place of the default ones")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for a new bundle (the bundle itself)")
    parser.set_defaults(run=_calibrate)
    return parser


def _diff_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m calib diff",
        description="Find the layer that diverges first between two graphs or two backends.",
    )
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="BUNDLE or BUNDLE:PRECISION (fp32)")
    for name in ("a", "b"):
        parser.add_argument(
            f"--backend-{name}",
            metavar="NAME",
            help=f"runs {name.upper()}: openvino, openvino-bf16, onnxruntime, half (half for fp16, else openvino)",
        )
    parser.add_argument("--data", type=Path, required=True, metavar="SCENES", help=SCENES)
    parser.add_argument("--tolerance", type=float, help="relative difference that is still the same (by precision)")
    parser.set_defaults(run=_diff)
    return parser


def _table_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m calib table", description="Score the precisions of bundles on scenes that took no part in them."
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="of the scenes' ratio")
    parser.add_argument("--data", type=Path, required=True, metavar="SCENES", help=SCENES)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for precision.md and .json, which are added to",
    )
    parser.set_defaults(run=_table)
    return parser


def _calibrate(arguments: argparse.Namespace) -> None:
    from calib.calibrate import calibrate
    from calib.gate import read_gate
    from calib.report import outcome_markdown, write_outcome
    from calib.search import words

    gate = read_gate(arguments.gate, arguments.precision)
    target = arguments.output or arguments.bundle
    outcome = calibrate(arguments.bundle, arguments.precision, arguments.data, gate, output=arguments.output, say=_say)
    facts = machine_facts(PACKAGES)
    write_outcome(target / "report", outcome, facts)
    print(outcome_markdown(outcome, facts))
    _say(f"the bundle {target} has a graph {arguments.precision}: {words(outcome.scores)}")


def _diff(arguments: argparse.Namespace) -> None:
    from calib.diff import compare, diff_markdown, side, tolerance_of

    first, second = side(arguments.a, arguments.backend_a), side(arguments.b, arguments.backend_b)
    tolerance = tolerance_of(first, second) if arguments.tolerance is None else arguments.tolerance
    if not tolerance > 0:
        raise InputError(f"--tolerance is {tolerance}; wanted a positive number")
    print(diff_markdown(compare(first, second, arguments.data), first, second, tolerance))


def _table(arguments: argparse.Namespace) -> None:
    from calib.table import tabulate

    print(tabulate(arguments.bundles, arguments.data, arguments.output, machine_facts(PACKAGES), _say))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
