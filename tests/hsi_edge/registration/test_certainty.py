from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hsi_edge.registration.certainty import FLOOR_LR, mean_distance_lr, misfit_lr, standard_error_lr
from hsi_edge.registration.evidence import Evidence, seen
from hsi_edge.registration.fitting import Freedom, fit
from hsi_edge.registration.rig import Rig

SCALE, SHAPE = 5.0, (30, 32)
MSI_SHAPE = (170, 180)
NOISE = 0.004


@pytest.fixture(scope="module")
def planes():
    """An RGB with texture of about the size of an LR pixel and beyond, and its squares."""
    rng = np.random.default_rng(4)
    channels = [cv2.GaussianBlur(rng.normal(size=MSI_SHAPE), (0, 0), spread) * spread for spread in (3, 4, 6)]
    rgb = 0.5 + 0.5 * np.stack(channels)
    return np.concatenate([rgb, rgb**2]).astype(np.float32)


def rig(**fields):
    matrix = np.array([[SCALE, 0, 10], [0, SCALE, 8], [0, 0, 1.0]])
    return Rig(lr_shape=SHAPE, msi_shape=MSI_SHAPE, msi_from_lr=matrix, psf_fwhm_lr=1.1, **fields)


def evidence(planes, true, rng, noise=NOISE):
    """What two cameras deliver whose registration is true: mixtures of the RGB's channels, and noise."""
    blank = Evidence(image=np.zeros((2, *SHAPE)), planes=planes)
    mixed = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.6]]) @ seen(blank, true).values[:3]
    return replace(blank, image=(mixed + noise * rng.normal(size=mixed.shape)).reshape(2, *SHAPE))


def bent(amplitude_lr):
    """A rig whose parts are displaced against each other, by that many LR pixels per axis, root mean square."""
    y, x = np.indices(SHAPE) / SHAPE[0]
    bend = np.sqrt(2) * amplitude_lr * np.stack([np.sin(5 * y), np.sin(4 * x + 2 * y)], axis=2)
    return rig(bend=bend.astype(np.float32))


def similarity(pairs, **fields):
    return fit(pairs, rig(), Freedom("similarity", **fields))


# -- the distance between two rigs -------------------------------------------------------------------------------------


def test_the_distance_between_rigs_is_per_axis_and_in_lr_pixels():
    aside = rig().msi_from_lr + np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    moved = replace(rig(), msi_from_lr=aside)
    assert mean_distance_lr(rig(), moved) == pytest.approx(1 / SCALE / np.sqrt(2))
    assert mean_distance_lr(rig(), rig()) == 0


# -- what the scatter of pixels says -----------------------------------------------------------------------------------


def test_the_standard_error_covers_the_errors_of_repeated_estimates(planes, rng):
    fits = [(pair, similarity([pair])) for pair in (evidence(planes, rig(), rng) for _ in range(12))]
    claimed = np.median([standard_error_lr([pair], found) for pair, found in fits])
    off = np.sqrt(np.mean([mean_distance_lr(found.rig, rig()) ** 2 for _, found in fits]))
    assert 0.7 * off < claimed < 3 * off


def test_more_noise_raises_the_standard_error_in_proportion(planes, rng):
    quiet, loud = ([evidence(planes, rig(), rng, noise)] for noise in (NOISE, 4 * NOISE))
    ratio = standard_error_lr(loud, similarity(loud)) / standard_error_lr(quiet, similarity(quiet))
    assert 3 < ratio < 5.3


def test_more_pairs_lower_the_standard_error(planes, rng):
    pairs = [evidence(planes, rig(), rng) for _ in range(4)]
    ratio = standard_error_lr(pairs, similarity(pairs)) / standard_error_lr(pairs[:1], similarity(pairs[:1]))
    assert 0.35 < ratio < 0.7


def test_what_was_not_measured_raises_the_standard_error(planes, rng):
    pair = evidence(planes, rig(), rng)
    half = replace(pair, image=pair.image.copy())
    half.image[:, :, : SHAPE[1] // 2] = np.nan
    whole_error, half_error = (standard_error_lr([one], similarity([one])) for one in (pair, half))
    assert half_error > 1.3 * whole_error


def test_a_free_lens_raises_the_standard_error(planes, rng):
    pairs = [evidence(planes, rig(), rng)]
    held, free = similarity(pairs), similarity(pairs, lens=True)
    assert standard_error_lr(pairs, free) > 1.02 * standard_error_lr(pairs, held)


# -- what the model of the rig leaves ----------------------------------------------------------------------------------


def test_a_model_that_is_right_leaves_no_misfit(planes, rng):
    left = [misfit_lr([pair], similarity([pair]).rig) for pair in (evidence(planes, rig(), rng) for _ in range(5))]
    assert np.median(left) < FLOOR_LR


@pytest.mark.parametrize("noise", [NOISE, 3 * NOISE])
def test_blocks_displaced_against_each_other_are_told_whatever_the_noise(planes, rng, noise):
    pair = evidence(planes, bent(0.1), rng, noise)
    found = similarity([pair])
    assert standard_error_lr([pair], found) < 0.05
    assert 0.5 < misfit_lr([pair], found.rig) / mean_distance_lr(found.rig, bent(0.1)) < 1.5


def test_a_misfit_grows_with_what_displaces_the_blocks(planes, rng):
    little, much = ([evidence(planes, bent(amplitude), rng)] for amplitude in (0.05, 0.15))
    assert misfit_lr(much, similarity(much).rig) > 2 * misfit_lr(little, similarity(little).rig)


def test_a_misfit_of_a_known_bend_is_none(planes, rng):
    pair = evidence(planes, bent(0.15), rng)
    assert misfit_lr([pair], bent(0.15), plain=True) < 0.01 < misfit_lr([pair], rig(), plain=True)


def test_a_shift_of_the_whole_frame_counts_as_misfit_until_the_fit_has_come_to_rest(planes, rng):
    aside = rig().msi_from_lr + np.array([[0, 0, 0.5], [0, 0, 0], [0, 0, 0]])
    pair = evidence(planes, replace(rig(), msi_from_lr=aside), rng)
    assert misfit_lr([pair], rig()) > 0.03
    assert misfit_lr([pair], similarity([pair]).rig) < 0.01
