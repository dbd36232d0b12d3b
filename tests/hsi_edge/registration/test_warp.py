from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.registration.lens import Lens
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.rig import Rig
from hsi_edge.registration.warp import MISSING, GridWarp, measured_values

LR_SHAPE, RATIO = (12, 16), 8
INNER = (slice(8, -8), slice(8, -8))


def rig(finer=1.0, turn_deg=0.0, **settings):
    """A rig whose RGB has `finer` pixels per HR pixel, turned about the middle of the frame, with a margin."""
    scale = finer * RATIO
    rows, cols = (int(np.ceil((side + 4) * scale)) for side in LR_SHAPE)
    angle = np.deg2rad(turn_deg)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([LR_SHAPE[1], LR_SHAPE[0]]) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array([cols, rows]) / 2 - linear @ middle
    return Rig(lr_shape=LR_SHAPE, msi_shape=(rows, cols), **{"msi_from_lr": matrix, **settings})


def ramps(shape):
    """The coordinates x and y of each pixel's middle, counted from the image's corner."""
    y, x = np.indices(shape) + 0.5
    return np.stack([x, y, x + y], axis=2).astype(np.float32)


def hr_points():
    y, x = (np.indices((LR_SHAPE[0] * RATIO, LR_SHAPE[1] * RATIO)) + 0.5) / RATIO
    return np.stack([x, y], axis=2)


def refined(points, refinement):
    centre = np.array([LR_SHAPE[1], LR_SHAPE[0]]) / 2
    return centre + refinement.scale * (points - centre) + (refinement.dx_lr, refinement.dy_lr)


def off_hr_px(one, refinement=None):
    """How far from where the rig says the pixels of an image of coordinates were read, at most, in HR pixels."""
    on_grid, _ = GridWarp(one, RATIO).on_grid(ramps(one.msi_shape), refinement)
    wanted = one.msi_points(refined(hr_points(), refinement or Refinement()))
    return np.abs(on_grid[INNER][:, :, :2] - wanted[INNER]).max() / (one.msi_px_per_lr_px / RATIO)


def bend():
    y, x = np.indices(LR_SHAPE) / 5
    return np.stack([0.8 * np.sin(x + y), -0.6 * np.cos(x)], axis=2).astype(np.float32)


SMALL = Refinement(dx_lr=0.3, dy_lr=-0.21, scale=1.004)
TILTED = np.array([[1, 0, 0], [0, 1, 0], [2e-3, -1e-3, 1]])


def kinds(finer):
    plain = rig(finer, turn_deg=1.5)
    return {
        "similarity": plain,
        "lens": rig(finer, turn_deg=1.5, lens=Lens.centred(plain.msi_shape, k1=-0.05, k2=0.01)),
        "bend": rig(finer, turn_deg=1.5, bend=bend()),
        "homography": rig(finer, msi_from_lr=plain.msi_from_lr @ TILTED),
    }


@pytest.mark.parametrize("kind", ["similarity", "lens", "bend", "homography"])
@pytest.mark.parametrize("refinement", [None, SMALL])
@pytest.mark.parametrize("finer", [0.6, 1.0, 1.4, 1.875, 2.5, 4.3])
def test_each_pixel_is_read_where_the_rig_says(kind, refinement, finer):
    assert off_hr_px(kinds(finer)[kind], refinement) < 0.01


@given(
    finer=st.floats(0.4, 6),
    turn_deg=st.floats(-20, 20),
    dx=st.floats(-0.4, 0.4),
    dy=st.floats(-0.4, 0.4),
    scale=st.floats(0.99, 1.01),
)
def test_any_similarity_and_refinement_is_read_exactly(finer, turn_deg, dx, dy, scale):
    assert off_hr_px(rig(finer, turn_deg), Refinement(dx_lr=dx, dy_lr=dy, scale=scale)) < 0.01


