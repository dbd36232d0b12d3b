"""The time from a frame pair in memory to its result in memory, frame after frame, copies included."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hsi_edge.acceptance.scene import Scene
from hsi_edge.acceptance.telemetry.sampler import Span
from hsi_edge.engine import HSIEngine
from hsi_edge.tile_loop import Progress

WARM_UP_FRAMES = 10
TURNS = 10
"""Turns that each of two engines takes: enough that a drift meets both, and long enough for power to be told."""
DEVICE = "device"
"""The stage of `RunReport.timings_ms` under which a backend reports its accelerator's part."""


@dataclass(kw_only=True)
class Run:
    """Frames of one engine as they came.

    Attributes:
        starts_s: When each began, by `time.perf_counter`.
        latencies_ms: From the call to the result.
        scenes: Index of the scene of each.
        stages_ms: What the engine says of its own stages, by name; NaN in a frame that it said nothing of.
        spans: The times of unbroken work.
    """

    starts_s: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)

    @property
    def span(self) -> Span:
        """From the first span's start to the last one's end."""
        return self.spans[0][0], self.spans[-1][1]

    def add(self, start_s: float, latency_ms: float, scene: int, stages_ms: Mapping[str, float]) -> None:
        """Take over a frame."""
        for name in {**self.stages_ms, **stages_ms}:
            known = self.stages_ms.setdefault(name, [float("nan")] * len(self.starts_s))
            known.append(stages_ms.get(name, float("nan")))
        self.starts_s.append(start_s)
        self.latencies_ms.append(latency_ms)
        self.scenes.append(scene)


class Camera:
    """Hands out frames: back to back, or at a frame rate.

    At a frame rate it waits for the next frame. A frame that comes while the one before is still computed is taken at
    once when that one is done, and the clock starts again from there, as with a camera that keeps one frame.
    """

    def __init__(self, scenes: Sequence[Scene], fps: float | None) -> None:
        self.scenes = scenes
        self.period_s = None if fps is None else 1 / fps
        self._due_s = 0.0
        self._next = 0

    def take(self) -> int:
        """The index of the next frame's scene, when it is there."""
        if self.period_s is not None:
            now = time.perf_counter()
            if now < self._due_s:
                time.sleep(self._due_s - now)
            self._due_s = max(now, self._due_s) + self.period_s
        self._next = (self._next + 1) % len(self.scenes)
        return (self._next - 1) % len(self.scenes)


def first_frame_ms(engine: HSIEngine, scene: Scene) -> float:
    """The first frame after opening: it compiles the tile's shape and touches all memory."""
    return _timed(engine, scene)[1]


def run_frames(engine: HSIEngine, camera: Camera, run: Run, *, wanted: Callable[[], bool]) -> None:
    """Run frames while they are wanted, and add them to `run` as one span."""
    start = time.perf_counter()
    while wanted():
        index = camera.take()
        begun, latency = _timed(engine, camera.scenes[index])
        run.add(begun, latency, index, engine.report.timings_ms)
    run.spans.append((start, time.perf_counter()))


def run_by_turns(
    engines: Sequence[HSIEngine], scenes: Sequence[Scene], *, frames: int, fps: float | None, progress: Progress
) -> list[Run]:
    """Run that many frames on each engine, after a warm-up.

    Several engines take turns, in changing order, and each turn begins with a frame that is not counted.
    """
    runs = [Run() for _ in engines]
    cameras = [Camera(scenes, fps) for _ in engines]
    for engine, camera in zip(engines, cameras, strict=True):
        _warm_up(engine, camera, WARM_UP_FRAMES)
    turns = 1 if len(engines) == 1 else min(TURNS, frames)
    total = frames * len(engines)
    for turn in range(turns):
        until = frames * (turn + 1) // turns
        for index in list(range(len(engines)))[:: 1 if turn % 2 == 0 else -1]:
            run = runs[index]
            if len(engines) > 1:
                _warm_up(engines[index], cameras[index], 1)

            def wanted(run: Run = run, until: int = until) -> bool:
                progress(sum(len(one.starts_s) for one in runs), total)
                return len(run.starts_s) < until

            run_frames(engines[index], cameras[index], run, wanted=wanted)
    progress(total, total)
    return runs


def _warm_up(engine: HSIEngine, camera: Camera, frames: int) -> None:
    for _ in range(frames):
        _timed(engine, camera.scenes[camera.take()])


def _timed(engine: HSIEngine, scene: Scene) -> tuple[float, float]:
    start = time.perf_counter()
    engine.run(scene.lr_hsi, scene.hr_msi)
    return start, (time.perf_counter() - start) * 1000


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Numbers of a run, in milliseconds. Each percentile is a latency that was measured, the nearest above.

    Attributes:
        frames: How many there were.
        p50_ms, p90_ms, p95_ms, p99_ms, p999_ms: Percentiles; with fewer than 1000 frames p99.9 is the maximum.
        max_ms, mean_ms: Of all frames.
        jitter_ms: Standard deviation.
        spread_ms: p99 less p50.
        fps: The frame rate asked for; None if none was.
        deadline_misses: Frames that took longer than a period of that rate; None without one.
        stages_ms: Median and p99 of the engine's own stages, by name.
        host_ms, device_ms: Medians of the host's and the accelerator's part; None where the backend does not say.
    """

    frames: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    mean_ms: float
    jitter_ms: float
    spread_ms: float
    fps: float | None
    deadline_misses: int | None
    stages_ms: Mapping[str, tuple[float, float]]
    host_ms: float | None
    device_ms: float | None


def latency_of(run: Run, fps: float | None) -> Latency:
    """Summarise a run of at least one frame."""
    latencies = np.array(run.latencies_ms)
    percents = (50, 90, 95, 99, 99.9)
    p50, p90, p95, p99, p999 = (float(np.percentile(latencies, p, method="higher")) for p in percents)
    device = np.array(run.stages_ms.get(DEVICE, []))
    told = device.size > 0 and not np.isnan(device).any()
    stages = {name: np.array(values) for name, values in run.stages_ms.items()}
    return Latency(
        frames=len(latencies),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=float(latencies.max()),
        mean_ms=float(latencies.mean()),
        jitter_ms=float(latencies.std()),
        spread_ms=p99 - p50,
        fps=fps,
        deadline_misses=None if fps is None else int((latencies > 1000 / fps).sum()),
        stages_ms={name: (float(np.nanmedian(v)), float(np.nanpercentile(v, 99))) for name, v in stages.items()},
        host_ms=float(np.median(latencies - device)) if told else None,
        device_ms=float(np.median(device)) if told else None,
    )
