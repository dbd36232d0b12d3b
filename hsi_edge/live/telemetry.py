"""A result in words and numbers, without its pixels: what recordings, files and other programs are told of it."""

from __future__ import annotations

import math
from typing import Any

from hsi_edge.live.digest import digest
from hsi_edge.live.result import LiveResult
from hsi_edge.records import plain_from_record
from hsi_edge.sensors.frame import SensorFrame

_NUMBER = {"type": ["number", "null"]}
_FRAME = {
    "type": ["object", "null"],
    "properties": {name: {"type": "integer"} for name in ("sequence", "arrival_ns", "timestamp_ns")},
}
TELEMETRY_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "hsi_edge.Telemetry",
    "description": "One result of the live fusion; null is a number that is not known or not finite.",
    "type": "object",
    "properties": {
        "number": {"type": "integer", "description": "counts results from 0"},
        "timestamp_ns": {"type": "integer", "description": "exposure of the spectral frame, in the host's time"},
        "mode": {"enum": ["fusion", "single"]},
        "reason": {"type": "string", "description": "why it was not fused"},
        "age_ms": {**_NUMBER, "description": "from the spectral frame's arrival to the result"},
        "late": {"type": "boolean"},
        "withheld": {"type": "boolean", "description": "kept from all but the recording, as the check flagged it"},
        "digest": {"type": "integer", "description": "of the result's pixels: hsi_edge.live.digest"},
        "timings_ms": {"type": "object", "additionalProperties": _NUMBER},
        "pair": {
            "type": "object",
            "description": "which raw frames it was made of",
            "properties": {
                "spectral": _FRAME,
                "rgb": _FRAME,
                "apart_ns": {"type": ["integer", "null"]},
                "lack": {"type": "string"},
            },
        },
        "refinement": {"type": ["object", "null"], "description": "how the RGB frame lay, in LR pixels"},
        "check": {
            "type": "object",
            "properties": {
                "spectral": _NUMBER,
                "rgb": _NUMBER,
                "flagged": {"type": "boolean"},
                "reasons": {"type": "array", "items": {"type": "string"}},
            },
        },
        "report": {"type": "object", "description": "what the engine said of the run"},
    },
    "required": ["number", "timestamp_ns", "mode", "pair"],
}
"""JSON schema of `telemetry`."""


def telemetry(result: LiveResult) -> dict[str, Any]:
    """All that a result says but its pixels, as plain JSON values; what is not finite becomes None."""
    pair, check = result.pair, result.check
    plain = {
        "number": result.number,
        "timestamp_ns": result.timestamp_ns,
        "mode": result.mode,
        "reason": result.reason,
        "age_ms": result.age_ms,
        "late": result.late,
        "withheld": result.withheld,
        "digest": digest(result),
        "timings_ms": plain_from_record(result.timings_ms),
        "pair": {
            "spectral": _frame(pair.spectral),
            "rgb": None if pair.rgb is None else _frame(pair.rgb),
            "apart_ns": pair.apart_ns,
            "lack": pair.lack,
        },
        "refinement": plain_from_record(result.refinement),
        "check": plain_from_record(
            {"spectral": check.spectral, "rgb": check.rgb, "flagged": check.flagged, "reasons": check.reasons}
        ),
        "report": plain_from_record(result.report),
    }
    return {key: _finite(value) for key, value in plain.items()}


def _frame(frame: SensorFrame) -> dict[str, int]:
    return {
        "sequence": int(frame.sequence),
        "arrival_ns": int(frame.arrival_ns),
        "timestamp_ns": int(frame.timestamp_ns),
    }


def _finite(value: object) -> object:
    # JSON has no word for NaN and infinity; what other programs read must be JSON.
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
