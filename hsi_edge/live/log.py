"""What the live commands log: lines for people on a terminal, one JSON object per line elsewhere (journald, a file)."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone
from typing import Any

_SILENT = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}  # AV_LOG_QUIET
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object per record: `time` (ISO 8601, UTC), `level`, `part`, `message`, and what the caller added."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("hsi_edge."),
            "message": record.getMessage(),
        }
        fields.update((key, value) for key, value in vars(record).items() if key not in _OWN)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def log_to_stderr() -> None:
    """Send this package's log to stderr, from level info on; other packages' from warning on, as before.

    OpenCV and FFmpeg, which write of every camera that fails past every log, are silenced where the environment does
    not say how loud they are to be; OpenCV reads it when it is first imported. Why a camera failed, this package tells.
    """
    for name, level in _SILENT.items():
        os.environ.setdefault(name, level)
    handler = logging.StreamHandler(sys.stderr)
    on_terminal = sys.stderr.isatty()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(plain if on_terminal else JsonLines())
    logger = logging.getLogger("hsi_edge")
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    logger.propagate = False
