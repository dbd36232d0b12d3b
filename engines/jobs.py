"""What the benchmark measures, each job in a process of its own, so that its memory is its own.

`python -m engines.jobs JOB JSON` runs one job with the arguments in JSON, and prints its result as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engines.bare_engine import bare_engine
from engines.inferences import Inference, bare_loop, recorded_inferences
from engines.synthetic_pair import synthetic_pair
from hsi_edge import HSIEngine
from hsi_edge.backends import BACKENDS, is_engine_backend
from hsi_edge.bundle import Bundle
from hsi_edge.errors import HSIEdgeError, InputError, require
from hsi_edge.inputs import check_inputs
from hsi_edge.machine import forget_peak, peak_resident_bytes, resident_bytes
from hsi_edge.manifest import Manifest
from hsi_edge.opening import open_network
from hsi_edge.preparation import prepare_frame

Result = dict[str, Any]
REPORTED = ("backend", "precision", "device", "tile", "n_tiles", "statistics", "planned_bytes", "planned_gpu_bytes")
"""What a run's report tells of how it was made."""


def open_bundle(bundle: str) -> Result:
    """Seconds to open a bundle, the import of the backend's package included."""
    start = time.perf_counter_ns()
    with HSIEngine(bundle):
        return {"seconds": [_seconds_since(start)]}


def run_engine(bundle: str, side: int, backend: str, precision: str, repeats: int) -> Result:
    """Time `HSIEngine.run` on a frame."""
    manifest = Bundle.open(bundle).manifest
    _import_backend(manifest, backend)
    pair = synthetic_pair(manifest, side)
    before = _held()
    with HSIEngine(bundle, backend=backend, precision=precision, build=is_engine_backend(backend)) as engine:
        engine.run(*pair)
        seconds = _timed(lambda: engine.run(*pair), repeats)
        report = engine.report
    facts = {"tile": report.tile, "n_tiles": report.n_tiles, "statistics": report.statistics, "device": report.device}
    return {"seconds": seconds, **_memory(before), **facts}


def run_bare(bundle: str, inferences: list[Any], precision: str, repeats: int) -> Result:
    """Time bare OpenVINO on the inferences that an engine makes for a frame."""
    require("openvino", feature="the benchmark", extra="all")
    before = _held()
    loop = bare_loop(Bundle.open(bundle), [Inference.from_plain(plain) for plain in inferences], precision)
    loop()
    return {"seconds": _timed(loop, repeats), **_memory(before)}


def run_onnxruntime_cuda(bundle: str, side: int, repeats: int) -> Result:
    """Time ONNX Runtime on a GPU, copies included, on a whole frame's images."""
    runtime = require("onnxruntime", feature="the benchmark", extra="all")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise InputError("this onnxruntime has no CUDA provider (package onnxruntime-gpu)")
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    frame = prepare_frame(manifest, check_inputs(manifest, *synthetic_pair(manifest, side), resample=False))
    inputs = {name: image[None] for name, image in frame.window(frame.grid).images.items()}
    graph = opened.read_bytes(manifest.graphs["fp32"].whole)
    before = _held()
    session = runtime.InferenceSession(graph, providers=["CUDAExecutionProvider"])
    session.run(None, inputs)
    return {"seconds": _timed(lambda: session.run(None, inputs), repeats), **_memory(before)}


def compare_with_bare(bundle: str, side: int, precision: str, repeats: int) -> Result:
    """Time the engine and bare OpenVINO turn by turn: on all its inferences, and on those of the tiles alone."""
    opened = Bundle.open(bundle)
    pair = synthetic_pair(opened.manifest, side)
    inferences = recorded_inferences(bundle, precision, pair)
    tiles = [one for one in inferences if one == inferences[-1]]
    with HSIEngine(bundle, backend="openvino", precision=precision) as engine:
        runs: dict[str, Callable[[], object]] = {
            "engine": lambda: engine.run(*pair),
            "bare": bare_loop(opened, inferences, precision),
            "tiles": bare_loop(opened, tiles, precision),
        }
        seconds = _interleaved(runs, repeats)
    return {"seconds": seconds, "inferences": [one.plain() for one in inferences], "n_tiles": len(tiles)}


