"""What the viewer says to a page: JSON, and frames as one binary message of a JSON header and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from hsi_edge.cube import Cube
from hsi_edge.live.health import Health
from hsi_edge.live.result import LiveResult
from hsi_edge.live.status import Status
from hsi_edge.live.viewer.pictures import (
    CONFIDENCE_COLOURS,
    INDEX_COLOURS,
    NO_MEASUREMENT,
    RESIDUAL_COLOURS,
    RESIDUAL_TOP,
    Painting,
    Picture,
)
from hsi_edge.live.viewer.spectra import Spectrum
from hsi_edge.live.viewer.view import INDICES, INFRARED_NM, View, near, shown_bands

Plain = dict[str, Any]

_SLOWEST_FPS = 0.5


def json_text(plain: object) -> str:
    """JSON as JavaScript reads it: what is no finite number becomes null."""
    return json.dumps(_plain(plain), separators=(",", ":"), allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value):
        return _plain(vars(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain(value.item()) if isinstance(value, np.generic) else value


def scene_message(result: LiveResult) -> Plain:
    """What stays the same from frame to frame: sizes, bands, and what can be shown of them."""
    cube = result.hr_hsi
    return {
        "say": "scene",
        "rows": cube.rows,
        "cols": cube.cols,
        "ratio": cube.rows // result.lr_hsi.rows,
        "bands": cube.n_bands,
        "wavelengths_nm": None if cube.wavelengths_nm is None else cube.wavelengths_nm.round(2).tolist(),
        "quantity": cube.quantity or "value",
        "unit": cube.unit,
        "natural": list(shown_bands(View(), cube)),
        "infrared": near(cube, INFRARED_NM),
        "indices": [_index_facts(name, cube) for name in INDICES],
        "colours": {
            "index": INDEX_COLOURS,
            "residual": RESIDUAL_COLOURS,
            "residual_top": RESIDUAL_TOP,
            "confidence": [[colour, words] for _, colour, words in CONFIDENCE_COLOURS],
            "no_measurement": NO_MEASUREMENT,
        },
    }


def _index_facts(name: str, cube: Cube) -> Plain:
    index = INDICES[name]
    return {
        "name": name,
        "title": index.title,
        "meaning": index.meaning,
        "needs_nm": [index.upper_nm, index.lower_nm],
        "there": near(cube, (index.upper_nm, index.lower_nm)) is not None,
    }


def frame_message(result: LiveResult, painting: Painting, moment: Plain) -> bytes:
    """A result and its pictures: the header's length (4 bytes, little-endian), the header, and the pictures in order.

    Args:
        result: What is shown.
        painting: How.
        moment: What is true at the time of sending: whose wish this is, age, status.
    """
    pictures: dict[str, Picture] = {"sensor": painting.sensor, "fused": painting.fused}
    if painting.overlay is not None:
        pictures["overlay"] = painting.overlay
    header = {
        "say": "frame",
        **_frame_facts(result),
        "legend": painting.legend,
        "pictures": [[name, picture.kind, len(picture.data)] for name, picture in pictures.items()],
        **moment,
    }
    text = json_text(header).encode()
    return b"".join((len(text).to_bytes(4, "little"), text, *(picture.data for picture in pictures.values())))


def _frame_facts(result: LiveResult) -> Plain:
    return {
        "number": result.number,
        "timestamp_ms": result.timestamp_ns // 1_000_000,
        "mode": result.mode,
        "reason": result.reason,
        "flagged": result.check.flagged,
        "doubts": result.check.reasons,
        "spectral_residual": result.check.spectral,
        "rgb_residual": result.check.rgb,
        "late": result.late,
        "timings_ms": dict(result.timings_ms),
        "shift_lr": None if result.refinement is None else [result.refinement.dx_lr, result.refinement.dy_lr],
        "explained": None if result.refinement is None else result.refinement.explained,
    }


def status_facts(status: Status, health: Health) -> Plain:
    """The pipeline's state, and when a picture is to be taken for stale.

    A picture is stale when the next one is later than it may be: an interval of the sensor (and a half, as it is no
    clock) and the deadline. A lost sensor makes it stale at once.
    """
    interval_ms = 1.5e3 / max(status.spectral.frames_per_s, _SLOWEST_FPS)
    stale_after_ms = 0.0 if status.spectral.state == "lost" else status.deadline_ms + interval_ms
    return {**vars(status), "health": health, "stale_after_ms": stale_after_ms}


def spectra_message(request: int, number: int, sensor: Spectrum, fused: Spectrum) -> Plain:
    """The answer to one request, by its number, and the frame that it was measured in."""
    return {
        "say": "spectra",
        "request": request,
        "number": number,
        "sensor": _spectrum_facts(sensor),
        "fused": _spectrum_facts(fused),
    }


def _spectrum_facts(spectrum: Spectrum) -> Plain:
    return {
        "mean": _significant(spectrum.mean),
        "std": None if spectrum.std is None else _significant(spectrum.std),
        "pixels": spectrum.pixels,
    }


def _significant(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in np.asarray(values).tolist()]
