"""Predicted frame times as text: what was assumed, how each target compares, and how far off it is on this machine."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engines.peaks import measure_peaks
from engines.roofline import EFFICIENCY, MEMORY_SHARE, ROOFLINE, Speeds, Work, plan_work
from engines.synthetic_pair import synthetic_pair
from engines.targets import Arithmetic, Figure, Target
from hsi_edge import HSIEngine
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError
from hsi_edge.report.measured import table, write_measured
from hsi_edge.run_report import RunReport

Frame = tuple[int, int]
REPEATS = 5

ASSUMPTIONS = f"""\
These are predictions, not measurements. Nothing here ran on the targets; measure with `hsi-edge check` before you
rely on a device.

- "No faster than" is the roofline: every layer takes the longer of its arithmetic at the device's peak (dense, without
  sparsity) and its traffic at the memory's bandwidth. "Expected" allows {EFFICIENCY.compute:.0%} of the peak and \
{EFFICIENCY.memory:.0%} of the bandwidth,
  and takes {EFFICIENCY.start_s * 1e6:g} microseconds to start each layer.
- Counted is the network alone, with the halos of its tiles and the pass that measures its statistics. Not counted:
  preparing the frame, copies between host and device, stitching.
- Activations, concatenations and additions are fused with the layer before them; every other layer reads its inputs
  from memory and writes its output there. Caches are not modelled: on a CPU small tiles stay in them, and traffic is
  less than counted.
- Tiles are chosen as the engine chooses them, with the roofline's seconds in place of measured ones, in \
{MEMORY_SHARE:.0%} of the
  device's memory.
