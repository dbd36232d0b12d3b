"""Frame pairs out of a recording, as the rig is found from: `hsi-edge register RECORDING`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hsi_edge.cube import Cube
from hsi_edge.errors import RegistrationError
from hsi_edge.live.correction import rgb_correction, spectral_correction
from hsi_edge.live.packing import unpacked
from hsi_edge.live.pair import Pair
from hsi_edge.live.pairing import Intake
from hsi_edge.live.recording import Recording

PAIRS = 3
"""That a rig is found from: more ground, and less of the motion between two exposures."""


def recorded_pairs(path: Path) -> list[tuple[Cube, Cube]]:
    """Up to `PAIRS` pairs of a recording, spread over its length: both frames after radiometry.

    Raises:
        RecordingError: It is no recording, or is damaged.
        RegistrationError: No two frames of it were taken at the same time.
    """
    recording = Recording.open(path)
    with tempfile.TemporaryDirectory(prefix="hsi-edge-register-") as folder:
        flight = unpacked(recording.setup.files, Path(folder))
        spectral, rgb = spectral_correction(flight), rgb_correction(flight)
    intake = Intake(flight.pairing)
    kept: list[Pair] = []
    step, count = 1, 0
    for stream, frame in recording.arrivals():
        for pair in intake.arrive(stream, frame):
            if pair.rgb is None:
                continue
            if count % step == 0:
                kept.append(pair)
            count += 1
            # Thinned out as it grows, so that a long recording needs no more memory than a short one.
            if len(kept) == 4 * PAIRS:
                kept, step = kept[::2], 2 * step
    if not kept:
        raise RegistrationError(f"no two frames of {path} were taken at the same time; record both sensors, for longer")
    spread = [kept[index * (len(kept) - 1) // max(1, PAIRS - 1)] for index in range(min(PAIRS, len(kept)))]
    return [(spectral.apply(pair.spectral), rgb.apply(pair.rgb)) for pair in spread if pair.rgb is not None]
