"""What a check is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.result import Settings

DEFAULT_GATE = "the default gate, as no gate file was given"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be checked.

    Attributes:
        settings: The engine as it will fly.
        against: Another engine to compare it with; None for none.
        data: The folder of reference scenes; None for the golden pair alone.
        gate: The limits; None for the default.
        gate_source: Where they come from, in words.
        lr_shape: Size of the frames whose latency is measured, in LR pixels; None for that of the scenes.
        fps: The frame rate; None runs frames back to back.
        frames: How many are measured.
        soak_minutes: Of the long run; None for none.
    """

    settings: Settings
    against: Settings | None = None
    data: Path | None = None
    gate: Gate | None = None
    gate_source: str = DEFAULT_GATE
    lr_shape: tuple[int, int] | None = None
    fps: float | None = None
    frames: int = 300
    soak_minutes: float | None = None
