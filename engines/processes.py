"""Measurements in processes of their own, one after the other, so that each one's memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Processes:
    """Starts processes one after the other, says so, and keeps what they answer.

    Args:
        cache: Folder of what devices remember (`HSI_EDGE_CACHE`).
        say: Called with the title of each.
    """

    def __init__(self, cache: Path, say: Callable[[str], None]) -> None:
        self._environment = {**os.environ, "HSI_EDGE_CACHE": str(cache)}
        self._say = say
        self.raw: dict[str, Any] = {}

    def job(self, title: str, job: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What one of `engines.jobs` answers, or `error`: why it failed."""
        return self.run(title, ["-m", "engines.jobs", job, json.dumps(arguments)])

    def run(self, title: str, arguments: Sequence[str]) -> dict[str, Any]:
        """What a Python program prints in its last line, as JSON; a number alone stands for seconds."""
        self._say(title)
        command = [sys.executable, *arguments]
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            result: dict[str, Any] = {
                "error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            }
        else:
            answer = json.loads(done.stdout.strip().splitlines()[-1])
            result = answer if isinstance(answer, dict) else {"seconds": [answer]}
        self.raw.setdefault(title, []).append(result)
        return result
