"""The bench's command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hsi_edge.errors import HSIEdgeError
from hsi_edge.machine import machine_facts

DATA = Path("../shared/data")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 2 for wrong use, 1 for failed work."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except HSIEdgeError as err:
        print(f"export: {err}", file=sys.stderr)
        return 2 if isinstance(err, ValueError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train from a recipe; goes on where a killed run stopped")
    train.add_argument("recipe", type=Path, help="a YAML file, such as export/recipes/pzres-regression-vis31-x8.yaml")
    train.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    train.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs (%(default)s)")
    train.set_defaults(run=_train)
    pack = commands.add_parser("pack", help="export a trained network and write its model bundle")
    pack.add_argument("recipe", type=Path, help="the recipe that it was trained with")
    pack.add_argument("--name", required=True, help="of the model, such as pzres-vis31-x8")
    pack.add_argument("-o", "--output", type=Path, required=True, help="the bundle's folder or .zip file")
    pack.add_argument("--data", type=Path, default=DATA, help="research data folder, for the BF16 gate (%(default)s)")
    pack.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs (%(default)s)")
    pack.set_defaults(run=_pack)
    regression = commands.add_parser("pack-regression", help="write the bundle of the regression fusion")
    regression.add_argument("--ratio", type=int, required=True, help="HR pixels per LR pixel")
    regression.add_argument("-o", "--output", type=Path, required=True, help="the bundle's folder or .zip file")
    regression.set_defaults(run=_pack_regression)
    evaluate = commands.add_parser("evaluate", help="score bundles beside bicubic and regression on the test scenes")
    evaluate.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="folders or .zip files")
    evaluate.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    evaluate.add_argument("-o", "--output", type=Path, help="folder for accuracy.md and accuracy.json")
    evaluate.add_argument("--update", action="store_true", help="put the scores into manifests and report/ folders")
    evaluate.set_defaults(run=_evaluate)
    eager = commands.add_parser("eager", help="time the torch network on a whole frame; prints JSON")
    eager.add_argument("--bands", type=int, default=31, help="of the HSI (%(default)s)")
    eager.add_argument("--msi-bands", type=int, default=3, help="(%(default)s)")
    eager.add_argument("--side", type=int, default=512, help="of the frame, in HR pixels (%(default)s)")
    eager.add_argument("--repeats", type=int, default=3, help="timed passes (%(default)s)")
    eager.set_defaults(run=_eager)
    return parser


def _train(arguments: argparse.Namespace) -> None:
    from export.recipe import read_recipe
    from export.train import train

    print(train(read_recipe(arguments.recipe), arguments.data, arguments.runs))


def _pack(arguments: argparse.Namespace) -> None:
    from export.pack import pack, trained_network
    from export.recipe import read_recipe

    recipe = read_recipe(arguments.recipe)
    data = arguments.data if arguments.data.is_dir() else None
    if data is None:
        print(f"no research data in {arguments.data}: BF16 is not measured, and so not allowed", file=sys.stderr)
    network = trained_network(recipe, arguments.runs)
    bundle = pack(recipe, network, arguments.output, name=arguments.name, data=data)
    print(bundle.path)


def _pack_regression(arguments: argparse.Namespace) -> None:
    from export.pack import pack_regression

    print(pack_regression(arguments.ratio, arguments.output).path)


def _evaluate(arguments: argparse.Namespace) -> None:
    from export.accuracy import accuracy_markdown, store_accuracy, write_accuracy
    from export.evaluate import NOTES, evaluate

    machine = {"command": f"python -m export {shlex.join(sys.argv[1:])}"}
    machine |= machine_facts(("numpy", "openvino", "scipy"))
    scores = evaluate(arguments.bundles, arguments.data)
    print(accuracy_markdown(scores, NOTES, machine))
    if arguments.output:
        write_accuracy(arguments.output, scores, NOTES, machine)
    for bundle in arguments.bundles if arguments.update else ():
        store_accuracy(bundle, scores)
        write_accuracy(bundle / "report", scores, NOTES, machine)


def _eager(arguments: argparse.Namespace) -> None:
    from export.eager import run_eager

    run = run_eager(arguments.bands, arguments.msi_bands, arguments.side, arguments.repeats)
    print(json.dumps(dataclasses.asdict(run)))
