"""Results of checks made up for tests: what an engine might have measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hsi_edge.acceptance.accuracy import SceneAccuracy, Scores
from hsi_edge.acceptance.check import Check
from hsi_edge.acceptance.drift import Drift
from hsi_edge.acceptance.energy import Energy
from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.judge import judge
from hsi_edge.acceptance.latency import Run, latency_of
from hsi_edge.acceptance.result import Conditions, Curve, EngineCheck, Memory, Opening, Settings
from hsi_edge.acceptance.telemetry import Signal
from hsi_edge.acceptance.telemetry.sampler import Sampler

MIB = 1 << 20
BANDS = 5


def scores(**changes) -> Scores:
    made = Scores(
        psnr_db=40.0,
        sam_deg=2.0,
        sam_p95_deg=4.0,
        ssim=0.98,
        ergas=1.5,
        worst_band=3,
        worst_band_rmse=0.02,
        rmse_per_band=(0.01,) * BANDS,
    )
    return replace(made, **changes)


def accuracy(scene: str = "field", *, truth: bool = True, **changes) -> SceneAccuracy:
    made = SceneAccuracy(
        scene=scene,
        hr_shape=(64, 48, BANDS),
        peak=1.0,
        wavelengths_nm=(450.0, 500.0, 550.0, 600.0, 650.0),
        lost_px=0,
        warnings=(),
        reference="FP32 on this device (openvino)",
        to_fp32=scores(psnr_db=60.0),
        to_truth=scores() if truth else None,
        fp32_to_truth=scores(psnr_db=40.01) if truth else None,
    )
    return replace(made, **changes)


def run_of(latencies_ms, *, scenes=None, step_s: float = 0.1, stages=None) -> Run:
    """A run whose frames start `step_s` apart from second 100 on."""
    run = Run()
    for index, latency in enumerate(latencies_ms):
        stage = {name: values[index] for name, values in (stages or {"total": latencies_ms}).items()}
        run.add(100 + index * step_s, float(latency), 0 if scenes is None else scenes[index], stage)
    run.spans.append((100.0, 100 + len(latencies_ms) * step_s))
    return run


def sampler_of(series: dict[Signal, tuple]) -> Sampler:
    """A sampler that was told these times and values."""
    sampler = Sampler(())
    sampler._series = {signal: (list(times), list(values)) for signal, (times, values) in series.items()}
    return sampler


def engine_check(**changes) -> EngineCheck:
    run = run_of(np.linspace(20, 30, 100))
    made = EngineCheck(
        label="tiny, openvino fp32",
        settings=Settings(bundle=Path("tiny")),
        model="tiny",
        fingerprint="ab" * 32,
        backend="openvino",
        precision="fp32",
        device="A CPU",
        tile=(64, 64),
        n_tiles=4,
        fallback=None,
        frames="LR-HSI of 32 × 24 × 5 (rows × columns × bands): field",
        opening=Opening(open_ms=50.0, first_open_ms=None, first_frame_ms=80.0, remark="told"),
        latency=latency_of(run, 25.0),
        drift=Drift(percent=1.0, ends_percent=0.5, throttled=False, evidence=("latency +1.0 percent",)),
        memory=Memory(
            peak_bytes=200 * MIB,
            peak_remark="",
            gpu_bytes=None,
            gpu_remark="no GPU tells its memory here (NVML)",
            growth_bytes=2.0 * MIB,
            growth_remark="",
        ),
        energy=Energy(
            per_frame_j=0.5, above_idle_j=0.3, power_w=12.0, idle_w=5.0, contains="the rail VDD_IN", samples=100
        ),
        energy_untold="",
        accuracy=(accuracy(),),
        soak=None,
        run=run,
        curves=(Curve(name="process", unit="MiB", times_s=(0.0, 1.0, 2.0), values=(190.0, 195.0, 200.0)),),
    )
    return replace(made, **changes)


def check_of(gate: Gate, *engines: EngineCheck, **facts: str) -> Check:
    return Check(
        date="2026-01-01 00:00 UTC",
        gate=gate,
        gate_source="the file gate.yaml",
        verdicts=judge(gate, engines[0]),
        engines=engines,
        conditions=Conditions(
            facts={"cpu": "A CPU", **facts}, doubts=("The machine was busy.",), untold={"NVML": "no driver"}
        ),
    )
