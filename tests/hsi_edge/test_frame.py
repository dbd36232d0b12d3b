from __future__ import annotations

import numpy as np
import pytest

import hsi_edge.guide
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.guide import GuideReader, degraded_guide, fill_invalid
from hsi_edge.inputs import check_inputs
from hsi_edge.manifest import Input
from hsi_edge.preparation import prepare_frame
from hsi_edge.resampling import Blur, degrade, upsample
from hsi_edge.tiling.geometry import Region
from tests.tiny_bundles import frame_pair, fusion_manifest, regression_manifest

RATIO = 2
PEAK = Input(quantities=("dn",), lr_scaling="frame_peak", msi_scaling="frame_peak")


def prepare(lr_hsi, hr_msi, **changes):
    manifest = fusion_manifest(RATIO, **changes)
    return prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))


def parts(window):
    return window.images["base"], window.images["hr_msi"], window.valid


def everything(frame):
    return parts(frame.window(frame.grid))


def reader(source, mask=None, divisor=1.0):
    return GuideReader(source, mask, RATIO, divisor, np.full(source.shape[2], 9, np.float32))


def test_a_window_holds_base_msi_and_validity(rng):
    lr_hsi, hr_msi = frame_pair(rng, (6, 5))
    base, msi, valid = everything(prepare(lr_hsi, hr_msi))
    np.testing.assert_array_equal(base, upsample(np.moveaxis(lr_hsi, 2, 0), RATIO, "bilinear"))
    np.testing.assert_array_equal(msi, np.moveaxis(hr_msi, 2, 0))
    assert valid.shape == (12, 10)
    assert valid.all()


def test_a_part_of_a_window_is_the_window_of_the_part(rng):
    lr_hsi, hr_msi = frame_pair(rng, (9, 8))
    lr_hsi[2, 3, 1] = np.nan
    hr_msi[7, 6, 0] = np.inf
    frame = prepare(lr_hsi, hr_msi, base="regression")
    part = Region(1, 5, 2, 6)
    inside = part.scaled(RATIO).slices
    base, msi, valid = everything(frame)
    part_base, part_msi, part_valid = parts(frame.window(part))
    np.testing.assert_allclose(part_base, base[(slice(None), *inside)], atol=1e-6)
    np.testing.assert_array_equal(part_msi, msi[(slice(None), *inside)])
    np.testing.assert_array_equal(part_valid, valid[inside])
    assert not part_valid.all()


