"""The real scene that tiling is checked on: the project's sample pair, as two frames of a flight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from hsi_edge.io import read
from hsi_edge.manifest import Manifest
from hsi_edge.spectral import resample_cube

SAMPLES = Path(__file__).parents[1] / "apps" / "samples" / "salton_sea"
FLIGHT_ROWS = 3
"""LR rows that the second frame lies further on than the first."""
FramePair = tuple[NDArray[np.float32], NDArray[np.uint8] | None]
ANY_BANDS_NM = tuple(np.linspace(400, 700, 31).tolist())
"""For a model that takes any."""


def frame_pairs(manifest: Manifest) -> tuple[FramePair, FramePair]:
    """Two overlapping frames of the scene, in the bands and at the ratio of a model: the frame before, and one.

    The photo is laid on the frame by the published transform alone, without its local displacement; a single-image
    model gets none.
    """
    lr_hsi = resample_cube(read(SAMPLES / "frame.hdr"), manifest.bands.wavelengths_nm or ANY_BANDS_NM).physical()
    if manifest.task == "single":
        return (lr_hsi[:-FLIGHT_ROWS], None), (lr_hsi[FLIGHT_ROWS:], None)
    photo = np.asarray(read(SAMPLES / "orthophoto.png").data)
    fields = yaml.safe_load((SAMPLES / "transform.yaml").read_text(encoding="utf-8"))
    hr_msi = _on_grid(photo, np.array(fields["photo_from_frame"]), lr_hsi.shape[:2], manifest.ratio)
    kept = FLIGHT_ROWS * manifest.ratio
    return (lr_hsi[:-FLIGHT_ROWS], hr_msi[:-kept]), (lr_hsi[FLIGHT_ROWS:], hr_msi[kept:])


def _on_grid(
    photo: NDArray[np.uint8], photo_from_frame: NDArray[np.float64], frame: tuple[int, ...], ratio: int
) -> NDArray[np.uint8]:
    """The photo's pixel nearest to each HR pixel."""
    y, x = ((np.indices((frame[0] * ratio, frame[1] * ratio)) + 0.5) / ratio).reshape(2, -1)
    at_x, at_y = np.floor(photo_from_frame @ np.stack([x, y, np.ones_like(x)])).astype(np.int64)
    nearest = photo[np.clip(at_y, 0, photo.shape[0] - 1), np.clip(at_x, 0, photo.shape[1] - 1)]
    grid: NDArray[np.uint8] = nearest.reshape(frame[0] * ratio, frame[1] * ratio, -1)
    return grid
