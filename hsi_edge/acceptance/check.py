"""The check itself: open, time, soak and score the engines, then judge the first one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from hsi_edge.acceptance import conditions
from hsi_edge.acceptance.accuracy import SceneAccuracy, score
from hsi_edge.acceptance.doubts import doubts_of_machine, doubts_of_run
from hsi_edge.acceptance.engine_check import Measured, engine_checks
from hsi_edge.acceptance.gate import Gate, default_gate
from hsi_edge.acceptance.judge import Verdict, judge
from hsi_edge.acceptance.latency import Camera, Run, run_by_turns, run_frames
from hsi_edge.acceptance.opened import Opened, open_engine, open_timed
from hsi_edge.acceptance.request import Request
from hsi_edge.acceptance.result import Conditions, EngineCheck
from hsi_edge.acceptance.scene import Scene, scenes_to_score, scenes_to_time
from hsi_edge.acceptance.telemetry import Sources
from hsi_edge.acceptance.telemetry.found import find_sources
from hsi_edge.acceptance.telemetry.sampler import Sampler, Span
from hsi_edge.bundle import Bundle
from hsi_edge.engine import HSIEngine
from hsi_edge.machine import peak_resident_bytes
from hsi_edge.tile_loop import Progress

IDLE_S = 3.0
"""How long the machine's power is watched while it waits, where the system tells its power."""
FP32_BACKEND = "openvino"
"""What computes the FP32 that others are compared with: the default on a CPU."""

Begin = Callable[[str], Progress]
"""Starts a stage of the work, by its name, and gives what is told of its steps."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """All that was found.

    Attributes:
        date: When, UTC.
        gate, gate_source: The limits, and where they come from.
        verdicts: On the first engine.
        engines: The engine under check, and the one that it is compared with, if any.
        conditions: What the numbers were taken under.
    """

    date: str
    gate: Gate
    gate_source: str
    verdicts: tuple[Verdict, ...]
    engines: tuple[EngineCheck, ...]
    conditions: Conditions

    @property
    def passed(self) -> bool:
        """Whether every limit of the gate is met."""
        return all(verdict.outcome == "passed" for verdict in self.verdicts)


def run_check(request: Request, begin: Begin) -> Check:
    """Check an engine; long work, of which `begin` is told.

    Raises:
        InputError: The scenes do not fit the model, or no such backend or precision.
        ManifestError, EngineLoadError: A bundle cannot be opened or run.
    """
    before = conditions.start()
    bundle = Bundle.open(request.settings.bundle)
    scenes = scenes_to_score(bundle, request.data)
    sources = find_sources()
    with ExitStack() as stack:
        stack.callback(sources.close)
        timed_scenes = scenes_to_time(scenes, bundle.manifest, request.lr_shape)
        measured = _measure(request, timed_scenes, sources, stack, begin)
        engines = engine_checks(measured, [_score(one, scenes, begin) for one in measured.opened])
        after = conditions.cpu_time()
        told = conditions.facts(before, after, sources, measured.sampler)
    gate = request.gate or _default_gate(request, engines[0])
    return Check(
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        gate=gate,
        gate_source=request.gate_source,
        verdicts=judge(gate, engines[0]),
        engines=engines,
        conditions=Conditions(
            facts=told,
            doubts=(*doubts_of_machine(before, after, told), *doubts_of_run(engines, timed_scenes)),
            untold={**sources.untold, **measured.sampler.failed},
        ),
    )


def _measure(request: Request, scenes: Sequence[Scene], sources: Sources, stack: ExitStack, begin: Begin) -> Measured:
    """Open the engines, which `stack` closes, and run their frames while the system is watched."""
    asked = [request.settings] + ([] if request.against is None else [request.against])
    with Sampler(sources.opened) as sampler:
        opened = []
        for settings in asked:
            opened.append(open_engine(settings, scenes[0]))
            stack.callback(opened[-1].engine.close)
        engines = [one.engine for one in opened]
        idle = _idle() if sources.rails else None
        runs = run_by_turns(engines, scenes, frames=request.frames, fps=request.fps, progress=begin("frames"))
        soak = None
        if request.soak_minutes is not None:
            soak = _soak(engines[0], Camera(scenes, request.fps), request.soak_minutes, begin("seconds of soak"))
    return Measured(
        request=request,
        scenes=scenes,
        sources=sources,
        sampler=sampler,
        opened=opened,
        runs=runs,
        reports=[engine.report for engine in engines],
        soak=soak,
        idle=idle,
        peak_bytes=peak_resident_bytes(),
    )


def _idle() -> Span:
    start = time.perf_counter()
    time.sleep(IDLE_S)
    return start, time.perf_counter()


def _soak(engine: HSIEngine, camera: Camera, minutes: float, progress: Progress) -> Run:
    run, begun, seconds = Run(), time.perf_counter(), minutes * 60

    def wanted() -> bool:
        passed = time.perf_counter() - begun
        progress(min(round(passed), round(seconds)), max(1, round(seconds)))
        return passed < seconds or not run.starts_s

    run_frames(engine, camera, run, wanted=wanted)
    return run


def _score(opened: Opened, scenes: Sequence[Scene], begin: Begin) -> tuple[SceneAccuracy, ...]:
    progress = begin("scenes scored")
    settings = replace(opened.settings, backend=None, precision=None)
    if opened.bundle.manifest.graphs:
        settings = replace(settings, backend=FP32_BACKEND, precision="fp32")
    fp32, _ = open_timed(settings)
    found = []
    with fp32:
        for scene in scenes:
            found.append(score(opened.engine, fp32, scene))
            progress(len(found), len(scenes))
    return tuple(found)


def _default_gate(request: Request, engine: EngineCheck) -> Gate:
    return default_gate(
        engine.precision,
        with_truth=any(accuracy.to_truth is not None for accuracy in engine.accuracy),
        frames=request.frames,
        fps=request.fps,
        soak=request.soak_minutes is not None,
    )
