from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.inputs import ACCEPTED, check_inputs
from tests.tiny_bundles import WAVELENGTHS_NM, frame_pair, fusion_manifest, lr_manifest, regression_manifest

MANIFEST = fusion_manifest(2)
SINGLE = lr_manifest(("lr_hsi",))


@pytest.fixture
def pair(rng):
    return frame_pair(rng, (6, 5))


def check(lr_hsi, hr_msi, manifest=MANIFEST, *, resample=False):
    return check_inputs(manifest, lr_hsi, hr_msi, resample=resample)


@pytest.mark.parametrize("dtype", [*ACCEPTED, ">u2", ">f4"])
def test_each_accepted_type_keeps_its_values(pair, dtype):
    lr_hsi, hr_msi = ((100 * array).astype(dtype) for array in pair)
    given = check(lr_hsi, hr_msi)
    assert given.lr_hsi.dtype == np.float32
    np.testing.assert_array_equal(given.lr_hsi, lr_hsi.astype(np.float32))
    assert given.hr_msi is hr_msi


def test_the_msi_of_a_cube_is_physical_and_keeps_its_mask(pair):
    lr_hsi, hr_msi = pair
    mask = np.ones(hr_msi.shape[:2], bool)
    mask[1, 2] = False
    counts = (100 * hr_msi).astype(np.uint8)
    given = check(lr_hsi, Cube(data=counts, mask=mask))
    assert given.hr_msi is counts
    assert given.msi_valid is mask
    scaled = check(lr_hsi, Cube(data=counts, scale_factor=100.0, mask=mask))
    np.testing.assert_allclose(scaled.hr_msi[mask], counts[mask] / 100, rtol=1e-6)


def test_a_cubes_bands_are_resampled_only_when_asked(pair):
    lr_hsi, hr_msi = pair
    wide = Cube(data=lr_hsi.repeat(2, axis=2), wavelengths_nm=np.linspace(440, 660, 10))
    with pytest.raises(InputError, match="lr_hsi has 10 bands; the model tiny-x2 takes 5: pass resample=True"):
        check(wide, hr_msi)
    given = check(wide, hr_msi, resample=True)
    assert given.lr_hsi.shape == (6, 5, 5)
    np.testing.assert_allclose(given.lr_cube.wavelengths_nm, WAVELENGTHS_NM)


def test_a_model_for_any_bands_takes_any(pair):
    lr_hsi, hr_msi = pair
    given = check(lr_hsi[:, :, :2], hr_msi[:, :, :1], regression_manifest(2))
    assert given.lr_hsi.shape == (6, 5, 2)


def test_a_model_for_any_bands_does_without_dead_ones(pair):
    lr_hsi, hr_msi = pair
    lr_hsi[:, :, 1] = np.inf
    lr_hsi[:, :, 3] = np.nan
    given = check(lr_hsi, hr_msi, regression_manifest(2))
    assert given.dead_bands.tolist() == [False, True, False, True, False]


def test_a_single_image_model_takes_the_lr_hsi_alone(pair):
    assert check(pair[0], None, SINGLE).hr_msi is None


