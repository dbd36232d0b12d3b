"""The pair that speed is measured on behaves as a pair of a flight."""

from __future__ import annotations

import numpy as np
import pytest

from engines.synthetic_pair import DISPLACED_PX, LR_NOISE, MSI_NOISE, synthetic_pair
from hsi_edge.bundle import Bundle
from hsi_edge.inputs import check_inputs
from hsi_edge.preparation import prepare_frame


@pytest.fixture(params=["fieldfuse-x4", "fieldfuse-x8", "fieldfuse-x16"])
def manifest(request):
    return Bundle.open(f"engines/bundles/{request.param}").manifest


def test_its_displacement_and_noise_are_found(manifest):
    frame = prepare_frame(manifest, check_inputs(manifest, *synthetic_pair(manifest, 512), resample=False))
    found = frame.findings(None)
    assert found.translation_px == pytest.approx((DISPLACED_PX, 0), abs=0.05)
    # As parts of the peak, which is 0.9 or less.
    assert found.lr_noise == pytest.approx(LR_NOISE / 0.9, rel=0.3)
    assert found.msi_noise == pytest.approx(MSI_NOISE / 0.9, rel=0.3)


def test_it_is_the_same_every_time_and_of_any_size(manifest):
    ratio = manifest.ratio
    for side in (2 * ratio, 48, 528):
        lr_hsi, hr_msi = synthetic_pair(manifest, side)
        assert lr_hsi.shape == (side // ratio, side // ratio, 31)
        assert hr_msi.shape == (side, side, 3)
        np.testing.assert_array_equal(synthetic_pair(manifest, side)[1], hr_msi)