- FP32 is counted without TF32. Peaks hold at the clock or power mode stated; a warm device is slower."""


@dataclass(frozen=True)
class Prediction:
    """One target and precision: milliseconds of a frame at the roofline and as expected, and how that comes about.

    Attributes:
        unconfirmed: The figures used that are from memory.
        modes_ms: As expected in the power modes whose clocks are known, beside the one that the peaks hold at.
    """

    target: str
    precision: Arithmetic
    assumed: bool
    tile_px: Frame
    n_tiles: int
    gmacs: float
    moved_mb: float
    roofline_ms: float
    expected_ms: float
    memory_bound_share: float
    unconfirmed: tuple[str, ...] = ()
    modes_ms: Mapping[str, float] = field(default_factory=dict)


def predict(bundle: Bundle, target: Target, frame_px: Frame, precision: Arithmetic) -> Prediction:
    """Predict one target.

    Raises:
        InputError: The target lacks the arithmetic, or the frame or model has no roofline.
        TilingError: Its memory holds no tile.
    """
    speeds = Speeds.of(target)
    work = plan_work(bundle, frame_px, precision, speeds, memory_bytes=target.memory_gb.value * 1e9)
    used = {"memory_gb_s": target.memory_gb_s, f"peaks.{precision}": target.peak(precision)}
    unconfirmed = tuple(name for name, figure in used.items() if figure is not None and not figure.confirmed)
    modes = {
        mode.name: work.seconds(speeds.slowed(mode.compute, mode.memory), EFFICIENCY) * 1e3
        for mode in target.power_modes
        if mode.compute is not None and mode.compute < 1
    }
    prediction = _prediction(target.name, precision, work, speeds, bundle.manifest.ratio)
    return replace(prediction, unconfirmed=unconfirmed, modes_ms=modes)


def predict_all(
    bundle: Bundle, targets: Sequence[Target], frame_px: Frame, precisions: Sequence[Arithmetic] | None
) -> list[Prediction]:
    """Predict every target in the given precisions, as far as it runs them; None is all that it runs.

    Raises:
        InputError: No target runs any of them, or the frame or model has no roofline.
        TilingError: A target's memory holds no tile.
    """
    pairs = [(one, precision) for one in targets for precision in one.runs if precision in (precisions or one.runs)]
    if not pairs:
        runs = "; ".join(f"{target.name}: {', '.join(target.runs)}" for target in targets)
        raise InputError(f"no figures for {' or '.join(precisions or ())} there; choose a --precision of {runs}")
    return [predict(bundle, target, frame_px, precision) for target, precision in pairs]


def _prediction(name: str, precision: Arithmetic, work: Work, speeds: Speeds, ratio: int) -> Prediction:
    return Prediction(
        target=name,
        precision=precision,
        assumed=work.assumed,
        tile_px=(work.tile_lr[0] * ratio, work.tile_lr[1] * ratio),
        n_tiles=work.n_tiles,
        gmacs=work.macs / 1e9,
        moved_mb=work.moved_bytes / 1e6,
        roofline_ms=work.seconds(speeds, ROOFLINE) * 1e3,
        expected_ms=work.seconds(speeds, EFFICIENCY) * 1e3,
        memory_bound_share=work.memory_bound_share(speeds),
    )


@dataclass(frozen=True)
class Measured:
    """This machine: what was predicted from its own peaks, measured now, and what the engine really took."""

    prediction: Prediction
    tflops: float
    copy_gb_s: float
    engine_ms: float


def measure(bundle: Bundle, frame_px: Frame, precision: Arithmetic = "fp32") -> Measured:
    """Run the engine on this machine's CPU, and predict the same tiles from peaks measured side by side.

    Raises:
        InputError: This machine's CPU does not compute in that precision, or the model's gate does not allow it.
    """
    if precision not in ("fp32", "bf16"):
        raise InputError(f"--measure compares fp32 and bf16 on this machine's CPU, not {precision}; leave it out")
    if frame_px[0] != frame_px[1]:
        raise InputError(f"--measure runs square frames; the frame is {frame_px[0]}x{frame_px[1]}")
    peaks = measure_peaks((precision, "fp32"))
    images = synthetic_pair(bundle.manifest, frame_px[0])[: 2 if bundle.manifest.task == "fusion" else 1]
    with HSIEngine(bundle.path, backend="openvino", precision=precision) as engine:
        reports = [_report(engine, images) for _ in range(1 + REPEATS)][1:]
    spent = statistics.median(report.timings_ms["statistics"] + report.timings_ms["tiles"] for report in reports)
    operations: dict[Arithmetic, float] = {name: value * 1e12 for name, value in peaks.tflops.items()}
    speeds = Speeds(operations, peaks.copy_gb_s * 1e9)
    work = plan_work(bundle, frame_px, precision, speeds, tile_px=reports[0].tile)
    prediction = _prediction("this machine", precision, work, speeds, bundle.manifest.ratio)
    return Measured(prediction, peaks.tflops[precision], peaks.copy_gb_s, spent)


def _report(engine: HSIEngine, images: Sequence[Any]) -> RunReport:
    engine.run(*images)
    report = engine.report
    assert report is not None
    return report


def roofline_markdown(
    bundle: Bundle,
    frame_px: Frame,
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
    measured: Measured | None,
) -> str:
    """The predictions side by side, the power modes, the figures and their sources."""
    title = f"# Predicted frame times of {bundle.manifest.name}, frames of {frame_px[0]} x {frame_px[1]} HR pixels"
    parts = [title, ASSUMPTIONS, "## Predictions", _predictions_table(predictions)]
    if any(one.assumed for one in predictions):
        parts.append(
            "(1) The bundle has no such graph: its FP32 graph was counted as if all of it ran in that precision."
        )
    if measured is not None:
        parts += ["## This machine, predicted and measured", _measured_text(measured)]
    if modes := [
        [one.target, one.precision, mode, f"{ms:.2f}"] for one in predictions for mode, ms in one.modes_ms.items()
    ]:
        heading = "## In slower power modes, where their clocks are known"
        parts += [heading, table(["target", "precision", "mode", "expected [ms]"], modes, words=3)]
    return "\n\n".join([*parts, "## Figures and their sources", figures_table(targets)])


def _predictions_table(predictions: Sequence[Prediction]) -> str:
    header = ["target", "precision", "bound by", "figures", "tiles", "GMAC", "moved [MB]"]
    header += ["no faster than [ms]", "expected [ms]", "frames/s of the network alone"]
    return table(header, [_cells(one) for one in predictions], words=5)


def _cells(one: Prediction) -> list[str]:
    waiting = one.memory_bound_share
    bound = f"memory ({waiting:.0%} of the time)" if waiting > 0.5 else f"arithmetic ({1 - waiting:.0%} of the time)"
    trust = f"from memory: {', '.join(one.unconfirmed)}" if one.unconfirmed else "from sources"
    tiles = f"{one.n_tiles} of {one.tile_px[0]} x {one.tile_px[1]}"
    numbers = [f"{one.gmacs:.1f}", f"{one.moved_mb:.0f}", f"{one.roofline_ms:.2f}", f"{one.expected_ms:.2f}"]
    precision = one.precision + (" (1)" if one.assumed else "")
    return [one.target, precision, bound, trust, tiles, *numbers, f"{1e3 / one.expected_ms:.1f}"]


def _measured_text(measured: Measured) -> str:
    one = measured.prediction
    text = (
        f"Measured now: a matrix product at {measured.tflops * 1e3:.0f} GFLOP/s ({one.precision}) and a copy at "
        f"{measured.copy_gb_s:.1f} GB/s, reads and writes counted. For its {one.n_tiles} tiles of {one.tile_px[0]} x "
        f"{one.tile_px[1]} pixels the engine took {measured.engine_ms:.0f} ms (median of {REPEATS}, stitching "
        f"included); no faster than {one.roofline_ms:.0f} ms and {one.expected_ms:.0f} ms expected. The engine took "
        f"{measured.engine_ms / one.expected_ms:.2f} times what was expected and reached "
        f"{one.roofline_ms / measured.engine_ms:.0%} of the roofline's speed."
    )
    return textwrap.fill(text, 119)


def figures_table(targets: Sequence[Target]) -> str:
    """Every figure of some targets, how it is known, and where it is from."""
    header = ["target", "figure", "known", "source", "note", "value"]
    rows = [
        [target.name, _named(name), _known(figure), target.sources[figure.source], figure.note, f"{figure.value:g}"]
        for target in targets
        for name, figure in target.figures().items()
    ]
    return table(header, rows, words=5)


def _named(name: str) -> str:
    units = {"memory_gb": "memory [GB]", "memory_gb_s": "bandwidth [GB/s]", "dla.int8": "DLA INT8 [TOP/s]"}
    arithmetic = name.removeprefix("peaks.")
    return units.get(name) or f"{arithmetic.upper()} [{'TOP/s' if arithmetic == 'int8' else 'TFLOP/s'}]"


def _known(figure: Figure) -> str:
    return figure.basis if figure.confirmed else "from memory, to be checked"


def write_roofline(folder: Path, markdown: str, predictions: Sequence[Prediction], measured: Measured | None) -> None:
    """Write `roofline.md` and `roofline.json`.

    Raises:
        OutputError: If the system refuses to write.
    """
    plain = {"predictions": [asdict(one) for one in predictions], "measured": measured and asdict(measured)}
    write_measured(folder, "roofline", markdown, plain)
