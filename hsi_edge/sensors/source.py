"""The protocol of everything that frames come from."""

from __future__ import annotations

from typing import Protocol

from hsi_edge.sensors.frame import SensorFrame


class Source(Protocol):
    """A camera, a spectral sensor, a folder, a recording or a simulation.

    The constructor only checks its settings. A source is for one thread at a time; `close` may come from another.
    """

    def open(self) -> None:
        """Make ready to read.

        Raises:
            SensorError: It is not there, or cannot be used; says what to do. It may be opened again later.
        """

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the next frame; a live camera's newest.

        Args:
            timeout_s: How long to wait for it, in seconds.

        Raises:
            SensorTimeout: None came in that time; read again.
            SensorEnded: There are no more.
            SensorError: The sensor was lost; close it and open it again.
        """

    def close(self) -> None:
        """Give back what was opened; a waiting `read` ends soon. A second call does nothing."""
