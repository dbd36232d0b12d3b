"""A sink that writes each result as a spectral image of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from hsi_edge.io import write
from hsi_edge.io.atomic import atomic_path
from hsi_edge.live.recording_files import utc_name
from hsi_edge.live.result import LiveResult
from hsi_edge.live.telemetry import telemetry

FrameFormat = Literal["envi", "geotiff"]
_ENDINGS: dict[FrameFormat, str] = {"envi": ".img", "geotiff": ".tif"}


class FrameFiles:
    """Writes `<UTC time>-<number>` with the ending of the format, and `.json` with what is said of the result.

    Args:
        folder: Where to; it must exist.
        format: ENVI (with a header `.hdr` beside each), or GeoTIFF.
    """

    name = "frame_files"

    def __init__(self, folder: str | Path, format: FrameFormat = "envi") -> None:  # noqa: A002 - as it is called
        self._folder = Path(folder)
        self._ending = _ENDINGS[format]

    def take(self, result: LiveResult) -> None:
        """Write one result; the file of its telemetry comes last, and says that the image is complete.

        Raises:
            OutputError: If the system refuses: no room, no rights, no such folder.
            InputError: If the format cannot hold the cube.
            MissingPackageError: If the format needs a package that is not installed.
        """
        path = self._folder / f"{utc_name(result.timestamp_ns)}-{result.number:06d}{self._ending}"
        write(path, result.hr_hsi)
        with atomic_path(path.with_suffix(".json")) as unfinished:
            unfinished.write_text(json.dumps(telemetry(result), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Nothing is held."""
