"""The bench's command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hsi_edge.errors import HSIEdgeError

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
    return parser


def _train(arguments: argparse.Namespace) -> None:
    from export.recipe import read_recipe
    from export.train import train

    print(train(read_recipe(arguments.recipe), arguments.data, arguments.runs))
