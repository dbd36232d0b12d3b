"""The host's time, to which every sensor's clock is brought."""

from __future__ import annotations

import time

_EPOCH_NS = time.time_ns() - time.monotonic_ns()


def host_time_ns() -> int:
    """Nanoseconds since 1970, as the host believed at its start: it never jumps, whoever sets the system clock."""
    return _EPOCH_NS + time.monotonic_ns()
