from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, RegistrationError
from hsi_edge.registration.calibrate import calibrate
from hsi_edge.registration.lens import Lens
from hsi_edge.registration.rig import Rig

SIDE_PX, BANDS = 256, 8
SMALL = 20, 22
"""Of a spectral frame, where more would prove no more."""


def scene(rng):
    """A sum of many soft spots, known at every point: `(spots, ...)` places, widths and spectra."""
    count = 600
    return rng.uniform(-60, SIDE_PX + 60, (count, 2)), rng.uniform(4, 14, count), rng.uniform(0, 1, (count, 4)) ** 3


def spectra(abundances, rng):
    return abundances @ rng.uniform(0.1, 1, (4, BANDS))


def shown(spots, points, blur):
    """The scene's abundances at points `(n, 2)`, blurred by a Gaussian of that standard deviation, exactly."""
    places, widths, weights = spots
    variance = widths**2 + blur**2
    square = np.square(points[:, None] - places).sum(axis=2)
    return np.exp(-square / 2 / variance) @ (weights * (widths**2 / variance)[:, None])


def photographed(spots, shape, blur):
    """The same at the pixels of an upright image, where the spots are products of rows and columns."""
    places, widths, weights = spots
    variance = widths**2 + blur**2
    across, down = (
        np.exp(-np.square(np.arange(side)[:, None] + 0.5 - places[:, axis]) / 2 / variance)
        for axis, side in enumerate(reversed(shape))
    )
    return np.stack([(down * weight) @ across.T for weight in (weights.T * widths**2 / variance)], axis=2)


def points_of(shape):
    y, x = np.indices(shape) + 0.5
    return np.stack([x.ravel(), y.ravel()], axis=1)


def true_rig(*, scale=8.0, turn_deg=0.8, shift=(9.0, -6.0), lr_shape=(28, 30), **settings):
    angle = np.deg2rad(turn_deg)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = SIDE_PX / 2 + np.array(shift) - linear @ (np.array(lr_shape[::-1]) / 2)
    return Rig(lr_shape=lr_shape, msi_shape=(SIDE_PX, SIDE_PX), msi_from_lr=matrix, psf_fwhm_lr=1.2, **settings)


def pair(true, rng, spots):
    """The frames of a rig: LR noise of 0.4 percent, an 8-bit RGB with its own noise."""
    mixing = np.random.default_rng(5)
    bands, colours = mixing.uniform(0.1, 1, (4, BANDS)), mixing.uniform(0.1, 1, (4, 3))
    blur = true.psf_fwhm_lr / np.sqrt(8 * np.log(2)) * true.msi_px_per_lr_px
    lr = shown(spots, true.msi_points(points_of(true.lr_shape)), blur) @ bands
    rgb = photographed(spots, true.msi_shape, 0.4) @ colours
    lr = lr / lr.max() + rng.normal(0, 0.004, lr.shape)
    rgb = rgb / rgb.max() + rng.normal(0, 0.005, rgb.shape)
    rgb8 = np.clip(np.rint(255 * rgb), 0, 255).astype(np.uint8)
    return lr.reshape(*true.lr_shape, BANDS).astype(np.float32), rgb8


def off_lr(found, true):
    """Root mean square distance per axis between where two rigs put the LR pixels, in LR pixels."""
    points = points_of(true.lr_shape)
    off = np.square(found.msi_points(points) - true.msi_points(points)).sum(axis=1)
    return np.sqrt(off.mean() / 2) / true.msi_px_per_lr_px


@pytest.fixture(scope="module")
def spots():
    return scene(np.random.default_rng(3))


@pytest.mark.parametrize(
    "change",
    [{}, {"shift": (-20.0, 22.0), "scale": 8.2}, {"scale": 5.5, "turn_deg": -11.0}],
)
def test_a_rig_is_found_from_nothing_to_a_fiftieth_of_an_lr_pixel(change, spots, rng):
    true = true_rig(**change)
    found = calibrate([pair(true, rng, spots)])
    assert off_lr(found.rig, true) < 0.02
    assert found.rig.psf_fwhm_lr == pytest.approx(1.2, abs=0.05)
    assert found.rig.std_lr < 0.02
    assert found.explained > 0.8
    assert found.model == "similarity"


def test_a_lens_that_bends_lines_is_found(spots, rng):
    true = true_rig(scale=7.5, lens=Lens.centred((SIDE_PX, SIDE_PX), -0.06))
    found = calibrate([pair(true, rng, spots)])
    assert found.rig.lens is not None
    assert off_lr(found.rig, true) < 0.02


def test_a_bent_frame_is_unbent(spots, rng):
    y, x = np.indices((28, 30)) / 28
    bend = np.stack([1.2 * np.sin(5 * y), 0.8 * np.sin(4 * x + 2 * y)], axis=2).astype(np.float32)
    true = true_rig(scale=6.5, bend=bend)
    frames = pair(true, rng, spots)
    found = calibrate([frames], bend=True).rig
    assert off_lr(found, true) < 0.25 * off_lr(replace(true, bend=None), true)


def test_what_the_model_of_the_rig_leaves_widens_the_standard_error(spots, rng):
    y, x = np.indices((28, 30)) / 28
    bend = 0.2 * np.stack([np.sin(5 * y), np.sin(4 * x + 2 * y)], axis=2).astype(np.float32)
    true = true_rig(scale=6.5, bend=bend)
    found = calibrate([pair(true, rng, spots)], model="similarity").rig
    assert 0.5 * off_lr(found, true) < found.std_lr < 2 * off_lr(found, true)


