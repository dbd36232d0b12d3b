"""The bench's command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsi_edge.command_line import OneLineParser, run_tool
from hsi_edge.machine import machine_facts
from hsi_edge.manifest import GRAPHLESS

DATA = Path("../shared/data")
FUSION = [Path("engines/bundles") / f"fieldfuse-x{ratio}" for ratio in (4, 8)]
FUSION_HELP = "fused with what was registered (engines/bundles/fieldfuse-x4 and -x8)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 2 for wrong use, 1 for failed work."""
    return run_tool("export", lambda: _parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_making(commands)
    _add_accuracy(commands)
    _add_sensors(commands)
    _add_cost(commands)
    return parser


Commands = Any  # argparse has no public name for it


def _add_making(commands: Commands) -> None:
    train = commands.add_parser("train", help="train from a recipe; goes on where a killed run stopped")
    train.add_argument("recipe", type=Path, help="a YAML file, such as export/recipes/pzres-regression-vis31-x8.yaml")
    train.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    train.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs (%(default)s)")
    train.set_defaults(run=_train)
    pack = commands.add_parser("pack", help="export a trained network and write its model bundle")
    pack.add_argument("recipe", type=Path, help="the recipe that it was trained with")
    pack.add_argument("--name", required=True, help="of the model, such as pzres-vis31-x8")
    pack.add_argument("--ratio", type=int, help="for weights that serve several; by default the recipe's")
    pack.add_argument("-o", "--output", type=Path, required=True, help="the bundle's folder or .zip file")
    pack.add_argument("--data", type=Path, default=DATA, help="research data folder, for the BF16 gate (%(default)s)")
    pack.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs (%(default)s)")
    pack.set_defaults(run=_pack)
    graphless = commands.add_parser("pack-graphless", help="write the bundle of a model that has nothing to train")
    graphless.add_argument("network", choices=list(GRAPHLESS), help="what it is: a fusion, or the LR-HSI alone")
    graphless.add_argument("--ratio", type=int, required=True, help="HR pixels per LR pixel")
    graphless.add_argument("-o", "--output", type=Path, required=True, help="the bundle's folder or .zip file")
    graphless.set_defaults(run=_pack_graphless)
    scenes = commands.add_parser("reference-scenes", help="write simulated pairs with their truth, for calib and check")
    scenes.add_argument("output", type=Path, help="the folder of scenes to write")
    scenes.add_argument("--ratio", type=int, required=True, help="HR pixels per LR pixel")
    scenes.add_argument("--split", choices=("train", "validation", "test"), default="test", help="(%(default)s)")
    scenes.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    scenes.set_defaults(run=_reference_scenes)


def _add_accuracy(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score a published recipe as its paper does, beside its table")
    evaluate.add_argument("recipe", type=Path, help="a YAML file, such as export/recipes/pzres-cave-x8.yaml")
    evaluate.add_argument("--bundle", type=Path, help="score this bundle; by default the weights of the recipe's run")
    evaluate.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    evaluate.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs (%(default)s)")
    evaluate.set_defaults(run=_evaluate)
    compare = commands.add_parser("compare", help="score and time bundles beside bicubic and regression")
    _add_bundles(compare, "folder for accuracy.md and accuracy.json")
    compare.add_argument("--update", action="store_true", help="put the scores into manifests and report/ folders")
    compare.set_defaults(run=_compare)
    figures = commands.add_parser("figures", help="draw results, error maps and spectra of the test scenes")
    _add_bundles(figures, "folder for scenes.md and figures/", required=True)
    figures.set_defaults(run=_figures)
    redegrade = commands.add_parser("redegrade", help="degrade outputs of real pairs again, beside the sensors' noise")
    _add_bundles(redegrade, "folder for redegradation.md and figures/", required=True)
    redegrade.set_defaults(run=_redegrade)


def _add_sensors(commands: Commands) -> None:
    registration = commands.add_parser("registration", help="register real and simulated pairs, beside their truth")
    registration.add_argument("bundles", type=Path, nargs="*", default=FUSION, metavar="BUNDLE", help=FUSION_HELP)
    registration.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    registration.add_argument("-o", "--output", type=Path, required=True, help="folder for registration-table.md")
    registration.set_defaults(run=_registration)
    sensors = commands.add_parser("sensors", help="draw real recordings through demosaicing, radiometry, registration")
    sensors.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    sensors.add_argument("-o", "--output", type=Path, required=True, help="folder for sensors-tried.md and figures/")
    sensors.set_defaults(run=_sensors)


def _add_cost(commands: Commands) -> None:
    counts = commands.add_parser("counts", help="print the networks' parameters and costs beside the papers'")
    counts.set_defaults(run=_counts)
    eager = commands.add_parser("eager", help="time the torch network on a whole frame; prints JSON")
    eager.add_argument("--bands", type=int, default=31, help="of the HSI (%(default)s)")
    eager.add_argument("--msi-bands", type=int, default=3, help="(%(default)s)")
    eager.add_argument("--side", type=int, default=512, help="of the frame, in HR pixels (%(default)s)")
    eager.add_argument("--repeats", type=int, default=3, help="timed passes (%(default)s)")
    eager.add_argument("--compiled", action="store_true", help="through torch.compile")
    eager.set_defaults(run=_eager)


def _add_bundles(parser: argparse.ArgumentParser, output: str, *, required: bool = False) -> None:
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="folders or .zip files")
    parser.add_argument("--data", type=Path, default=DATA, help="research data folder (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=required, help=output)


def _train(arguments: argparse.Namespace) -> None:
    from export.recipe import read_recipe
    from export.train import train

    print(train(read_recipe(arguments.recipe), arguments.data, arguments.runs))


def _pack(arguments: argparse.Namespace) -> None:
    from export.pack import at_ratio, pack, trained_network
    from export.recipe import read_recipe

    recipe = read_recipe(arguments.recipe)
    recipe = recipe if arguments.ratio is None else at_ratio(recipe, arguments.ratio)
    data = arguments.data if arguments.data.is_dir() else None
    if data is None:
        print(f"no research data in {arguments.data}: BF16 is not measured, and so not allowed", file=sys.stderr)
    network = trained_network(recipe, arguments.runs)
    bundle = pack(recipe, network, arguments.output, name=arguments.name, data=data)
    print(bundle.path)


def _pack_graphless(arguments: argparse.Namespace) -> None:
    from export.pack import pack_graphless

    print(pack_graphless(arguments.network, arguments.ratio, arguments.output).path)


def _evaluate(arguments: argparse.Namespace) -> None:
    from export.paper_evaluation import evaluate, paper_table
    from export.recipe import read_recipe

    recipe = read_recipe(arguments.recipe)
    scenes = []
    for name, scores in evaluate(recipe, arguments.data, runs=arguments.runs, bundle=arguments.bundle):
        print(
            ", ".join(f"{name}: {method} {score['psnr_db']:.2f} dB" for method, score in scores.items()),
            file=sys.stderr,
        )
        scenes.append(scores)
    print(paper_table(recipe, scenes))


def _compare(arguments: argparse.Namespace) -> None:
    from export.accuracy import of_bundle, store_accuracy
    from export.accuracy_page import accuracy_markdown, write_accuracy
    from export.compare import compare_bundles

    machine = _machine(("numpy", "openvino", "scipy"))
    comparison = compare_bundles(arguments.bundles, arguments.data)
    print(accuracy_markdown(comparison, machine))
    if arguments.output:
        write_accuracy(arguments.output, comparison, machine)
    for bundle in arguments.bundles if arguments.update else ():
        store_accuracy(bundle, comparison)
        write_accuracy(bundle / "report", of_bundle(comparison, bundle), machine)


def _figures(arguments: argparse.Namespace) -> None:
    from export.figures import draw_scenes, write_scenes

    files = draw_scenes(arguments.bundles, arguments.data, arguments.output)
    write_scenes(arguments.output, files, _machine(("numpy", "openvino", "matplotlib")))
    print(*files, sep="\n")


def _redegrade(arguments: argparse.Namespace) -> None:
    from export.redegradation import redegrade
    from export.redegradation_page import write_redegradation

    machine = _machine(("numpy", "openvino", "scipy", "matplotlib"))
    files = write_redegradation(arguments.output, list(redegrade(arguments.bundles, arguments.data)), machine)
    print(*files, sep="\n")


def _registration(arguments: argparse.Namespace) -> None:
    from export.registration import measure_registration
    from export.registration_table import write_registration

    machine = _machine(("numpy", "opencv-python", "openvino", "scipy"))
    write_registration(arguments.output, measure_registration(arguments.bundles, arguments.data), machine)
    print(arguments.output / "registration-table.md")


def _reference_scenes(arguments: argparse.Namespace) -> None:
    from export.reference_scenes import write_reference_scenes

    for folder in write_reference_scenes(arguments.output, arguments.data, arguments.ratio, arguments.split):
        print(folder)


def _sensors(arguments: argparse.Namespace) -> None:
    from export.sensor_figures import draw_sensors

    machine = _machine(("numpy", "opencv-python", "matplotlib"))
    print(*draw_sensors(arguments.data, arguments.output, machine), sep="\n")


def _machine(packages: Sequence[str]) -> dict[str, str]:
    """What a measurement is kept with: the command, the machine and the versions."""
    return {"command": f"python -m export {shlex.join(sys.argv[1:])}", **machine_facts(packages)}


def _counts(_arguments: argparse.Namespace) -> None:
    from export.counts_table import counts_markdown

    print(counts_markdown())


def _eager(arguments: argparse.Namespace) -> None:
    from export.eager import run_eager

    run = run_eager(
        arguments.bands, arguments.msi_bands, arguments.side, arguments.repeats, compiled=arguments.compiled
    )
    print(json.dumps(dataclasses.asdict(run)))
