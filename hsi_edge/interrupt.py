"""Ctrl-C while the program loads, or when its work is done: one line, and out. Imports next to nothing itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130
"""The exit code: 128 and the signal's number, as shells have it."""


def end_at_once_when_interrupted() -> None:
    """From now on Ctrl-C ends the process, with one line, wherever it comes upon.

    Where Ctrl-C means something else than Python's KeyboardInterrupt (a shell's background jobs do not hear it), or in
    a thread, which may not say what it means, nothing is changed.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _handle(_end)


@contextmanager
def ended_at_once_when_interrupted() -> Iterator[None]:
    """The same for a block. For imports: an exception would come upon places that show it and go on."""
    end_at_once_when_interrupted()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _end:
            _handle(signal.default_int_handler)


def _end(*_: object) -> None:
    # Not through sys.stderr, which may be in the very middle of something.
    with suppress(OSError):
        os.write(2, b"hsi-edge: interrupted\n")
    os._exit(INTERRUPTED)


def _handle(handler: Callable[..., object]) -> None:
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, handler)
