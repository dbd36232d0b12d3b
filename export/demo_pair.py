"""A frame pair that may be shipped with a bundle: the demo's, a spectral frame and a photograph of the Salton Sea."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from hsi_edge.io import read
from hsi_edge.spectral import resample_cube
from hsi_edge.tiling.geometry import Region

FOLDER = Path(__file__).parents[1] / "apps" / "samples" / "salton_sea"
SCALE = 10_000
"""Stored reflectance is this times reflectance."""


def sample_pair(
    ratio: int, region: Region, wavelengths_nm: tuple[float, ...]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """An LR-HSI `(rows, cols, bands)` and the RGB `(rows * ratio, cols * ratio, 3)` above it.

    The frame's local displacement is left as it is, and the photo is sampled at the nearest pixel: this pair is to look
    like real data, not to be looked at.

    Args:
        ratio: HR pixels per LR pixel.
        region: Of the sample frame, 51 x 56 pixels.
        wavelengths_nm: The bands to resample to.
    """
    frame = resample_cube(read(FOLDER / "frame.hdr"), wavelengths_nm)
    lr_hsi = np.rint(frame.physical()[region.slices] * SCALE).clip(0, None).astype(np.uint16)
    photo = np.asarray(read(FOLDER / "orthophoto.png").data)
    transform = yaml.safe_load((FOLDER / "transform.yaml").read_text(encoding="utf-8"))
    high = region.scaled(ratio)
    y, x = np.mgrid[high.rows[0] : high.rows[1], high.cols[0] : high.cols[1]]
    points = np.stack([(x + 0.5) / ratio, (y + 0.5) / ratio, np.ones(x.shape)])
    columns, rows = np.floor(np.tensordot(np.array(transform["photo_from_frame"]), points, axes=1)).astype(int)
    return lr_hsi, photo[rows, columns]
