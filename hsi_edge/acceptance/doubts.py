"""What makes a check's numbers less certain than they look, in sentences."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from hsi_edge.acceptance.conditions import CpuTime, Start, is_virtual, others_percent, stolen_percent
from hsi_edge.acceptance.result import EngineCheck
from hsi_edge.acceptance.scene import GOLDEN, SYNTHETIC, Scene

_BUSY_PERCENT = 10.0
_STOLEN_PERCENT = 1.0
_BUSY_LOAD = 0.25
"""Of the cores: a load average above it before the check began is other programs' work."""
_FEW_READINGS = 20
GRAPHLESS = "numpy"
"""What reports call the backend of a model without a graph."""
_FRAMES_FOR_P999 = 1000


def doubts_of_machine(begin: Start, end: CpuTime | None, told: Mapping[str, str]) -> list[str]:
    """What of the machine makes times uncertain; `told` are the conditions by name."""
    found = []
    cores = len(os.sched_getaffinity(0))
    if begin.load is not None and begin.load[0] > _BUSY_LOAD * cores:
        found.append(f"The machine was busy before the check began: load average {begin.load[0]:.2f} on {cores} cores.")
    others, stolen = others_percent(begin.cpu, end), stolen_percent(begin.cpu, end)
    if others is not None and others > _BUSY_PERCENT:
        found.append(
            f"Other programs took {others:.0f} percent of the processor's time: the latency is an upper bound, and its "
            "spread is partly theirs."
        )
    if stolen is not None and stolen > _STOLEN_PERCENT:
        found.append(f"The hypervisor gave {stolen:.1f} percent of the processor's time to others.")
    if is_virtual():
        found.append(
            "This is a virtual machine: its neighbours may slow it, and it hides power, clocks and temperatures."
        )
    governor = told.get("CPU governor", "")
    if governor and governor != "performance":
        found.append(f"The CPU governor is {governor}: clocks move with the load, so a paced run may be slower.")
    return found


def doubts_of_run(engines: Sequence[EngineCheck], scenes: Sequence[Scene]) -> list[str]:
    """What of the run makes its numbers uncertain; `scenes` are those whose latency was measured."""
    first = engines[0]
    found = [*_of_latency(first, scenes), *_of_accuracy(first)]
    if first.soak is None:
        found.append("The run is too short to show what heat does; --soak MINUTES does.")
    if first.energy is not None and first.energy.samples < _FEW_READINGS:
        found.append(f"Energy rests on {first.energy.samples} readings of the system.")
    if len(engines) > 1:
        found.append(
            "Two engines took turns in one process, which shares its caches and its memory between them; a turn's "
            "first frame is not counted."
        )
    return found


def _of_latency(first: EngineCheck, scenes: Sequence[Scene]) -> list[str]:
    found = []
    frames = first.latency.frames
    if frames < _FRAMES_FOR_P999:
        beyond = sum(latency > first.latency.p99_ms for latency in first.run.latencies_ms)
        found.append(f"With {frames} frames, p99.9 is their maximum, and {beyond} of them lie above p99.")
    if len({scene.lr_shape for scene in scenes}) > 1:
        found.append("The frames differ in size, and so do their latencies.")
    if first.latency.device_ms is None:
        found.append("The backend does not tell the device's part of the latency from the host's.")
    return found


def _of_accuracy(first: EngineCheck) -> list[str]:
    if all(accuracy.to_truth is None for accuracy in first.accuracy) and first.backend == GRAPHLESS:
        return [
            "The model has no graph, so FP32 is the engine itself, and without a truth nothing judges its accuracy."
        ]
    names = [accuracy.scene for accuracy in first.accuracy]
    if names == [SYNTHETIC]:
        return ["Accuracy rests on a synthetic frame; give reference scenes of your sensors with --data."]
    if names == [GOLDEN]:
        return [
            "Accuracy rests on the golden pair alone, which is small and the bundle's own; give reference scenes of "
            "your sensors with --data."
        ]
    if all(accuracy.to_truth is None for accuracy in first.accuracy):
        return ["No scene has a truth, so accuracy is what the engine keeps of FP32's, not how good FP32 is."]
    return []
