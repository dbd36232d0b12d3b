from __future__ import annotations

import numpy as np

from export.demo_pair import sample_pair
from hsi_edge.tiling.geometry import Region

WAVELENGTHS_NM = tuple(np.linspace(400, 700, 31).tolist())


def test_the_photo_lies_above_the_frame() -> None:
    lr_hsi, hr_msi = sample_pair(8, Region(4, 44, 6, 50), WAVELENGTHS_NM)
    brightness = lr_hsi.mean(axis=2)
    photo = hr_msi.mean(axis=2).reshape(40, 8, 44, 8).mean(axis=(1, 3))
    assert np.corrcoef(brightness.ravel(), photo.ravel())[0, 1] > 0.8
    assert np.corrcoef(brightness[:, ::-1].ravel(), photo.ravel())[0, 1] < 0.5


def test_the_pair_is_of_the_sizes_and_types_that_sensors_deliver() -> None:
    lr_hsi, hr_msi = sample_pair(4, Region(0, 5, 0, 6), WAVELENGTHS_NM[:8])
    assert (lr_hsi.shape, lr_hsi.dtype) == ((5, 6, 8), np.uint16)
    assert (hr_msi.shape, hr_msi.dtype) == ((20, 24, 3), np.uint8)
