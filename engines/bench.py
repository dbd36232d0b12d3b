"""The benchmark: speed and memory of a bundle beside torch and bare OpenVINO, against the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from engines.processes import Processes
from engines.verdicts import Target
from hsi_edge.backends import ENGINE_BACKENDS, graph_precision
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError
from hsi_edge.gpu import find_device
from hsi_edge.machine import cpu_features
from hsi_edge.manifest import Manifest

SIDE = 512
"""Of the frame that all rows compute, in HR pixels."""
LARGE = 1024, 4096
"""Of frames that are compared, in HR pixels: 16 times the pixels should take 16 times the time, in no more memory."""
TORCH, COMPILED = "torch eager, whole frame, FP32", "torch.compile, whole frame, FP32"
PRECISIONS = ("fp32", "bf16", "int8")
ENGINE = {precision: f"HSIEngine, {precision.upper()}" for precision in PRECISIONS}
BARE = {precision: f"bare OpenVINO, same inferences, {precision.upper()}" for precision in PRECISIONS}
OTHERS = tuple(("onnxruntime", precision) for precision in ("fp32", "int8"))
"""Backends and precisions beside those of the default backend."""
GPU_ENGINES = tuple((backend, precision) for backend in ENGINE_BACKENDS for precision in ("fp32", "fp16", "int8"))
NO_GPU = f"HSIEngine, {' and '.join(ENGINE_BACKENDS)}"
ORT_CUDA = "bare ONNX Runtime on CUDA, whole frame, FP32"
LEAST_INT8_GAIN = 1.2
_IMPORT = """
import time
start = time.perf_counter_ns()
from hsi_edge import HSIEngine
print((time.perf_counter_ns() - start) / 1e9)
"""


@dataclass
class Row:
    """What one way of computing the frame took.

    Attributes:
        name: As the table calls it.
        seconds: The median of every round's process.
        peak_bytes: The most that a round's process held, per round.
        growth_bytes: The same, less what it held with imports and inputs made.
        loss_db: PSNR that its precision loses to FP32, as the bundle's gate measured it; None where that is not known.
        note: Why it has no numbers; or what the engine chose.
    """

    name: str
    loss_db: float | None = None
    seconds: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    growth_bytes: list[int] = field(default_factory=list)
    note: str = ""

    def add(self, result: dict[str, Any]) -> None:
        """Take over a process's result, or why it failed."""
        if "error" in result:
            self.note = result["error"]
            return
        self.seconds.append(median(result["seconds"]))
        self.peak_bytes.append(result["peak_bytes"])
        self.growth_bytes.append(result["growth_bytes"])
        if "n_tiles" in result:
            self.note = _tiles(result)


@dataclass(frozen=True)
class Bench:
    """Everything that one benchmark measured.

    Attributes:
        rows: The ways of computing the frame.
        targets: What was wanted, beside what was measured.
        raw: All results of all processes, by name.
    """

    rows: tuple[Row, ...]
    targets: tuple[Target, ...]
    raw: dict[str, Any]


def run_bench(bundle: Path, *, quick: bool, say: Callable[[str], None]) -> Bench:
    """Measure a bundle; several minutes, or about one with `quick`.

    Args:
        bundle: Of a model with a graph; the regression's bundle of its ratio is looked for beside it.
        quick: One round instead of three, and the large frame by the regression alone.
        say: Called with a line about each step.

    Raises:
        InputError: If the model has no graph.
        ManifestError: If the bundle is damaged.
    """
    manifest = Bundle.open(bundle).manifest
    if not manifest.graphs:
        raise InputError(f"{bundle} has no graph, so there is nothing to compare; give a network's bundle")
    path = str(bundle.resolve())
    with TemporaryDirectory() as cache:
        processes = Processes(Path(cache), say)
        first = processes.job("first opening", "open_bundle", {"bundle": path})
        targets = list(_starts(processes, path, first))
        pairs = _against_bare(processes, path, repeats=3 if quick else 9)
        rows = _frame_rows(processes, path, manifest, pairs, rounds=1 if quick else 3)
        targets = [*_speed(rows), _int8_gain(rows), *_overheads(pairs), *_on_gpu(processes, path), *targets]
        regression = bundle.resolve().with_name(f"regression-x{manifest.ratio}")
        for large in (str(regression),) if quick else (str(regression), path):
            targets += _large(processes, large)
    return Bench(tuple(rows.values()), tuple(targets), processes.raw)


