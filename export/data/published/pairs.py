"""Data sets that hold what two sensors saw: the spectral frame and, sharper, an image of few bands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from export.data.published.sources import part
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError

_ALL = slice(None)


@dataclass(frozen=True, kw_only=True)
class SensorPair:
    """Two frames of the same ground; read as they are accessed.

    Attributes:
        name: Unique within the data set.
        lr_hsi: `(rows, cols, bands)`, raw.
        hr_msi: `(rows * ratio, cols * ratio, msi_bands)`, raw.
        ratio: HR pixels per LR pixel.
    """

    name: str
    lr_hsi: Cube
    hr_msi: Cube
    ratio: int


def common_ground(name: str, lr_hsi: Cube, hr_msi: Cube, ratio: int) -> SensorPair:
    """Cut two frames with a common upper left corner to the ground that both cover.

    Raises:
        InputError: If their sizes differ by more than a pixel of the spectral frame, once the ratio is taken out.
    """
    rows, cols = min(lr_hsi.rows, hr_msi.rows // ratio), min(lr_hsi.cols, hr_msi.cols // ratio)
    spare = max(lr_hsi.rows - rows, lr_hsi.cols - cols, hr_msi.rows / ratio - rows, hr_msi.cols / ratio - cols)
    if spare > 1:
        raise InputError(
            f"{name}: the frames have {lr_hsi.rows} x {lr_hsi.cols} and {hr_msi.rows} x {hr_msi.cols} pixels; wanted "
            f"the second {ratio} times as large as the first"
        )
    lr, hr = (slice(rows), slice(cols)), (slice(rows * ratio), slice(cols * ratio))
    return SensorPair(name=name, lr_hsi=cropped(lr_hsi, *lr), hr_msi=cropped(hr_msi, *hr), ratio=ratio)


def cropped(cube: Cube, rows: slice, cols: slice) -> Cube:
    """A window of a cube whose pixels are read on access; its georeference, being of the whole, is dropped."""
    mask = None if cube.mask is None else cube.mask[rows, cols]
    return replace(cube, data=part(cube.data, rows, cols, _ALL), mask=mask, georeference=None)
