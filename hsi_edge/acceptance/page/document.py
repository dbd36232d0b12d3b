"""The check as one page: the verdict, then what it rests on, then how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from hsi_edge.acceptance.check import Check
from hsi_edge.acceptance.judge import Outcome
from hsi_edge.acceptance.page import chart
from hsi_edge.acceptance.page.accuracy import accuracy_section
from hsi_edge.acceptance.page.latency import latency_section
from hsi_edge.acceptance.page.parts import table
from hsi_edge.acceptance.page.power import power_section, soak_section
from hsi_edge.acceptance.result import EngineCheck
from hsi_edge.report import page

_STYLE = """
.verdict{font-size:1.25rem;color:#fff;border:0;padding:18px 20px;margin-top:12px}
.verdict.passed{background:#1f7a45}.verdict.failed{background:#b3261e}
.mark{font-weight:600;white-space:nowrap}.mark.passed{color:#2a9157}.mark.failed,.mark.not{color:#d4453c}
.wide{overflow-x:auto}.wide th{width:auto}.wide td,.wide th{padding-right:16px;overflow-wrap:normal}
.wide td.number{width:auto;text-align:right}.wide th.number{text-align:right}
h3{font-size:1rem;margin:18px 0 6px}
.spectra{margin-top:16px}.spectra .card{max-width:640px}
"""
_MARKS: dict[Outcome, str] = {"passed": "✓ passed", "failed": "✗ failed", "not measured": "✗ not measured"}


def page_of(check: Check) -> str:
    """The document as text."""
    first = check.engines[0]
    warnings = [f"{accuracy.scene}: {text}" for accuracy in first.accuracy for text in accuracy.warnings]
    sections = [
        f'<div class="card verdict {"passed" if check.passed else "failed"}">{escape(verdict_sentence(check))}</div>',
        page.stats(_headline(first)),
        *([page.warnings(warnings)] if warnings else []),
        _gates_section(check),
        accuracy_section(check.engines),
        latency_section(check.engines),
        power_section(check.engines),
        *([soak_section(first.soak, first.drift)] if first.soak is not None else []),
        _conditions_section(check),
    ]
    title = f"{first.model} — check before deployment"
    against = f", beside {check.engines[1].label}" if len(check.engines) > 1 else ""
    return page.page(
        title, f"{first.label} on {first.device}{against}. {check.date}", sections, style=_STYLE + chart.STYLE
    )


def verdict_sentence(check: Check) -> str:
    """Whether it passed and on what, in one sentence."""
    first, count = check.engines[0], len(check.verdicts)
    engine = f"{first.model} with {first.backend} {first.precision} on {first.device}"
    missed = [verdict for verdict in check.verdicts if verdict.outcome != "passed"]
    if not missed:
        return (
            f"Passed: {engine} meets all {count} limits of its gate; a frame takes "
            f"{page.milliseconds(first.latency.p50_ms)}, and 99 of 100 take at most "
            f"{page.milliseconds(first.latency.p99_ms)}."
        )
    words = "; ".join(f"{verdict.what}: {verdict.measured}, wanted {verdict.wanted}" for verdict in missed)
    return f"Failed: {engine} misses {len(missed)} of {count} limits of its gate: {words}."


def _headline(first: EngineCheck) -> dict[str, str]:
    latency = first.latency
    shown = {
        "a frame takes (median)": page.milliseconds(latency.p50_ms),
        "99 of 100 frames take at most": page.milliseconds(latency.p99_ms),
    }
    losses = [loss for accuracy in first.accuracy if (loss := accuracy.psnr_loss_db) is not None]
    kept = [accuracy.to_fp32.psnr_db for accuracy in first.accuracy if accuracy.to_fp32 is not None]
    if losses:
        shown["of accuracy lost to FP32, worst scene (PSNR)"] = f"{max(losses) + 0.0:.3f} dB"
    elif kept:
        shown["agreement with FP32, worst scene (PSNR)"] = (
            "exact" if min(kept) == float("inf") else f"{min(kept):.1f} dB"
        )
    if latency.deadline_misses is not None:
        shown[f"deadlines missed at {latency.fps:g} frames per second"] = (
            f"{latency.deadline_misses} of {latency.frames}"
        )
    if first.memory.peak_bytes is not None:
        shown["peak memory of the process"] = f"{first.memory.peak_bytes / (1 << 20):.0f} MiB"
    if first.energy is not None:
        shown["energy per frame"] = f"{first.energy.per_frame_j:.3g} J"
    return shown


def _gates_section(check: Check) -> str:
    rows = [
        [escape(v.what), escape(v.wanted), escape(v.measured), _mark(v.outcome)]
        for v in sorted(check.verdicts, key=lambda verdict: verdict.outcome == "passed")
    ]
    note = f"What must hold for a pass: {check.gate_source}. What could not be measured does not pass."
    return page.section("Gate", note, table(["limit", "wanted", "measured", "verdict"], rows))


def _mark(outcome: Outcome) -> str:
    return f'<span class="mark {outcome.split()[0]}">{_MARKS[outcome]}</span>'


def _conditions_section(check: Check) -> str:
    conditions = check.conditions
    engines = [fact for engine in check.engines for fact in _engine_facts(engine, named=len(check.engines) > 1)]
    body = (
        "<h3>How far the numbers can be trusted</h3>"
        + page.warnings(conditions.doubts)
        + "<h3>The engine and its frames</h3>"
        + page.facts(dict(engines))
        + "<h3>The machine</h3>"
        + page.facts(conditions.facts)
        + (f"<h3>Not told by this system</h3>{page.facts(conditions.untold)}" if conditions.untold else "")
    )
    return page.section("Conditions", "Every number above holds under these, and for this device alone.", body)


def _engine_facts(engine: EngineCheck, *, named: bool) -> Iterable[tuple[str, str]]:
    prefix = f"{engine.label}: " if named else ""
    settings = engine.settings
    asked = {"backend": settings.backend, "precision": settings.precision, "memory in MB": settings.memory_mb}
    words = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
    facts = {
        "model": f"{engine.model}, manifest {engine.fingerprint[:12]}",
        "asked for": words or "the defaults of this device",
        "what ran": f"{engine.backend}, {engine.precision}, on {engine.device}",
        "fallback": engine.fallback or "none",
        "tiles": f"{engine.n_tiles} of {_size(engine.tile)} HR pixels",
        "opening": engine.opening.remark,
        "frames timed": f"{engine.latency.frames} after {_pace(engine)}; {engine.frames}",
    }
    return [(f"{prefix}{name}", text) for name, text in facts.items()]


def _pace(engine: EngineCheck) -> str:
    fps = engine.latency.fps
    return "a warm-up, back to back" if fps is None else f"a warm-up, one each {1000 / fps:.4g} ms"


def _size(shape: Sequence[int]) -> str:
    return " × ".join(str(side) for side in shape)