def _frame_rows(
    processes: Processes, path: str, manifest: Manifest, pairs: dict[str, dict[str, Any]], rounds: int
) -> dict[str, Row]:
    """Every row in every round, so that a change of the machine's speed meets all of them."""
    rows = {name: Row(name) for name in (TORCH, COMPILED)}
    for precision in PRECISIONS:
        loss_db = _loss_db(manifest, precision)
        rows |= {name: Row(name, loss_db) for name in (ENGINE[precision], BARE[precision])}
    device, why_none = find_device()
    others = OTHERS if device is None else (*OTHERS, *GPU_ENGINES)
    rows |= {_other(*other): Row(_other(*other), _loss_db(manifest, other[1])) for other in others}
    if device is None:
        rows[NO_GPU] = Row(NO_GPU, note=why_none)
    rows[ORT_CUDA] = Row(ORT_CUDA)
    eager = ["-m", "export", "eager", "--bands", str(manifest.n_bands), "--msi-bands", str(manifest.msi.bands)]
    eager += ["--side", str(SIDE), "--repeats", "1"]
    frame = {"bundle": path, "side": SIDE, "repeats": 3}
    for _ in range(rounds):
        rows[TORCH].add(processes.run(TORCH, eager))
        rows[COMPILED].add(processes.run(COMPILED, [*eager, "--compiled"]))
        for precision in PRECISIONS:
            name = ENGINE[precision]
            arguments = {**frame, "backend": "openvino", "precision": precision}
            rows[name].add(processes.job(name, "run_engine", arguments))
            rows[BARE[precision]].add(_bare(processes, path, precision, pairs[precision]))
        for backend, precision in others:
            name, arguments = _other(backend, precision), {**frame, "backend": backend, "precision": precision}
            rows[name].add(processes.job(name, "run_engine", arguments))
        rows[ORT_CUDA].add(processes.job(ORT_CUDA, "run_onnxruntime_cuda", frame))
    return rows


def _other(backend: str, precision: str) -> str:
    return f"HSIEngine, {backend}, {precision.upper()}"


def _loss_db(manifest: Manifest, precision: str) -> float | None:
    if precision == "bf16":
        return manifest.precision.bf16_psnr_loss_db
    calibration = manifest.calibration.get(graph_precision(precision))
    return 0.0 if precision == "fp32" else None if calibration is None else calibration.psnr_loss_db


def _bare(processes: Processes, path: str, precision: str, pair: dict[str, Any]) -> dict[str, Any]:
    if "error" in pair:
        return pair
    arguments = {"bundle": path, "inferences": pair["inferences"], "precision": precision, "repeats": 3}
    return processes.job(BARE[precision], "run_bare", arguments)


def _against_bare(processes: Processes, path: str, repeats: int) -> dict[str, dict[str, Any]]:
    pairs = {}
    for precision in PRECISIONS:
        title = f"engine and bare OpenVINO turn by turn, {precision.upper()}"
        arguments = {"bundle": path, "side": SIDE, "precision": precision, "repeats": repeats}
        pairs[precision] = processes.job(title, "compare_with_bare", arguments)
    return pairs


def _starts(processes: Processes, path: str, first: dict[str, Any]) -> Iterator[Target]:
    imports = [processes.run("import of HSIEngine", ["-c", _IMPORT]) for _ in range(5)]
    openings = [processes.job("later opening", "open_bundle", {"bundle": path}) for _ in range(5)]
    for name, limit, results in (
        ("import of HSIEngine", 0.3, imports),
        ("opening after the first time", 1.5, openings),
    ):
        seconds = [second for result in results for second in result.get("seconds", [])]
        measured = median(seconds) if seconds else None
        note = f"best {min(seconds):.2f} of {len(seconds)} fresh processes" if seconds else results[0]["error"]
        yield Target(name, measured, "s", at_most=limit, note=note)
    yield Target("first opening (golden replay, tile measured)", first.get("seconds", [None])[0], "s")


