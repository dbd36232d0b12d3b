"""The three files of a check, written together or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hsi_edge._version import __version__
from hsi_edge.acceptance.check import Check
from hsi_edge.acceptance.junit import junit_of
from hsi_edge.acceptance.latency import Run
from hsi_edge.acceptance.page.document import page_of
from hsi_edge.io.atomic import atomic_paths

JSON, JUNIT, HTML = "check.json", "check.junit.xml", "check.html"
SCHEMA = 1


def write_check(folder: Path, check: Check) -> tuple[Path, Path, Path]:
    """Write `check.json`, `check.junit.xml` and `check.html` into an existing folder; older ones are replaced.

    Raises:
        OutputError: If the system refuses to write; what lay there before is untouched.
    """
    paths = folder / JSON, folder / JUNIT, folder / HTML
    texts = json_of(check), junit_of(check), page_of(check)
    with atomic_paths(*paths) as temporaries:
        for temporary, text in zip(temporaries, texts, strict=True):
            temporary.write_text(text, encoding="utf-8")
    return paths


def json_of(check: Check) -> str:
    """Everything that was found, for programs. `null` is what was not measured; JSON has no infinity, so it is text."""
    plain = {"schema": SCHEMA, "hsi_edge": __version__, "passed": check.passed, **_plain(check)}
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Run):
        return _plain_run(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    return value


def _plain_run(run: Run) -> dict[str, Any]:
    return {
        "starts_s": [round(start - run.span[0], 6) for start in run.starts_s],
        "latencies_ms": [round(latency, 4) for latency in run.latencies_ms],
        "scenes": run.scenes,
    }