@pytest.mark.parametrize("factor", [1, 255, 10_000])
def test_frame_peak_scaling_makes_the_network_see_the_same_whatever_the_sensors_numbers(rng, factor):
    lr_hsi, hr_msi = frame_pair(rng, (6, 5))
    plain = prepare(lr_hsi, hr_msi, input=PEAK)
    scaled = prepare(lr_hsi * np.float32(factor), hr_msi * np.float32(2 * factor), input=PEAK)
    for wanted, got in zip(everything(plain), everything(scaled), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert scaled.scale == pytest.approx(plain.scale * factor)
    assert 0.9 < everything(scaled)[0].max() < 1.1


def test_unit_scaling_divides_integers_by_their_types_largest_value():
    lr_hsi, hr_msi = np.full((4, 4, 5), 6553, np.uint16), np.full((8, 8, 3), 51, np.uint8)
    frame = prepare(lr_hsi, hr_msi)
    base, msi, _ = everything(frame)
    np.testing.assert_allclose(base, 0.1, atol=1e-4)
    np.testing.assert_allclose(msi, 0.2)
    assert frame.scale == 65535


def test_unit_scaling_treats_a_cube_of_plain_integers_like_its_array():
    lr_hsi, hr_msi = np.full((4, 4, 5), 6553, np.uint16), np.full((8, 8, 3), 51, np.uint8)
    base, msi, _ = everything(prepare(Cube(data=lr_hsi), Cube(data=hr_msi, nodata=0)))
    np.testing.assert_allclose(base, 0.1, atol=1e-4)
    np.testing.assert_allclose(msi, 0.2)


def test_unit_scaling_leaves_a_cube_with_a_scale_factor_to_it():
    cube = Cube(data=np.full((4, 4, 5), 2500, np.uint16), scale_factor=10_000.0)
    msi = Cube(data=np.full((8, 8, 3), 30, np.int16), scale_factor=100.0)
    base, guide, _ = everything(prepare(cube, msi))
    np.testing.assert_allclose(base, 0.25)
    np.testing.assert_allclose(guide, 0.3)


def test_a_window_of_the_msi_never_writes_to_the_callers_array(rng):
    bands_first = rng.random((3, 8, 8), np.float32)
    before = bands_first.copy()
    for source in (bands_first.transpose(1, 2, 0), bands_first[:1].transpose(1, 2, 0)):
        reader(source, divisor=4.0).window(Region(0, 8, 0, 8))
    np.testing.assert_array_equal(bands_first, before)


def test_an_invalid_msi_pixel_becomes_the_mean_of_its_lr_pixels_valid_ones():
    source = np.zeros((4, 4, 1), np.float32)
    source[:2, :2, 0] = [[1, 2], [6, np.nan]]
    image, valid = reader(source).window(Region(0, 4, 0, 4))
    assert image[0, 1, 1] == 3
    assert image[0, 0, 1] == 2
    assert (~valid).sum() == 1
    assert not valid[1, 1]


def test_an_lr_pixel_without_a_valid_msi_pixel_is_filled_by_the_frames_mean():
    source = np.zeros((4, 4, 1), np.float32)
    source[:2, :2] = np.inf
    image, valid = reader(source).window(Region(0, 4, 0, 4))
    np.testing.assert_array_equal(image[0, :2, :2], 9)
    assert not valid[:2, :2].any()
    assert valid[2:].all()


def test_invalid_msi_pixels_are_counted_once_over_bands_and_mask(rng, monkeypatch):
    monkeypatch.setattr(hsi_edge.guide, "STRIP_BYTES", 1)
    source = rng.random((6, 8, 3), np.float32)
    source[0, 0] = np.nan
    source[1, 2, 1] = -np.inf
    assert reader(source).count_invalid() == 2
    mask = np.ones((6, 8), bool)
    mask[0, 0] = mask[5, 7] = False
    assert reader(source, mask).count_invalid() == 3
    assert reader((source[..., :1] > 0).astype(np.uint8), mask).count_invalid() == 2
    assert reader(np.ones((6, 8, 3), np.uint8)).count_invalid() == 0


@pytest.mark.parametrize("strip_bytes", [1, 300, 1000])
@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_degrading_in_strips_equals_degrading_the_whole(rng, monkeypatch, ratio, strip_bytes):
    monkeypatch.setattr(hsi_edge.guide, "STRIP_BYTES", strip_bytes)
    source = rng.random((11 * ratio, 5 * ratio, 3), np.float32)
    blur = Blur.gaussian(1.7 * ratio, ratio)
    guide = GuideReader(source, None, ratio, 1.0, np.zeros(3, np.float32))
    degraded, valid = degraded_guide(guide, blur)
    np.testing.assert_array_equal(degraded, degrade(np.moveaxis(source, 2, 0).copy(), ratio, blur))
    assert valid.all()


@pytest.mark.parametrize("strip_bytes", [1, 1 << 20])
def test_an_lr_pixel_above_an_invalid_msi_pixel_takes_no_part_in_the_fit(rng, monkeypatch, strip_bytes):
    monkeypatch.setattr(hsi_edge.guide, "STRIP_BYTES", strip_bytes)
    source = rng.random((10, 8, 3), np.float32)
    source[5, 7, 2] = np.nan
    degraded, valid = degraded_guide(reader(source), Blur.gaussian(2, 2))
    assert np.argwhere(~valid).tolist() == [[2, 3]]
    assert np.isfinite(degraded).all()


def test_an_lr_hole_is_filled_from_its_rim_and_its_rim_alone():
    image = np.ones((2, 7, 7), np.float32)
    valid = np.ones((7, 7), bool)
    valid[1:6, 1:6] = False
    image[:, ~valid] = np.nan
    image[1] *= 3
    filled = fill_invalid(image, valid)
    np.testing.assert_allclose(filled[0], 1)
    np.testing.assert_allclose(filled[1], 3)


def test_filling_keeps_each_valid_pixel(rng):
    image = rng.random((3, 9, 9), np.float32)
    valid = rng.random((9, 9)) > 0.9
    valid[0, 0] = True
    filled = fill_invalid(np.where(valid, image, np.nan).astype(np.float32), valid)
    np.testing.assert_array_equal(filled[:, valid], image[:, valid])
    assert np.isfinite(filled).all()
    assert filled.min() >= image[:, valid].min() - 1e-6
    assert filled.max() <= image[:, valid].max() + 1e-6


def test_a_blind_msi_is_refused(rng):
    lr_hsi, hr_msi = frame_pair(rng, (4, 4))
    with pytest.raises(InputError, match="hr_msi has no LR pixel's worth of valid pixels; check the camera"):
        prepare(lr_hsi, np.full_like(hr_msi, np.nan))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_dead_bands_leave_the_others_as_they_are(rng, value):
    manifest = regression_manifest(RATIO, input=PEAK)
    lr_hsi, hr_msi = frame_pair(rng, (9, 9))
    with_dead = np.insert(lr_hsi, 2, value, axis=2)
    frame, wanted = (
        prepare_frame(manifest, check_inputs(manifest, image, hr_msi, resample=False)) for image in (with_dead, lr_hsi)
    )
    assert frame.lr_valid.all()
    assert frame.scale == wanted.scale
    base = everything(frame)[0]
    np.testing.assert_allclose(np.delete(base, 2, axis=0), everything(wanted)[0], atol=1e-5)
    np.testing.assert_array_equal(base[2], 0)


def test_regression_over_a_masked_corner_is_that_of_the_rest(rng):
    """What is masked changes nothing away from it, though the fit is over the whole frame."""
    manifest = regression_manifest(RATIO)
    lr_hsi, hr_msi = frame_pair(rng, (12, 12))
    mask = np.ones((12, 12), bool)
    mask[:3, :3] = False

    def base_with(corner):
        spoilt = lr_hsi.copy()
        spoilt[:3, :3] = corner
        given = check_inputs(manifest, Cube(data=spoilt, mask=mask), hr_msi, resample=False)
        return everything(prepare_frame(manifest, given))[0]

    np.testing.assert_array_equal(base_with(0.5), base_with(1e6))
