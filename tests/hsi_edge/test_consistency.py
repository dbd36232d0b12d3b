"""An output that agrees with the measurement it was made from."""

import numpy as np
import pytest

from hsi_edge.consistency import Consistency
from hsi_edge.resampling import Blur, degrade, upsample
from hsi_edge.tiling.geometry import Region, Tile, plan_tiles

RATIO, LR = 4, (12, 10)
BLUR = Blur.gaussian(RATIO, RATIO)


def consistency(lr, noise, measured=None):
    return Consistency(
        lr,
        np.ones(LR, np.bool_) if measured is None else measured,
        noise=noise,
        bands_from=lambda output: output.copy(),
        channels=len(lr),
        blur=BLUR,
        ratio=RATIO,
    )


def corrected(lr, image, noise, measured=None, tiles=None):
    check = consistency(lr, noise, measured)
    whole = Region(0, LR[0], 0, LR[1])
    for tile in tiles or (Tile(whole, whole),):
        check.add(tile, image[(slice(None), *tile.read.scaled(RATIO).slices)])
    result = np.ascontiguousarray(np.moveaxis(image, 0, 2)) * 3
    check.correct(result, 3.0)
    return np.moveaxis(result / 3, 2, 0)


@pytest.fixture
def image(rng):
    return upsample(rng.random((5, *LR)).astype(np.float32), RATIO, "bicubic")


def test_without_noise_the_output_degrades_to_the_measurement(rng, image):
    lr = rng.random((5, *LR)).astype(np.float32)
    np.testing.assert_allclose(degrade(corrected(lr, image, 0.0), RATIO, BLUR), lr, atol=2e-5)


def test_what_noise_explains_is_left_alone(rng, image):
    lr = degrade(image, RATIO, BLUR)
    lr += (0.01 * rng.standard_normal(lr.shape)).astype(np.float32)
    # Nearly every pixel differs by no more than its noise does.
    changed = np.abs(corrected(lr, image, 0.01) - image).max(axis=0) > 1e-3
    assert changed.mean() < 0.2


def test_every_pixel_ends_within_its_noise(rng, image):
    lr = rng.random((5, *LR)).astype(np.float32)
    left = degrade(corrected(lr, image, 0.02), RATIO, BLUR) - lr
    allowed = 0.02**2 * (1 + 3 * np.sqrt(2 / 5))
    assert np.square(left).mean(axis=0).max() <= allowed * 1.001


def test_a_lone_target_survives_an_output_that_lost_it(image):
    lr = degrade(image, RATIO, BLUR)
    lr[:, 6, 4] += 0.5
    result = corrected(lr, image, 0.01)
    assert degrade(result, RATIO, BLUR)[:, 6, 4] == pytest.approx(lr[:, 6, 4], abs=0.05)


def test_tiles_give_what_the_whole_frame_does(rng, image):
    lr = rng.random((5, *LR)).astype(np.float32)
    tiles = plan_tiles(LR, (7, 6), halo=2)
    assert len(tiles) > 1
    np.testing.assert_array_equal(corrected(lr, image, 0.01, tiles=tiles), corrected(lr, image, 0.01))


def test_a_pixel_that_was_not_measured_asks_for_nothing(rng, image):
    lr = degrade(image, RATIO, BLUR)
    measured = np.ones(LR, np.bool_)
    measured[3, 3] = False
    lr[:, 3, 3] = 77
    np.testing.assert_allclose(corrected(lr, image, 1e-4, measured), image, atol=1e-6)
