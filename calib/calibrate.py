"""The whole job: a bundle and scenes in, the same bundle with a graph of another precision out, or a refusal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calib.gate import Gate, Narrow
from calib.judge import Judge
from calib.runner import Graphs, Runner, form_names, openvino
from calib.search import Outcome, Search
from calib.sensitivity import Say
from calib.tiles import choose
from hsi_edge.bundle import Bundle, update_bundle, write_bundle
from hsi_edge.errors import InputError, OutputError
from hsi_edge.manifest import Calibration, Graph, Manifest
from hsi_edge.scenes import read_scenes


def calibrate(
    path: Path, precision: Narrow, scenes: Path, gate: Gate, *, output: Path | None = None, say: Say
) -> Outcome:
    """Make a graph of a precision that passes its gate, and put it into the bundle; nothing is written before.

    Args:
        path: The bundle; not changed if there is an `output`.
        precision: To make.
        scenes: The folder of reference scenes (`hsi_edge.scenes`).
        gate: To pass.
        output: Folder for a bundle of its own.
        say: Takes lines of progress.

    Raises:
        InputError: The scenes do not fit, or there is nothing to calibrate.
        CalibrationError: No graph passes the gate.
        OutputError: The bundle cannot be written there.
    """
    bundle = Bundle.open(path)
    target = output or path
    _check_target(target)
    outcome = find_graph(bundle, precision, scenes, gate, say=say)
    manifest = with_calibration(bundle.manifest, outcome)
    files = {name: outcome.graphs[form] for form, name in form_names(manifest.graphs[precision]).items()}
    if target.absolute() == path.absolute():
        update_bundle(path, manifest, files)
    else:
        kept = {name: bundle.read_bytes(name) for name in bundle.manifest.files}
        write_bundle(target, manifest, kept | files)
    return outcome


def find_graph(bundle: Bundle, precision: Narrow, scenes: Path, gate: Gate, *, say: Say) -> Outcome:
    """Make and judge graphs until one passes its gate.

    Raises:
        InputError: The scenes do not fit, or there is nothing to calibrate.
        CalibrationError: No graph passes the gate.
    """
    manifest = bundle.manifest
    if not manifest.graphs:
        raise InputError(f"the model {manifest.name} has no graph, so there is nothing to calibrate")
    fp32: Graphs = {form: bundle.read_bytes(name) for form, name in form_names(manifest.graphs["fp32"]).items()}
    runner = Runner(manifest, fp32, openvino)
    chosen = choose(manifest, read_scenes(scenes, manifest), runner.measure)
    say(f"{manifest.name}: {len(chosen.calibration)} tiles to calibrate with, {chosen.held_out_tiles} to judge on")
    if all(frame.truth is None for frame in chosen.held_out):
        say("no held-out scene has a truth (hr_hsi): the gate judges against FP32 alone")
    judge = Judge(chosen.held_out, runner)
    return Search(manifest, precision, fp32, chosen=chosen, judge=judge, gate=gate, say=say).run()


def with_calibration(manifest: Manifest, outcome: Outcome) -> Manifest:
    """The manifest with the new graphs and what is known of them."""
    precision, scores, truth = outcome.precision, outcome.scores, outcome.scores.truth
    given = f"{precision}-given.onnx" if "given" in outcome.graphs else None
    calibration = Calibration(
        method=outcome.method,
        tiles=len(outcome.chosen.calibration),
        tiles_sha256=outcome.chosen.sha256,
        held_out=outcome.chosen.held_out_tiles,
        psnr_db=round(scores.psnr_db, 3),
        psnr_loss_db=None if truth is None else round(truth.psnr_loss_db, 4),
        sam_change_percent=None if truth is None else round(truth.sam_change_percent, 3),
        sam_p95_change_percent=None if truth is None else round(truth.sam_p95_change_percent, 3),
        worst_band_rmse=round(scores.worst_band_rmse, 7),
        float_layers=outcome.wider,
    )
    return replace(
        manifest,
        graphs={**manifest.graphs, precision: Graph(whole=f"{precision}.onnx", given=given)},
        calibration={**manifest.calibration, precision: calibration},
    )


def _check_target(target: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if target.suffix == ".zip":
        raise InputError(f"{target} is a .zip file, which takes no report; unpack it, or give a folder with -o")
    if not target.absolute().parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist; create it first")
    if target.exists():
        Bundle.open(target)
