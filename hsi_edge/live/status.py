"""What the pipeline says of itself: one frozen value for the viewer, the metrics, the health page and the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hsi_edge.live.result import Mode

StreamState = Literal["waiting", "running", "lost", "ended"]
"""Never sent a frame; sends; stopped sending; has no more."""


@dataclass(frozen=True, kw_only=True)
class StreamStatus:
    """One sensor.

    Attributes:
        state: Whether it sends.
        frames: That arrived.
        frames_per_s: Over the last seconds.
        newest_age_ms: How old the newest one is; None before the first.
        lost: Gaps in its sequence numbers.
        refused: Frames that were damaged, of the wrong size, repeated, or out of order.
        reopened: How often it was opened again.
        clock_jumps: How often its clock jumped.
        error: Its latest error, in words; empty where it is well.
    """

    state: StreamState = "waiting"
    frames: int = 0
    frames_per_s: float = 0.0
    newest_age_ms: float | None = None
    lost: int = 0
    refused: int = 0
    reopened: int = 0
    clock_jumps: int = 0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class SinkStatus:
    """One sink: results that it took, that passed it by as it was busy, and that it failed on; its latest error."""

    taken: int = 0
    passed_by: int = 0
    failed: int = 0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordingStatus:
    """The recorder.

    Attributes:
        on: Whether it records.
        path: The file.
        frames: Raw frames that are safe on the disk.
        missed: Frames that it could not take, as the disk was too slow, or that were lost when it stopped by itself.
        behind_ms: How long the oldest of what waits for the disk has waited: what a crash would cost now.
        bytes_written, free_bytes: On the disk.
        stopped: Why it stopped by itself; empty where it did not.
    """

    on: bool = False
    path: str = ""
    frames: int = 0
    missed: int = 0
    behind_ms: float = 0.0
    bytes_written: int = 0
    free_bytes: int = 0
    stopped: str = ""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Of the last some hundred results, in milliseconds."""

    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass(frozen=True, kw_only=True)
class Status:
    """The pipeline at one moment.

    Attributes:
        uptime_s: Since the start.
        mode: Of the latest result; None before the first.
        reason: Why it was not fused; empty in the mode fusion.
        mode_since_s: How long results have been made in this mode.
        rgb, spectral: The sensors.
        results: That were made; among them `fused`, `flagged` (beyond the self-check's bound), `withheld` and `late`.
        unpaired_rgb, unpaired_spectral: Frames without a partner near enough in time.
        skipped: Pairs that a newer one overtook, as the engine was busy.
        failed: Pairs that no result could be made of, and `failure`, the latest one's reason.
        unmeasured_rgb_px: HR pixels of the latest result that the RGB frame held no measurement for (saturated, dead,
            masked, or beyond its border), and that have no value; 0 in the mode single.
        waiting: Pairs that wait for the engine: back-pressure.
        latencies: By stage, and `age` from arrival to result.
        deadline_ms: For `age`.
        sinks: By name.
        recording: The recorder's.
        memory_bytes: Of this process.
        warnings: What somebody should know, in words.
    """

    uptime_s: float
    mode: Mode | None
    reason: str
    mode_since_s: float
    rgb: StreamStatus
    spectral: StreamStatus
    results: int
    fused: int
    flagged: int
    withheld: int
    late: int
    unpaired_rgb: int
    unpaired_spectral: int
    skipped: int
    failed: int
    failure: str
    waiting: int
    latencies: Mapping[str, Latency]
    deadline_ms: float
    sinks: Mapping[str, SinkStatus]
    recording: RecordingStatus
    memory_bytes: int
    warnings: tuple[str, ...] = ()
    unmeasured_rgb_px: int = 0
