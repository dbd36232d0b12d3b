"""Write the files of this folder from the research archive they come from (see README.md).

Run from a checkout: `python -m apps.samples.salton_sea.make_samples PATH/TO/pair_salton_sea.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.io import write

FOLDER = Path(__file__).parent
SCALE_FACTOR = 10_000.0
NODATA = -9999

TRANSFORM_COMMENT = """\
# The published registration of frame.hdr and orthophoto.png; the convention is explained in README.md.
# Points are (x, y): x to the right, y down, in pixels, counted from the upper left corner of the image. The middle of
# the first pixel is (0.5, 0.5).
#
# photo_from_frame: 2 x 3; photo point = matrix @ (x, y, 1) for a point (x, y) of the straightened frame.
# displacement: file with (dx, dy) per frame pixel, (rows, cols, 2) in frame pixels. The straightened frame has at
#   (x, y) what the frame as measured has at (x + dx, y + dy).
"""


def main(archive: Path) -> None:
    """Write the frame, the photo and the transform beside this script."""
    with np.load(archive, allow_pickle=False) as pair:
        write(FOLDER / "frame.hdr", _frame(pair["cube"], pair["wavelength_nm"], pair["bbl"]))
        cv2.imwrite(str(FOLDER / "orthophoto.png"), pair["rgb_hires"][:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        displacement = np.stack([pair["ref_U"], pair["ref_V"]], axis=-1)
        np.save(FOLDER / "displacement.npy", displacement.astype(np.float32))
        # The archive's rotation and translation apply to points already scaled by (scale_x, scale_y).
        matrix = pair["ref_T"] @ np.diag([*pair["ref_scale"].ravel(), 1.0])
    transform = {"photo_from_frame": matrix[:2].tolist(), "displacement": "displacement.npy"}
    (FOLDER / "transform.yaml").write_text(TRANSFORM_COMMENT + yaml.safe_dump(transform, sort_keys=False))


def _frame(
    reflectance: NDArray[np.float32], wavelengths_nm: NDArray[np.float64], good_bands: NDArray[np.uint8]
) -> Cube:
    stored = np.where(np.isnan(reflectance), NODATA, np.rint(reflectance * SCALE_FACTOR)).astype(np.int16)
    return Cube(
        data=stored,
        wavelengths_nm=wavelengths_nm,
        bad_bands=good_bands == 0,
        quantity="reflectance",
        scale_factor=SCALE_FACTOR,
        nodata=NODATA,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
