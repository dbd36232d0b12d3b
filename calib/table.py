"""The precisions of many bundles side by side, on scenes that took no part in making them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calib.fp16 import fp32_by_rule
from calib.gate import DEFAULT_GATES, Narrow, failures
from calib.int8 import float_by_rule
from calib.judge import Judge, Scores
from calib.report import ARITHMETIC, HEADER, NOTES, WIDER, fp32_row, plain_scores, score_row
from calib.runner import Compile, Graphs, Runner, form_names, half_arithmetic, has_bf16, openvino, openvino_bf16
from calib.search import words
from calib.sensitivity import Say
from calib.tiles import HeldOutFrame, frames_to_judge
from hsi_edge.bundle import Bundle
from hsi_edge.errors import OutputError
from hsi_edge.manifest import GraphPrecision, Manifest
from hsi_edge.report.measured import facts, table, write_measured
from hsi_edge.scenes import read_scenes

NAME = "precision"
GATES = """\
The verdict is the default gate's on these scenes. Each graph passed the gate of its own bundle on other scenes, when it
was made; "not offered" is a precision that the bundle does not carry."""
NARROW: Mapping[Narrow, Compile] = {"fp16": half_arithmetic, "int8": openvino}


def tabulate(bundles: Sequence[Path], scenes: Path, folder: Path, machine: Mapping[str, str], say: Say) -> str:
    """Score every bundle's graphs and write `precision.md` and `precision.json` after each.

    What is in those files stays, unless it is of a bundle that is measured anew; a bundle is left out where neither it
    nor the scenes changed. So an interrupted run goes on, and bundles of other ratios come with scenes of their own.

    Returns:
        The Markdown.

    Raises:
        InputError: The scenes do not fit a bundle.
        OutputError: The folder holds another `precision.json`, or cannot be written.
    """
    known = _known(folder / f"{NAME}.json")
    for path in bundles:
        bundle = Bundle.open(path)
        name = bundle.manifest.name
        if not bundle.manifest.graphs:
            say(f"{name} has no graph, so it has one precision alone")
            continue
        frames = frames_to_judge(bundle.manifest, read_scenes(scenes, bundle.manifest))
        key = _key(bundle, frames)
        if known.get(name, {}).get("key") == key:
            say(f"{name} is in the table already")
            continue
        known[name] = {"key": key, "machine": dict(machine), **_measured(bundle, frames, say)}
        known = dict(sorted(known.items()))
        write_measured(folder, NAME, table_markdown(known), known)
    return table_markdown(known)


def table_markdown(bundles: Mapping[str, Mapping[str, Any]]) -> str:
    """One table of all bundles, then what each was judged on and which layers were put back."""
    rows = [[name, *row["cells"], row["verdict"]] for name, entry in bundles.items() for row in entry["rows"]]
    parts = ["# Precision", NOTES, facts({name.upper(): how for name, how in ARITHMETIC.items()}), GATES]
    parts.append(table(["bundle", *HEADER, "gate"], rows, words=2))
    for name, entry in bundles.items():
        parts += [f"## {name}", f"On {', '.join(entry['scenes'])}."]
        parts += [line for row in entry["rows"] for line in row["notes"]]
        parts.append(facts({key: entry["machine"].get(key, "") for key in ("cpu", "openvino", "onnxruntime", "date")}))
    return "\n\n".join(parts)


def _measured(bundle: Bundle, frames: Sequence[HeldOutFrame], say: Say) -> dict[str, Any]:
    manifest = bundle.manifest
    fp32 = _graphs(bundle, "fp32")
    judge = Judge(frames, Runner(manifest, fp32, openvino))
    truth = judge.fp32_truth
    cells = fp32_row(truth) if truth else ["FP32", *[""] * (len(HEADER) - 1)]
    rows: list[dict[str, Any]] = [{"precision": "fp32", "cells": cells, "verdict": "", "notes": []}]
    for precision, compile_graph in NARROW.items():
        if precision not in manifest.graphs:
            missing = [precision.upper(), *[""] * (len(HEADER) - 1)]
            rows.append({"precision": precision, "cells": missing, "verdict": "not offered", "notes": []})
            continue
        graphs = _graphs(bundle, precision)
        ways = {precision.upper(): compile_graph}
        if precision == "int8" and has_bf16():
            ways["INT8, the rest in BF16"] = openvino_bf16
        for label, way in ways.items():
            scores = judge.scores(Runner(manifest, graphs, way))
            say(f"{manifest.name}, {label}: {words(scores)}")
            rows.append(_row(precision, label, scores))
        rows[-1]["notes"] += [_put_back(manifest, precision, fp32)]
    return {"scenes": [frame.scene for frame in frames], "rows": rows}


def _row(precision: Narrow, label: str, scores: Scores) -> dict[str, Any]:
    failed = failures(DEFAULT_GATES[precision], scores)
    return {
        "precision": precision,
        "cells": score_row(label, scores),
        "verdict": "fails" if failed else "passes",
        "notes": [f"{label} fails on these scenes: {'; '.join(failed)}."] if failed else [],
        "scores": plain_scores(scores),
    }


def _put_back(manifest: Manifest, precision: Narrow, fp32: Graphs) -> str:
    """Which layers are wider than the rules ask for, in words."""
    calibration = manifest.calibration[precision]
    rule = fp32_by_rule if precision == "fp16" else float_by_rule
    by_rule = {layer for graph in fp32.values() for layer in rule(graph)}
    back = [layer for layer in calibration.float_layers if layer not in by_rule]
    what = "no layer was put back"
    if back:
        what = f"put back to {WIDER[precision]}, as it failed without: {', '.join(back)}"
    return f"{precision.upper()} ({calibration.method}): {what}."


def _graphs(bundle: Bundle, precision: GraphPrecision) -> Graphs:
    return {form: bundle.read_bytes(name) for form, name in form_names(bundle.manifest.graphs[precision]).items()}


def _key(bundle: Bundle, frames: Sequence[HeldOutFrame]) -> str:
    digest = hashlib.sha256(bundle.fingerprint.encode())
    for frame in frames:
        digest.update(frame.sha256.encode())
    return digest.hexdigest()


def _known(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if all({"key", "rows", "scenes", "machine"} <= entry.keys() for entry in known.values()):
            return dict(known)
    except (OSError, ValueError, AttributeError) as err:
        raise OutputError(f"{path} cannot be read ({err}); remove it, or choose another folder") from err
    raise OutputError(f"{path} is not a table of precisions; remove it, or choose another folder")
