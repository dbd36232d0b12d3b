"""The accuracy gate: what a graph may lose to FP32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calib.judge import MOST_DB, Scores
from hsi_edge.errors import InputError, ManifestError
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain

MAX_GATE_BYTES = 1 << 16
Narrow = Literal["fp16", "int8"]
"""The precisions that are made of FP32."""


def _want(ok: bool, name: str, value: float, wanted: str) -> None:
    if not ok:
        raise InputError(f"{name} is {value:g}; wanted {wanted}")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Limits on what held-out frames lose. NaN and infinity are never allowed.

    Attributes:
        psnr_loss_db: PSNR against the truth that may be lost.
        sam_percent: By how much the mean spectral angle against the truth may grow, in percent.
        sam_p95_percent: The same of the angle that 95 percent of the pixels do not pass.
        worst_band_rmse: Largest RMSE of a band against FP32, in parts of the frame's peak.
        psnr_db: Least PSNR against FP32.
        sam_deg, sam_p95_deg: Largest spectral angle against FP32, judged only where no truth is known.

    Raises:
        InputError: A limit that nothing can meet.
    """

    psnr_loss_db: float
    sam_percent: float
    sam_p95_percent: float
    worst_band_rmse: float
    psnr_db: float
    sam_deg: float
    sam_p95_deg: float

    def __post_init__(self) -> None:
        for name in ("psnr_loss_db", "sam_percent", "sam_p95_percent"):
            _want(getattr(self, name) >= 0, name, getattr(self, name), "0 or more: a graph is not asked to beat FP32")
        for name in ("worst_band_rmse", "sam_deg", "sam_p95_deg"):
            _want(getattr(self, name) > 0, name, getattr(self, name), "more than 0: every rounding shows")
        _want(self.psnr_db < MOST_DB, "psnr_db", self.psnr_db, f"less than {MOST_DB:g}: every rounding shows")
        _want(
            self.sam_p95_deg >= self.sam_deg,
            "sam_p95_deg",
            self.sam_p95_deg,
            f"sam_deg ({self.sam_deg:g}) or more: the two contradict each other",
        )


DEFAULT_GATES: dict[Narrow, Gate] = {
    "fp16": Gate(
        psnr_loss_db=0.02,
        sam_percent=0.5,
        sam_p95_percent=1.0,
        worst_band_rmse=0.001,
        psnr_db=60.0,
        sam_deg=0.1,
        sam_p95_deg=0.3,
    ),
    "int8": Gate(
        psnr_loss_db=0.2,
        sam_percent=3.0,
        sam_p95_percent=5.0,
        worst_band_rmse=0.02,
        psnr_db=40.0,
        sam_deg=0.5,
        sam_p95_deg=1.5,
    ),
}


def read_gate(path: Path | None, precision: Narrow) -> Gate:
    """The gate of a YAML file, whose missing keys are the precision's defaults; without a file, the defaults.

    Raises:
        InputError: The file cannot be read, has an unknown key, or a limit that nothing can meet.
    """
    if path is None:
        return DEFAULT_GATES[precision]
    try:
        given = plain_from_yaml(path.read_bytes(), MAX_GATE_BYTES)
        default = plain_from_record(DEFAULT_GATES[precision])
        assert isinstance(default, dict)
        return record_from_plain(Gate, default | given if isinstance(given, dict) else given)
    except OSError as err:
        raise InputError(f"cannot read the gate {path} ({err.strerror}); check the path") from err
    except (ManifestError, InputError) as err:
        raise InputError(f"the gate {path}: {err}") from err


@dataclass(frozen=True)
class Check:
    """One limit and what was measured.

    Attributes:
        name: What was measured, in words.
        value: How much it is.
        limit: What the gate allows.
        at_least: Whether `limit` is the least that passes, not the most.
        form: How the numbers are written.
    """

    name: str
    value: float
    limit: float
    at_least: bool = False
    form: str = "{:.3f}"

    @property
    def passed(self) -> bool:
        """Whether the value keeps the limit; NaN does not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def allowed(self) -> str:
        """The limit in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}"


def checks(gate: Gate, scores: Scores) -> tuple[Check, ...]:
    """Every limit that applies: against the truth where there is one, and against FP32."""
    near = (
        Check("PSNR against FP32 [dB]", scores.psnr_db, gate.psnr_db, at_least=True, form="{:.1f}"),
        Check("worst band RMSE against FP32", scores.worst_band_rmse, gate.worst_band_rmse, form="{:.5f}"),
    )
    truth = scores.truth
    if truth is None:
        return (
            Check("spectral angle against FP32 [degrees]", scores.sam_deg, gate.sam_deg),
            Check("its 95th percentile [degrees]", scores.sam_p95_deg, gate.sam_p95_deg),
            *near,
        )
    return (
        Check("PSNR loss [dB]", truth.psnr_loss_db, gate.psnr_loss_db),
        Check("growth of the spectral angle [%]", truth.sam_change_percent, gate.sam_percent, form="{:.2f}"),
        Check("growth of its 95th percentile [%]", truth.sam_p95_change_percent, gate.sam_p95_percent, form="{:.2f}"),
        *near,
    )


def failures(gate: Gate, scores: Scores) -> tuple[str, ...]:
    """What of a gate the scores do not meet, in words; empty where they pass."""
    if scores.overflowed:
        return (f"NaN or infinity on {', '.join(scores.overflowed)}",)
    return tuple(
        f"{check.name} {check.form.format(check.value)}, {check.allowed} allowed"
        for check in checks(gate, scores)
        if not check.passed
    )