def test_vignetting_and_gamma_do_little_harm(spots, rng):
    true = true_rig()
    lr_hsi, hr_msi = pair(true, rng, spots)
    y, x = np.indices(true.msi_shape) / SIDE_PX - 0.5
    darker = (hr_msi / 255) * (1 - 0.4 * (x**2 + y**2))[:, :, None]
    hr_msi = np.rint(255 * darker ** (1 / 2.2)).astype(np.uint8)
    assert off_lr(calibrate([(lr_hsi, hr_msi)]).rig, true) < 0.02


def test_invalid_pixels_bad_bands_and_nan_do_no_harm(spots, rng):
    true = true_rig()
    lr_hsi, hr_msi = pair(true, rng, spots)
    lr_hsi[:, :, 2] = np.nan
    lr_hsi[:, :, 5] = 1e4 * rng.normal(size=lr_hsi.shape[:2])
    lr_hsi[10:14, 12:20] = np.nan
    mask = np.ones(true.lr_shape, bool)
    mask[:3] = False
    lr_hsi[:3] = 1e6
    cube = Cube(data=lr_hsi, mask=mask, bad_bands=np.arange(BANDS) == 5)
    assert off_lr(calibrate([(cube, hr_msi)]).rig, true) < 0.02


def test_two_pairs_are_more_certain_than_one(spots, rng):
    true = true_rig()
    pairs = [pair(true, rng, spots), pair(true, rng, scene(np.random.default_rng(9)))]
    one, two = (calibrate(pairs[:count], model="similarity").rig for count in (1, 2))
    assert off_lr(two, true) < 0.02
    assert two.std_lr < one.std_lr


def test_a_rig_to_start_from_spares_the_search(spots, rng):
    true = true_rig(scale=5.0, turn_deg=35.0, lr_shape=SMALL)
    start = true_rig(scale=5.07, turn_deg=35.5, shift=(11.0, -5.0), lr_shape=SMALL)
    found = calibrate([pair(true, rng, spots)], start=start)
    assert off_lr(found.rig, true) < 0.02


def test_a_start_from_which_the_fit_slides_away_is_refused(spots, rng):
    true = true_rig(scale=5.0, lr_shape=SMALL)
    far = true_rig(scale=5.0, shift=(9.0 + 5.0 * 10, -6.0), lr_shape=SMALL)
    with pytest.raises(RegistrationError, match=r"slid 1[01] LR pixels from its start, more than 8"):
        calibrate([pair(true, rng, spots)], start=far)


def test_a_start_on_other_ground_is_refused(spots, rng):
    true = true_rig(scale=11.0, lr_shape=SMALL)
    lr_hsi, _ = pair(true, rng, spots)
    _, elsewhere = pair(true, rng, scene(np.random.default_rng(77)))
    with pytest.raises(RegistrationError, match="a rig to start from that is closer, or none"):
        calibrate([(lr_hsi, elsewhere)], start=true)


@pytest.mark.parametrize("what", ["flat frame", "flat rgb", "other ground", "noise"])
def test_pairs_that_tell_nothing_are_refused(what, spots, rng):
    lr_hsi, hr_msi = pair(true_rig(scale=11.0, lr_shape=SMALL), rng, spots)
    if what == "flat frame":
        lr_hsi = np.ones_like(lr_hsi)
    elif what == "flat rgb":
        hr_msi = np.full_like(hr_msi, 90)
    elif what == "noise":
        hr_msi = rng.integers(0, 256, hr_msi.shape, np.uint8)
    else:
        _, hr_msi = pair(true_rig(), rng, scene(np.random.default_rng(77)))
    with pytest.raises(RegistrationError, match="ground with structure"):
        calibrate([(lr_hsi, hr_msi)])


def test_a_large_frame_of_as_many_pixels_as_the_rgb_is_found_in_a_few_seconds(rng):
    photo = np.cumsum(np.cumsum(rng.normal(size=(700, 800)), axis=0), axis=1)
    photo = (cv2.GaussianBlur(photo, (0, 0), 1) - cv2.GaussianBlur(photo, (0, 0), 30))[100:, 100:]
    began = time.perf_counter()
    found = calibrate([(photo[7:487, 5:645, None], photo[:480, :640, None])]).rig
    assert time.perf_counter() - began < 20
    np.testing.assert_allclose(found.msi_points(np.array([320.0, 240.0])), [325, 247], atol=0.05)


def test_pairs_of_different_sizes_and_no_pairs_are_refused(spots, rng):
    lr_hsi, hr_msi = pair(true_rig(), rng, spots)
    with pytest.raises(InputError, match="frames of one rig"):
        calibrate([(lr_hsi, hr_msi), (lr_hsi[1:], hr_msi)])
    with pytest.raises(InputError, match="no pair"):
        calibrate([])
    with pytest.raises(InputError, match="leave it out"):
        calibrate([(lr_hsi, hr_msi)], start=true_rig(lr_shape=(9, 9)))


def test_pavia_is_found_where_its_publisher_put_it(shared_data):
    path = shared_data / "sensors" / "pair_pavia_sim_misreg.npz"
    if not path.is_file():
        pytest.skip("research data is not here: sensors/pair_pavia_sim_misreg.npz")
    with np.load(path, allow_pickle=False) as file:
        frame, photo = Cube(data=file["cube"], wavelengths_nm=file["wavelength_nm"]), file["rgb_hires"]
        matrix = file["true_T"] @ np.diag([*file["true_scale"].ravel(), 1])
    true = Rig(lr_shape=(80, 50), msi_shape=photo.shape[:2], msi_from_lr=matrix)
    found = calibrate([(frame, photo)])
    assert off_lr(found.rig, true) < 0.01
    assert found.explained > 0.99