def test_an_rgb_that_lies_on_the_grid_stays_as_it_is(rng):
    on_it = Rig(lr_shape=LR_SHAPE, msi_shape=(96, 128), msi_from_lr=np.diag([8.0, 8.0, 1.0]))
    msi = rng.integers(0, 256, (96, 128, 3), np.uint8)
    on_grid, valid = GridWarp(on_it, RATIO).on_grid(msi)
    np.testing.assert_array_equal(on_grid, msi)
    assert valid is None


@pytest.mark.parametrize("finer", [2, 3, 4, 6])
def test_stripes_finer_than_the_grid_become_their_mean(finer):
    shape = (LR_SHAPE[0] * RATIO * finer, LR_SHAPE[1] * RATIO * finer)
    twice = Rig(lr_shape=LR_SHAPE, msi_shape=shape, msi_from_lr=np.diag([RATIO * finer, RATIO * finer, 1.0]))
    stripes = np.zeros((*shape, 3), np.uint8)
    stripes[:, ::2] = 200
    on_grid, _ = GridWarp(twice, RATIO).on_grid(stripes)
    assert np.abs(on_grid[INNER].astype(int) - 100).max() <= (35 if finer == 3 else 1)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
@pytest.mark.parametrize("finer", [0.7, 2.0])
def test_the_type_is_kept_and_sharp_edges_do_not_wrap_around(dtype, top, finer):
    scene = rig(finer, turn_deg=3)
    edge = np.zeros((*scene.msi_shape, 5), dtype)
    edge[:, edge.shape[1] // 2 :] = top
    on_grid, _ = GridWarp(scene, RATIO).on_grid(edge)
    assert on_grid.dtype == dtype
    assert on_grid.shape == (96, 128, 5)
    assert on_grid[:, :40].max() <= 0.1 * top
    assert on_grid[:, -40:].min() >= 0.9 * top


def test_the_mask_is_false_where_the_rgb_does_not_reach():
    shifted = Rig(lr_shape=LR_SHAPE, msi_shape=(96, 128), msi_from_lr=np.array([[8.0, 0, -16], [0, 8, 4], [0, 0, 1]]))
    _, valid = GridWarp(shifted, RATIO).on_grid(np.zeros((96, 128, 3), np.uint8))
    wanted = np.ones((96, 128), bool)
    wanted[:, :16] = False
    wanted[-4:] = False
    np.testing.assert_array_equal(valid, wanted)


def test_the_frame_is_never_changed_and_the_result_is_the_callers_own(rng):
    msi = rng.integers(0, 256, (96, 128, 3), np.uint8)
    before = msi.copy()
    warp = GridWarp(Rig(lr_shape=LR_SHAPE, msi_shape=(96, 128), msi_from_lr=np.diag([8.0, 8.0, 1.0])), RATIO)
    first, _ = warp.on_grid(msi)
    kept = first.copy()
    warp.on_grid(255 - msi)[0][:] = 0
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(msi, before)


def test_a_frame_of_another_size_or_type_is_refused():
    warp = GridWarp(rig(1.0), RATIO)
    with pytest.raises(InputError, match="calibrate anew"):
        warp.on_grid(np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(InputError, match="uint8, uint16 or float32"):
        warp.on_grid(np.zeros((*rig(1.0).msi_shape, 3)))
    with pytest.raises(InputError, match="ratio is 0"):
        GridWarp(rig(1.0), 0)


def marked(shape, *pixels):
    """An image of ones at some pixels, and the mask that says that they were not measured."""
    image = np.zeros((*shape, 1), np.float32)
    for row, col in pixels:
        image[row, col] = 1
    return image, image[:, :, 0] == 0


@pytest.mark.parametrize("kind", ["similarity", "lens", "bend", "homography"])
@pytest.mark.parametrize("refinement", [None, SMALL])
@pytest.mark.parametrize("finer", [0.6, 1.0, 1.4, 2.5, 4.3])
def test_what_is_made_of_a_masked_pixel_is_masked_and_nothing_farther_off(kind, refinement, finer):
    scene = kinds(finer)[kind]
    rows, cols = scene.msi_shape
    pixel = rows // 2, cols // 2
    image, mask = marked(scene.msi_shape, pixel)
    weights, measured = GridWarp(scene, RATIO).on_grid(image, refinement, mask)
    assert not measured[np.abs(weights[:, :, 0]) > 1.1 * MISSING].any()
    # Two RGB pixels are as far as cubic convolution reaches, and half an HR pixel as far as a mean does.
    points = scene.msi_points(refined(hr_points(), refinement or Refinement()))
    off = np.abs(points - (pixel[1] + 0.5, pixel[0] + 0.5)).max(axis=2)
    assert off[~measured].max() < 2.01 + finer
    assert 0 < (~measured).sum() <= (4 / finer + 2) ** 2


@given(
    finer=st.floats(0.4, 6),
    turn_deg=st.floats(-20, 20),
    dx=st.floats(-0.4, 0.4),
    pixels=st.lists(st.tuples(st.integers(10, 30), st.integers(10, 40)), min_size=1, max_size=12),
)
def test_values_beside_masked_pixels_do_not_depend_on_them(finer, turn_deg, dx, pixels):
    scene = rig(finer, turn_deg)
    warp, refinement = GridWarp(scene, RATIO), Refinement(dx_lr=dx)
    image, mask = marked(scene.msi_shape, *pixels)
    weights, measured = warp.on_grid(image, refinement, mask)
    # Of cubic convolution, weights of either sign may cancel out; none is left where the mask says so.
    assert np.abs(weights[measured]).max(initial=0) <= 1.1 * MISSING


def test_on_a_grid_of_its_own_the_mask_stays_as_it_is_and_meets_that_of_the_reach(rng):
    mask = rng.random((96, 128)) > 0.1
    msi = rng.integers(0, 256, (96, 128, 3), np.uint8)
    on_it = Rig(lr_shape=LR_SHAPE, msi_shape=(96, 128), msi_from_lr=np.diag([8.0, 8.0, 1.0]))
    for refinement in (None, Refinement()):
        np.testing.assert_array_equal(GridWarp(on_it, RATIO).on_grid(msi, refinement, mask)[1], mask)
    beside = Rig(lr_shape=LR_SHAPE, msi_shape=(96, 128), msi_from_lr=np.array([[8.0, 0, -16], [0, 8, 0], [0, 0, 1]]))
    measured = GridWarp(beside, RATIO).on_grid(msi, mask=mask)[1]
    np.testing.assert_array_equal(measured[:, 16:], mask[:, :-16])
    assert not measured[:, :16].any()


def test_a_mask_without_a_hole_is_none_and_one_of_another_size_is_refused():
    warp = GridWarp(rig(1.4), RATIO)
    msi = np.zeros((*rig(1.4).msi_shape, 3), np.uint8)
    assert warp.on_grid(msi, mask=np.ones(msi.shape[:2], bool))[1] is None
    with pytest.raises(InputError, match=r"mask has shape \(5, 5\)"):
        warp.on_grid(msi, mask=np.ones((5, 5), bool))


def test_a_frame_that_was_measured_everywhere_is_handed_on_without_a_copy():
    for dtype in (np.uint8, np.float32):
        data = np.ones((4, 5, 3), dtype)
        for mask in (None, np.ones((4, 5), bool)):
            values, measured = measured_values(Cube(data=data, mask=mask))
            assert np.shares_memory(values, data)
            assert measured is None


def test_masked_and_non_finite_pixels_become_zero_in_all_bands_and_the_frame_stays():
    data = np.ones((4, 5, 3), np.float32)
    data[0, 0, 1], data[1, 1] = np.nan, np.inf
    mask = np.ones((4, 5), bool)
    mask[2, 2] = False
    before = data.copy()
    values, measured = measured_values(Cube(data=data, mask=mask))
    wanted = np.ones((4, 5), bool)
    wanted[[0, 1, 2], [0, 1, 2]] = False
    np.testing.assert_array_equal(measured, wanted)
    np.testing.assert_array_equal(values, np.repeat(wanted[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(data, before)
    assert measured_values(Cube(data=data[3:], nodata=1.0))[1].sum() == 0
