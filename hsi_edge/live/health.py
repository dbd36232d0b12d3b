"""Whether the live pipeline does its work: one verdict from its status, for `/healthz` and for the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hsi_edge.live.status import Status

HealthState = Literal["ok", "degraded", "failing"]
"""All is well; results come, but somebody should look; nothing that is worth having comes out."""

RECORDER_BEHIND_MS = 1000.0
"""What the recorder promises to lose at most."""
START_S = 30.0
"""What a spectral sensor is given to send its first frame."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """A verdict, and what it rests on, in words; none where all is well."""

    state: HealthState
    reasons: tuple[str, ...] = ()


def verdict(status: Status, earlier: Status | None = None) -> Health:
    """Judge a status.

    Args:
        status: Now.
        earlier: Some seconds before, to tell what goes wrong now from what once went wrong; None at the start.
    """
    failing, degraded = tuple(_failing(status, earlier)), tuple(_degraded(status, earlier))
    if failing:
        return Health(state="failing", reasons=failing + degraded)
    return Health(state="degraded" if degraded else "ok", reasons=degraded)


def _failing(status: Status, earlier: Status | None) -> Iterator[str]:
    spectral = status.spectral
    if spectral.state == "lost":
        yield _with_error("the spectral sensor is lost: there are no new results", spectral.error)
    if spectral.state == "waiting" and status.uptime_s > START_S:
        yield _with_error(f"the spectral sensor sent nothing in {status.uptime_s:.0f} s", spectral.error)
    if earlier is None or status.results > earlier.results:
        return
    if status.failed > earlier.failed:
        yield f"no result could be made lately: {status.failure}"
    elif spectral.state == "running" and spectral.frames > earlier.spectral.frames + status.waiting + 1:
        seconds = status.uptime_s - earlier.uptime_s
        yield f"spectral frames come in, and no result was made of them in {seconds:.0f} s"


def _degraded(status: Status, earlier: Status | None) -> Iterator[str]:
    if status.spectral.state == "ended":
        yield "the spectral source has no more frames"
    if status.mode == "single":
        yield f"not fused: {status.reason}"
    if status.rgb.state == "lost":
        yield _with_error("the RGB camera is lost", status.rgb.error)
    if status.recording.stopped:
        yield f"the recording stopped by itself: {status.recording.stopped}"
    if status.recording.behind_ms > RECORDER_BEHIND_MS:
        yield f"the disk is too slow: a crash now would cost the last {status.recording.behind_ms / 1000:.1f} s"
    yield from status.warnings
    if earlier is not None:
        yield from _growing(status, earlier)


def _growing(status: Status, earlier: Status) -> Iterator[str]:
    made = status.results - earlier.results
    for what, count in (
        ("beyond the self-check's bound", status.flagged - earlier.flagged),
        ("late", status.late - earlier.late),
    ):
        if count > 0:
            yield f"{count} of the latest {made} results were {what}"
    for name, sink in status.sinks.items():
        if name in earlier.sinks and sink.failed > earlier.sinks[name].failed:
            yield f"the sink {name} fails: {sink.error}"


def _with_error(what: str, error: str) -> str:
    return f"{what} ({error})" if error else what
