"""A folder of pictures, played as if a camera sent them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hsi_edge.errors import InputError, SensorEnded, SensorError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.io import read
from hsi_edge.sensors.cube_frames import frame_from_cube
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.pacing import Pace

_log = logging.getLogger(__name__)

_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, kw_only=True)
class ImagesSettings:
    """A folder of PNG, JPEG and TIFF files.

    Attributes:
        folder: Its path.
        fps: Frames per second, for their times and their pace; 0 gives them as fast as they are read.
    """

    source: Literal["images"]
    folder: str
    fps: float = 0.0


class ImagesSource:
    """Every picture of the folder once, in the order of their names (2 before 10), as they were when it was opened.

    Attributes:
        refused: Files that could not be read; their place in the sequence stays empty.
        error: The latest one, and why; empty if none.

    Args:
        settings: Which folder, and how fast.
        clock: Gives host time in nanoseconds.
        wait: See `Pace`.

    Raises:
        InputError: If the rate is negative.
    """

    def __init__(
        self,
        settings: ImagesSettings,
        clock: Callable[[], int] = host_time_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._folder = Path(settings.folder)
        self._clock = clock
        self._wait = wait
        self._fps = settings.fps
        self._pace = self._new_pace()
        self._files: list[Path] | None = None
        self._next = 0
        self.refused = 0
        self.error = ""

    def open(self) -> None:
        """List the files.

        Raises:
            SensorError: If the folder is missing, or has no picture.
        """
        self.close()
        try:
            files = [file for file in self._folder.iterdir() if file.suffix.lower() in _ENDINGS]
        except OSError as err:
            raise SensorError(f"cannot list the pictures in {self._folder} ({err.strerror}); check the path") from err
        files = [file for file in files if not file.name.startswith(".")]
        if not files:
            raise SensorError(f"{self._folder} holds no picture; wanted files that end in {', '.join(_ENDINGS)}")
        self._files, self._next = sorted(files, key=_natural), 0
        self._pace = self._new_pace()

    def read(self, timeout_s: float) -> SensorFrame:
        """Return the next picture when it is due; see `Source`."""
        files = self._files
        if files is None:
            raise SensorError(f"the pictures in {self._folder} are not open; open them first")
        while self._next < len(files):
            timestamp_ns = self._pace.frame_due(self._next, timeout_s)
            index, self._next = self._next, self._next + 1
            try:
                cube = read(files[index])
                return frame_from_cube(cube, timestamp_ns=timestamp_ns, sequence=index, arrival_ns=self._clock())
            except InputError as err:
                self.refused += 1
                self.error = str(err)
                _log.warning("%s; it is left out", err)
        raise SensorEnded(f"{self._folder} has no more pictures")

    def close(self) -> None:
        """Forget the files."""
        self._pace.stop()
        self._files = None

    def _new_pace(self) -> Pace:
        return Pace(self._fps, self._clock, self._wait)


def _natural(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts names as people do: numbers by their value."""
    parts = _DIGITS.split(file.name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], file.name