REFUSED = {
    "a list": (lambda lr, msi: (lr.tolist(), msi), "lr_hsi is a list; wanted a NumPy array"),
    "no array": (lambda lr, msi: (lr, "photo.png"), "hr_msi is a str; wanted a NumPy array"),
    "numpy's masked array": (
        lambda lr, msi: (np.ma.masked_less(lr, 0.1), msi),
        "lr_hsi is a MaskedArray; wanted a NumPy array .* or a Cube, which may have a mask",
    ),
    "two axes": (lambda lr, msi: (lr[:, :, 0], msi), r"lr_hsi has shape \(6, 5\); wanted \(rows, cols, bands\)"),
    "no rows": (lambda lr, msi: (lr[:0], msi), r"lr_hsi has shape \(0, 5, 5\); .* at least one of each"),
    "no bands": (lambda lr, msi: (lr, msi[:, :, :0]), r"hr_msi has shape \(12, 10, 0\)"),
    "complex": (lambda lr, msi: (lr.astype(complex), msi), "lr_hsi has dtype complex128; wanted one of uint8"),
    "bool": (lambda lr, msi: (lr, msi > 0.5), "hr_msi has dtype bool; .* convert it with astype"),
    "int64": (lambda lr, msi: (Cube(data=lr.astype(int)), msi), "lr_hsi has dtype int64"),
    "objects": (lambda lr, msi: (lr.astype(object), msi), "lr_hsi has dtype object"),
    "one pixel": (lambda lr, msi: (lr[:1, :1], msi[:2, :2]), "lr_hsi is 1 x 1 pixels with 5 bands; .* at least 2 x 2"),
    "one row": (lambda lr, msi: (lr[:1], msi[:2]), "lr_hsi is 1 x 5 pixels with 5 bands; .* at least 2 x 2"),
    "swapped": (lambda lr, msi: (msi, lr), "they look swapped. The spectral frame comes first"),
    "too few bands": (lambda lr, msi: (lr[:, :, :4], msi), "lr_hsi has 4 bands; the model tiny-x2 takes 5 bands"),
    "a fourth MSI band": (lambda lr, msi: (lr, msi.repeat(2, axis=2)), "with 6 bands; the model tiny-x2 takes 3 bands"),
    "another ratio": (
        lambda lr, msi: (lr, msi.repeat(2, axis=0).repeat(2, axis=1)),
        "at ratio 2, hr_msi must be 12 x 10. Resample the RGB frame onto that grid, or open a model of another ratio",
    ),
    "one row short": (lambda lr, msi: (lr, msi[1:]), "hr_msi 11 x 10 pixels with 3 bands: at ratio 2"),
    "turned by 90 degrees": (lambda lr, msi: (lr, msi.transpose(1, 0, 2)), "hr_msi must be 12 x 10"),
    "no MSI": (lambda lr, msi: (lr, None), "hr_msi is missing: the model tiny-x2 fuses two frames"),
    "all NaN": (lambda lr, msi: (np.full_like(lr, np.nan), msi), "lr_hsi has no pixel with finite values in all bands"),
    "a dead band": (
        lambda lr, msi: (np.where(np.arange(5) == 2, np.inf, lr).astype(np.float32), msi),
        r"band 2 of lr_hsi \(counted from 0\) has no finite value, and the model tiny-x2 needs every band; check",
    ),
    "a band dead at every pixel that another band has": (
        lambda lr, msi: (np.where(np.indices(lr.shape)[0] % 2 == np.arange(5) % 2, np.nan, lr).astype(np.float32), msi),
        "lr_hsi has no pixel with finite values in all bands; check the sensor, or the file's scaling",
    ),
    "all masked": (
        lambda lr, msi: (Cube(data=lr, mask=np.zeros(lr.shape[:2], bool)), msi),
        "lr_hsi has no pixel with finite values in all bands",
    ),
    "micrometres": (
        lambda lr, msi: (Cube(data=lr, wavelengths_nm=np.array(WAVELENGTHS_NM) / 1000), msi),
        "looks like micrometres; wavelengths_nm is in nanometres: multiply by 1000",
    ),
    "bands in descending order": (
        lambda lr, msi: (Cube(data=lr, wavelengths_nm=np.array(WAVELENGTHS_NM)[::-1]), msi),
        "not ascending: band 0 is at 650 nm, band 1 at 600 nm. Pass resample=True",
    ),
    "another quantity": (
        lambda lr, msi: (Cube(data=lr, quantity="radiance"), msi),
        "lr_hsi holds radiance; the model tiny-x2 takes reflectance, dn",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_with_argument_finding_and_way_out(pair, case):
    spoil, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        check(*spoil(*pair))


def test_an_msi_for_a_single_image_model_is_refused(pair):
    with pytest.raises(InputError, match="hr_msi was given, and the model tiny-lr-x2 takes the LR-HSI alone: leave it"):
        check(*pair, SINGLE)
