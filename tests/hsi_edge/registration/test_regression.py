from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.registration.regression import background, explained

ROWS, COLS = 20, 24
COUNT = ROWS * COLS
NO_CHANGES = np.zeros((0, 3, COUNT))
EVERYWHERE = np.ones(COUNT, bool)


@pytest.fixture
def guide(rng):
    return rng.uniform(0, 1, (3, COUNT))


@pytest.fixture
def ground():
    y, x = np.indices((ROWS, COLS)) + 0.5
    return background(np.stack([x.ravel(), y.ravel()], axis=1), (ROWS, COLS))


def bands(guide, rng, noise=0.01):
    """Two components that are mixtures of the channels, with a constant and noise."""
    return rng.uniform(0.2, 1, (2, 3)) @ guide + 0.3 + noise * rng.normal(size=(2, COUNT))


def test_the_background_is_a_polynomial_that_is_one_at_the_border_whatever_the_frames_size():
    corners = np.array([[0.0, 0.0], [COLS, 0.0], [COLS / 2, ROWS / 2], [0.0, ROWS]])
    one, x, y, xx, xy, yy = background(corners, (ROWS, COLS))
    np.testing.assert_allclose([one, x, y], [[1, 1, 1, 1], [-1, 1, 0, -1], [-1, -1, 0, 1]])
    np.testing.assert_allclose([xx, xy, yy], [x * x, x * y, y * y])


def test_light_that_falls_off_towards_the_corners_is_explained_by_the_background(guide, ground, rng):
    wanted = bands(guide, rng)
    _, _, _, xx, _, yy = ground
    hazy = wanted + 0.4 * (xx + yy)
    with_it = explained(hazy, guide, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE)
    without = explained(hazy, guide, NO_CHANGES, ground[:1], EVERYWHERE, EVERYWHERE)
    assert with_it.part > 0.99
    assert without.part < 0.9
    clear = explained(wanted, guide, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE)
    np.testing.assert_allclose(with_it.residual, clear.residual, atol=1e-3)


def test_the_background_is_no_evidence_for_the_rgb(guide, ground, rng):
    haze = ground[1:3] + 0.01 * rng.normal(size=(2, COUNT))
    found = explained(haze, guide, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE)
    assert found.part > 0.99
    assert abs(found.gains.mean()) < 0.02


def test_an_rgb_that_is_related_gains_and_one_that_is_not_does_not(guide, ground, rng):
    wanted = bands(guide, rng)
    assert explained(wanted, guide, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE).gains.mean() > 3
    other = rng.uniform(0, 1, guide.shape)
    assert abs(explained(wanted, other, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE).gains.mean()) < 0.05


def test_pixels_without_a_measurement_are_left_out(guide, ground, rng):
    wanted = bands(guide, rng)
    there = rng.uniform(size=COUNT) > 0.3
    changes = rng.normal(size=(2, 3, COUNT))
    less = explained(
        wanted[:, there], guide[:, there], changes[:, :, there], ground[:, there], there[there], there[there]
    )
    for image in (wanted, guide, changes):
        image[..., ~there] = np.nan
    found = explained(wanted, guide, changes, ground, there, EVERYWHERE)
    np.testing.assert_allclose(np.abs(found.residual[:, there]), np.abs(less.residual), rtol=1e-6)
    np.testing.assert_allclose(np.abs(found.moves[..., there]), np.abs(less.moves), rtol=1e-6)
    assert np.isnan(found.losses[~there]).all()
    assert np.isnan(found.gains[~there]).all()
    np.testing.assert_array_equal(found.trust[~there], 0)
    assert found.loss == pytest.approx(less.loss)
    assert found.part == pytest.approx(less.part)


def test_a_pixel_that_is_held_out_is_judged_but_not_learnt_from(guide, ground, rng):
    wanted = bands(guide, rng)
    used = EVERYWHERE.copy()
    used[:40] = False
    right = explained(wanted, guide, NO_CHANGES, ground, EVERYWHERE, used)
    wanted[:, :40] += 5
    wrong = explained(wanted, guide, NO_CHANGES, ground, EVERYWHERE, used)
    np.testing.assert_array_equal(wrong.trust[:40], 0)
    assert wrong.loss == pytest.approx(right.loss)
    assert wrong.losses[:40].min() > right.losses[:40].max()


def test_what_has_changed_between_the_frames_counts_little_unless_all_shall_count_alike(guide, ground, rng):
    wanted = bands(guide, rng)
    wanted[:, 100:110] += 2
    robust = explained(wanted, guide, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE)
    assert robust.trust[100:110].max() < 0.05 * np.median(robust.trust)
    plain = explained(wanted, guide, NO_CHANGES, ground, EVERYWHERE, EVERYWHERE, plain=True)
    np.testing.assert_allclose(plain.trust, 1, atol=1e-2)


def test_a_component_that_is_explained_well_counts_more(guide, ground, rng):
    wanted = bands(guide, rng, noise=0.0) + np.array([[0.01], [0.2]]) * rng.normal(size=(2, COUNT))
    changes = np.stack([np.stack([rng.normal(size=COUNT)] * 3)])
    found = explained(wanted, guide, changes, ground, EVERYWHERE, EVERYWHERE)
    np.testing.assert_allclose((found.residual * found.trust) @ found.residual.T / COUNT, np.eye(2), atol=0.05)
    sharp, blunt = np.square(found.moves[0]).sum(axis=1)[np.argsort(-np.square(found.moves[0]).sum(axis=1))]
    assert sharp > 20 * blunt


def test_what_the_regression_takes_up_itself_moves_nothing(guide, ground, rng):
    brighter = guide[None]
    other = rng.normal(size=(1, 3, COUNT))
    found = explained(bands(guide, rng), guide, np.concatenate([brighter, other]), ground, EVERYWHERE, EVERYWHERE)
    absorbed, left = np.square(found.moves).mean(axis=(1, 2))
    assert absorbed < 1e-6 * left