def _speed(rows: dict[str, Row]) -> Iterator[Target]:
    torch = rows[TORCH]
    matrix_units = "amx_bf16" in cpu_features()
    for precision, limit in (("fp32", 4.0), ("bf16", 8.0 if matrix_units else None)):
        row, words = rows[ENGINE[precision]], precision.upper()
        faster = _ratio(torch.seconds, row.seconds)
        note = _why(torch, row) or ("" if limit else "at least 8 is wanted of a CPU with BF16 matrix units (amx_bf16)")
        yield Target(f"{words}: times faster than torch eager", faster, "x", at_least=limit, note=note)
        for what, ours, theirs in (
            ("the process", row.peak_bytes, torch.peak_bytes),
            ("growth over imports and inputs", row.growth_bytes, torch.growth_bytes),
        ):
            share = _ratio(ours, theirs)
            yield Target(f"{words}: peak memory of torch's, {what}", share, "x", at_most=1 / 6, note=_why(torch, row))


def _int8_gain(rows: dict[str, Row]) -> Target:
    int8, bf16 = rows[ENGINE["int8"]], rows[ENGINE["bf16"]]
    name = "INT8 beside BF16: times faster than BF16"
    return Target(name, _ratio(bf16.seconds, int8.seconds), "x", at_least=LEAST_INT8_GAIN, note=_why(int8, bf16))


def _overheads(pairs: dict[str, dict[str, Any]]) -> Iterator[Target]:
    for precision, pair in pairs.items():
        seconds = pair.get("seconds", {})
        for bare, what in (("bare", "all the same inferences"), ("tiles", "those of the tiles alone")):
            ratio = _ratio(seconds.get("engine", []), seconds.get(bare, []))
            percent = None if ratio is None else 100 * (ratio - 1)
            name = f"{precision.upper()}: slower than bare OpenVINO, {what}"
            yield Target(name, percent, "%", at_most=3.0, note=pair.get("error", ""))


def _on_gpu(processes: Processes, path: str) -> Iterator[Target]:
    """What the runtime adds to a GPU's engine, and what a CUDA graph takes off it."""
    device, why_none = find_device()
    if device is None:
        yield Target("on a GPU: slower than the bare engine", None, "%", at_most=5.0, note=why_none)
        yield Target("on a GPU: gain of a CUDA graph", None, "x", note=why_none)
        return
    for backend, precision in GPU_ENGINES:
        name = f"{backend}, {precision.upper()}"
        arguments = {"bundle": path, "side": SIDE, "backend": backend, "precision": precision, "repeats": 50}
        result = processes.job(f"{name}: bare engine turn by turn", "compare_with_bare_engine", arguments)
        seconds, note = result.get("seconds", {}), result.get("error", "")
        slower = _ratio(seconds.get("engine", []), seconds.get("bare", []))
        percent = None if slower is None else 100 * (slower - 1)
        yield Target(f"{name}: slower than its bare engine", percent, "%", at_most=5.0, note=note)
        gain = _ratio(seconds.get("bare", []), seconds.get("captured", []))
        yield Target(f"{name}: gain of a CUDA graph", gain, "x", note=note or result["refused"])


def _large(processes: Processes, path: str) -> Iterator[Target]:
    name = Path(path).name
    small, large = (
        processes.job(f"{side} x {side}, {name}", "run_frame", {"bundle": path, "side": side, "repeats": 3})
        for side in LARGE
    )
    note = large.get("error") or f"{_tiles(large)}, {large['precision']}"
    seconds = [[median(result["seconds"])] if "seconds" in result else [] for result in (large, small)]
    growth, ratio = large.get("growth_bytes"), _ratio(*seconds)
    megabytes = None if growth is None else growth / 1e6
    yield Target(f"{name}: 4096 x 4096, memory beyond the arrays", megabytes, "MB", at_most=300.0, note=note)
    yield Target(f"{name}: 4096 x 4096, times as long as 1024 x 1024", ratio, "x", at_most=16.5)


def _tiles(result: dict[str, Any]) -> str:
    rows, cols = result["tile"]
    statistics = f", statistics {result['statistics']}" if result["statistics"] else ""
    return f"{result['n_tiles']} tiles of {rows} x {cols}{statistics}"


def _ratio(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Median of the ratios of what was measured side by side."""
    return median(a / b for a, b in zip(one, other, strict=True)) if one and len(one) == len(other) else None


def _why(*rows: Row) -> str:
    """Why rows have no numbers."""
    return "; ".join(row.note for row in rows if not row.seconds)
