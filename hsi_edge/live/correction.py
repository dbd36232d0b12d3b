"""From raw frames to cubes, as a flight file says: a mosaic's bands, then radiometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hsi_edge.cube import Cube
from hsi_edge.live.flight import Flight
from hsi_edge.radiometry import Radiometry, RadiometrySettings, read_radiometry
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.mosaic import Demosaic
from hsi_edge.sensors.mosaic_calibration import read_mosaic


@dataclass(frozen=True, eq=False)
class Correction:
    """What is done to each frame of one sensor; `demosaic` is None for all but mosaic sensors."""

    demosaic: Demosaic | None
    radiometry: Radiometry

    def apply(self, frame: SensorFrame) -> Cube:
        """Correct a frame.

        Raises:
            InputError: It does not fit the calibration.
        """
        return self.radiometry.apply(frame if self.demosaic is None else self.demosaic.apply(frame))


def spectral_correction(flight: Flight) -> Correction:
    """Of the flight's spectral sensor.

    Raises:
        InputError: A calibration file cannot be read, or is wrong.
    """
    demosaic = None if flight.mosaic is None else Demosaic(read_mosaic(Path(flight.mosaic)))
    return Correction(demosaic, _radiometry(flight.spectral_radiometry))


def rgb_correction(flight: Flight) -> Correction:
    """Of the flight's RGB camera.

    Raises:
        InputError: A calibration file cannot be read, or is wrong.
    """
    return Correction(None, _radiometry(flight.rgb_radiometry))


def _radiometry(path: str | None) -> Radiometry:
    return Radiometry(RadiometrySettings() if path is None else read_radiometry(Path(path)))
