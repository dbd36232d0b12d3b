"""Two frames that show the same moment."""

from __future__ import annotations

from dataclasses import dataclass

from hsi_edge.sensors.frame import SensorFrame


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A spectral frame, and the RGB frame that was taken with it.

    Attributes:
        spectral: The spectral frame.
        rgb: The RGB frame nearest in time; None where none was near enough.
        timestamp_ns: Of the spectral frame, in the host's time.
        apart_ns: RGB time less spectral time, both in the host's; None without an RGB frame.
        lack: Why there is no RGB frame, in words; empty where there is one.
    """

    spectral: SensorFrame
    rgb: SensorFrame | None
    timestamp_ns: int
    apart_ns: int | None = None
    lack: str = ""
