from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from hsi_edge.live.log import JsonLines, log_to_stderr
from tests.hsi_edge.live.test_command import _own_log as _own_log


def test_a_record_is_one_line_of_json_with_what_the_caller_added() -> None:
    record = logging.makeLogRecord(
        {
            "name": "hsi_edge.live.pipeline",
            "levelname": "WARNING",
            "msg": "two\nlines %d",
            "args": (3,),
            "created": 0.25,
        }
    )
    record.mode, record.path = "single", Path("x")
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250+00:00",
        "level": "warning",
        "part": "live.pipeline",
        "message": "two\nlines 3",
        "mode": "single",
        "path": "x",
    }


def test_a_traceback_stays_in_its_line() -> None:
    try:
        int("odd")
    except ValueError:
        record = logging.makeLogRecord({"name": "hsi_edge", "msg": "failed", "exc_info": sys.exc_info()})
    assert "ValueError: invalid literal" in json.loads(JsonLines().format(record))["traceback"]


@pytest.mark.parametrize("terminal", [True, False])
def test_people_get_plain_lines_and_programs_json_each_once(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    log_to_stderr()
    log_to_stderr()
    logging.getLogger("hsi_edge.live.test").info("taken off")
    logging.getLogger("hsi_edge.live.test").debug("not this")
    (line,) = stderr.getvalue().splitlines()
    assert line.endswith("INFO taken off") if terminal else json.loads(line)["message"] == "taken off"
