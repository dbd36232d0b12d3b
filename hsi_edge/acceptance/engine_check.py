"""From what was measured to one engine's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hsi_edge.acceptance.accuracy import SceneAccuracy
from hsi_edge.acceptance.curves import growth_bytes, latency_curves, signal_curves
from hsi_edge.acceptance.drift import drift_of
from hsi_edge.acceptance.energy import energy_of
from hsi_edge.acceptance.latency import Run, latency_of
from hsi_edge.acceptance.opened import Opened
from hsi_edge.acceptance.request import Request
from hsi_edge.acceptance.result import UNTOLD, EngineCheck, Memory, Soak
from hsi_edge.acceptance.scene import GOLDEN, SYNTHETIC, Scene
from hsi_edge.acceptance.telemetry import Sources
from hsi_edge.acceptance.telemetry.sampler import Sampler, Span
from hsi_edge.run_report import RunReport

TWO_IN_ONE = "two engines were open in one process; check each alone for its own"
_BEFORE_THE_OTHER = "up to its first frame, before the other engine was opened"
_NAMED = 4
"""Scenes that are named where frames are described."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured while the system was watched.

    Attributes:
        request: What was asked for.
        scenes: Those whose latency was measured.
        sources, sampler: What the system told.
        opened: The engines.
        runs: One per engine.
        reports: What each engine said of the last frame that was timed.
        soak: Of the first engine; None without one.
        idle: The time of waiting before the frames; None without a source of power.
        peak_bytes: The most that the process had held by the end; 0 where that is not told.
    """

    request: Request
    scenes: Sequence[Scene]
    sources: Sources
    sampler: Sampler
    opened: Sequence[Opened]
    runs: Sequence[Run]
    reports: Sequence[RunReport]
    soak: Run | None
    idle: Span | None
    peak_bytes: int

    @property
    def alone(self) -> bool:
        """Whether one engine was open."""
        return len(self.opened) == 1


def engine_checks(measured: Measured, accuracies: Sequence[tuple[SceneAccuracy, ...]]) -> tuple[EngineCheck, ...]:
    """The numbers of every engine, with its scenes' accuracy."""
    labels = _labels(measured.reports)
    return tuple(_engine_check(measured, index, accuracies[index], label) for index, label in enumerate(labels))


def _engine_check(measured: Measured, index: int, accuracy: tuple[SceneAccuracy, ...], label: str) -> EngineCheck:
    opened, run, sampler, fps = measured.opened[index], measured.runs[index], measured.sampler, measured.request.fps
    report = measured.reports[index]
    soak = measured.soak if index == 0 else None
    energy = energy_of(sampler, measured.sources.rails, run.spans, len(run.starts_s), measured.idle)
    return EngineCheck(
        label=label,
        settings=opened.settings,
        model=report.bundle,
        fingerprint=opened.bundle.fingerprint,
        backend=report.backend,
        precision=report.precision,
        device=report.device,
        tile=report.tile,
        n_tiles=report.n_tiles,
        fallback=report.fallback,
        frames=_frames_in_words(measured.scenes, measured.request),
        opening=opened.opening,
        latency=latency_of(run, fps),
        drift=drift_of(soak or run, sampler),
        memory=_memory(measured, index, soak),
        energy=energy,
        energy_untold="" if energy is not None else _energy_untold(measured.sources),
        accuracy=accuracy,
        soak=None if soak is None else _soak_result(soak, fps, sampler),
        run=run,
        curves=signal_curves(run, sampler),
    )


def _labels(reports: Sequence[RunReport]) -> list[str]:
    """Short names; what two engines have in common still stands in both, so that each can be read alone."""
    labels = [f"{report.bundle}, {report.backend} {report.precision}" for report in reports]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} ({name})" for label, name in zip(labels, ("checked", "against"), strict=True)]


def _soak_result(run: Run, fps: float | None, sampler: Sampler) -> Soak:
    minutes = (run.span[1] - run.span[0]) / 60
    curves = (*latency_curves(run), *signal_curves(run, sampler))
    return Soak(minutes=minutes, latency=latency_of(run, fps), curves=curves)


def _memory(measured: Measured, index: int, soak: Run | None) -> Memory:
    sampler, alone = measured.sampler, measured.alone
    run = soak or measured.runs[index]
    gpu = [values for signal in sampler.signals("gpu_bytes") if (values := sampler.within(signal, run.span)).size]
    growth = growth_bytes(run, sampler) if alone or soak else None
    peak, remark = _peak(measured, index)
    return Memory(
        peak_bytes=peak,
        peak_remark=remark,
        gpu_bytes=max((float(values.max()) for values in gpu), default=None) if alone else None,
        gpu_remark="no GPU tells its memory here (NVML)" if not gpu else "" if alone else TWO_IN_ONE,
        growth_bytes=growth,
        growth_remark="" if growth is not None else "the run was too short" if alone else TWO_IN_ONE,
    )


def _peak(measured: Measured, index: int) -> tuple[int | None, str]:
    if measured.peak_bytes == 0:
        return None, UNTOLD
    if measured.alone:
        return measured.peak_bytes, "with the interpreter, packages and scenes"
    return (measured.opened[0].peak_bytes, _BEFORE_THE_OTHER) if index == 0 else (None, TWO_IN_ONE)


def _energy_untold(sources: Sources) -> str:
    if sources.rails:
        return "the run was too short for the system's power readings"
    return f"power is {UNTOLD} (neither RAPL, NVML, INA3221 nor jetson-stats)"


def _frames_in_words(scenes: Sequence[Scene], request: Request) -> str:
    """Which frames, and how large."""
    shapes = ", ".join(" × ".join(map(str, shape)) for shape in sorted({scene.lr_shape for scene in scenes}))
    names = ", ".join(scene.name for scene in scenes[:_NAMED])
    more = f" and {len(scenes) - _NAMED} more" if len(scenes) > _NAMED else ""
    made = request.lr_shape is not None or scenes[0].name == GOLDEN
    how = ", cut or mirrored to that size" if made and scenes[0].name != SYNTHETIC else ""
    return f"LR-HSI of {shapes} (rows × columns × bands): {names}{more}{how}"
