"""How far long work is, for a person who waits for it."""

from __future__ import annotations

import shutil
import time
from types import TracebackType
from typing import TextIO

_REDRAW_NS = 100_000_000


class Progress:
    """Call it with the steps done and all steps: a bar on a terminal, elsewhere a plain line for each tenth.

    Used with `with`, it leaves the cursor on a line of its own, also when the work fails.
    """

    def __init__(self, stream: TextIO, what: str) -> None:
        self._stream = stream
        self._what = what
        self._is_terminal = stream.isatty()
        self._started_ns = time.perf_counter_ns()
        self._drawn_ns = 0
        self._tenths = 0
        self._line_open = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line_open:
            self._stream.write("\n")
            self._stream.flush()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` steps, at least one, are done."""
        if self._is_terminal:
            self._draw(done, total)
        elif done * 10 // total > self._tenths:
            self._tenths = done * 10 // total
            self._stream.write(f"{self._what}: {done} of {total}\n")
            self._stream.flush()

    def _draw(self, done: int, total: int) -> None:
        now_ns = time.perf_counter_ns()
        if done < total and now_ns - self._drawn_ns < _REDRAW_NS:
            return
        self._drawn_ns = now_ns
        left_s = (now_ns - self._started_ns) * (total - done) / max(done, 1) / 1e9
        text = f" {done} of {total}, {left_s:.0f} s left" if done < total else f" {done} of {total}"
        cells = max(0, min(40, shutil.get_terminal_size().columns - len(self._what) - len(text) - 5))
        full = cells * done // total
        self._stream.write(f"\r\x1b[K{self._what} [{'#' * full}{'.' * (cells - full)}]{text}")
        self._stream.flush()
        self._line_open = True