def compare_with_bare_engine(bundle: str, side: int, backend: str, precision: str, repeats: int) -> Result:
    """Time a GPU's engine turn by turn: a whole frame by `HSIEngine`, and its tiles' runs alone, plain and captured."""
    pair = synthetic_pair(Bundle.open(bundle).manifest, side)
    opened = open_network(Bundle.open(bundle), backend, precision, 1 << 30, build=True)
    assert opened.pipeline is not None
    assert opened.cuda is not None
    with HSIEngine(bundle, backend=backend, precision=precision) as engine:
        engine.run(*pair)
        bare = bare_engine(opened.pipeline.engine, opened.cuda, engine.report.n_tiles)
        runs: dict[str, Callable[[], object]] = {"engine": lambda: engine.run(*pair), "bare": bare.run}
        if bare.run_captured is not None:
            runs["captured"] = bare.run_captured
        seconds = _interleaved(runs, repeats)
        n_tiles = engine.report.n_tiles
    opened.close()
    return {"seconds": seconds, "n_tiles": n_tiles, "refused": bare.refused}


def run_frame(bundle: str, side: int, repeats: int, backend: str | None = None, precision: str | None = None) -> Result:
    """Time a frame's first run and later ones, and tell the memory that they take beyond the inputs and the output.

    What is not counted is held before: the interpreter, the imports, the inputs and the output array.
    """
    manifest = Bundle.open(bundle).manifest
    _import_backend(manifest, backend or "openvino")
    pair = synthetic_pair(manifest, side)
    out = np.ones((side, side, pair[0].shape[2]), np.float32)
    before = _held()
    build = backend is not None and is_engine_backend(backend)
    with HSIEngine(bundle, backend=backend, precision=precision, build=build) as engine:
        (first_s,) = _timed(lambda: engine.run(*pair, out=out), 1)
        seconds = _timed(lambda: engine.run(*pair, out=out), repeats)
        report, memory = engine.report, _memory(before)
    arrays = sum(array.nbytes for array in (*pair, out))
    ran = {name: getattr(report, name) for name in REPORTED}
    prepare_s = report.timings_ms["prepare"] / 1e3
    return {"first_s": first_s, "seconds": seconds, "prepare_s": prepare_s, "array_bytes": arrays, **memory, **ran}


def _import_backend(manifest: Manifest, backend: str) -> None:
    # The package's own size is no part of what a frame takes.
    if manifest.graphs and backend in BACKENDS:
        require(backend, feature="the benchmark", extra="all")


def _timed(run: Callable[[], object], repeats: int) -> list[float]:
    return _interleaved({"run": run}, repeats, warm=False)["run"]


def _interleaved(runs: dict[str, Callable[[], object]], repeats: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every run; turns alternate in direction, so that a drift of the machine meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values() if warm else ():
        run()
    for turn in range(repeats):
        for name in list(runs)[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter_ns()
            runs[name]()
            seconds[name].append(_seconds_since(start))
    return seconds


def _seconds_since(start_ns: int) -> float:
    return (time.perf_counter_ns() - start_ns) / 1e9


def _held() -> int:
    """What this process holds; what it held while its inputs were made is forgotten."""
    forget_peak()
    return resident_bytes()


def _memory(before: int) -> Result:
    peak = peak_resident_bytes()
    return {"peak_bytes": peak, "growth_bytes": peak - before}


JOBS: dict[str, Callable[..., Result]] = {
    job.__name__: job
    for job in (
        open_bundle,
        run_engine,
        run_bare,
        run_onnxruntime_cuda,
        compare_with_bare,
        compare_with_bare_engine,
        run_frame,
    )
}


def main(arguments: Sequence[str]) -> int:
    """Run the job; 1 with a line on stderr where it fails."""
    name, values = arguments
    try:
        print(json.dumps(JOBS[name](**json.loads(values))))
    except HSIEdgeError as err:
        print(err, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
