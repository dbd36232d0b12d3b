"""What the live pipeline hands to its sinks: one HR-HSI, what it was made of, how, and how far it is to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.live.pair import Pair
from hsi_edge.live.self_check import SelfCheck
from hsi_edge.registration.refine import Refinement
from hsi_edge.run_report import RunReport

Mode = Literal["fusion", "single"]
"""Made of both sensors, or of the spectral frame alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveResult:
    """One frame of the sharp stream. Sinks share it: nobody writes to its arrays.

    Attributes:
        number: Counts results from 0, withheld ones too.
        timestamp_ns: When the spectral frame was exposed, in the host's time.
        hr_hsi: `(h * ratio, w * ratio, S)` float32.
        mode: How it was made.
        reason: Why it was not fused, in words; empty in the mode fusion.
        lr_hsi: `(h, w, S)`, the spectral frame after radiometry, as the engine was given it.
        hr_msi: `(h * ratio, w * ratio, 3)`, the RGB frame on the HR grid, of no meaning where it was not measured and
            `hr_hsi` has no value; None in the mode single.
        pair: The raw frames.
        refinement: How the RGB frame lay; None in the mode single.
        check: How well the result agrees with what it was made of.
        report: The engine's.
        timings_ms: By stage: `radiometry`, `registration`, `prepare`, `engine`, `check`.
        age_ms: From the spectral frame's arrival to now, when the result was ready.
        late: Whether `age_ms` passed the deadline.
        withheld: Whether the check's verdict keeps it from every sink but the recorder.
    """

    number: int
    timestamp_ns: int
    hr_hsi: Cube
    mode: Mode
    reason: str
    lr_hsi: Cube
    hr_msi: NDArray[Any] | None
    pair: Pair
    refinement: Refinement | None
    check: SelfCheck
    report: RunReport
    timings_ms: Mapping[str, float]
    age_ms: float
    late: bool
    withheld: bool = False
