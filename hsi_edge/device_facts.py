"""What was found out about a model on this device, remembered from one start to the next.

One small JSON file per user in a folder of its own (`cache_folder`), beside what else is kept for this device: the
engines that were built on it. All of it may be deleted at any time. Where it cannot be written (a read-only device),
nothing is remembered and all else works.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from hsi_edge.errors import OutputError
from hsi_edge.io.atomic import atomic_path

_log = logging.getLogger(__name__)
_UNREADABLE = (OSError, ValueError)


def cache_folder() -> Path:
    """Of the user, for what may be made anew: `$HSI_EDGE_CACHE`, `$XDG_CACHE_HOME/hsi-edge` or `~/.cache/hsi-edge`.

    Where there is none of them, as for users without a home in many containers, a place where nothing can be kept.
    """
    if folder := os.environ.get("HSI_EDGE_CACHE"):
        return Path(folder)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "hsi-edge"
    try:
        return Path.home() / ".cache" / "hsi-edge"
    except RuntimeError:
        return Path(os.devnull) / "hsi-edge"


def facts_file() -> Path:
    """Where the facts lie."""
    return cache_folder() / "devices.json"


def recall(key: str) -> dict[str, Any]:
    """The facts under a key; empty where nothing is known, or the file is unreadable."""
    facts = _read().get(key)
    return facts if isinstance(facts, dict) else {}


def remember(key: str, facts: dict[str, Any]) -> None:
    """Replace the facts under a key."""
    everything = _read() | {key: facts}
    try:
        path = facts_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(everything, indent=1), encoding="utf-8")
    except (*_UNREADABLE, OutputError) as err:
        _log.warning("what was measured on this device cannot be remembered, so it is measured at each start: %s", err)


def _read() -> dict[str, Any]:
    try:
        facts = json.loads(facts_file().read_text(encoding="utf-8"))
    except _UNREADABLE:
        return {}
    return facts if isinstance(facts, dict) else {}
