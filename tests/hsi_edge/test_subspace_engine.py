"""An engine whose graph works on a frame's components: any bands, tiles, invalid pixels, displacement, consistency."""

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.resampling import Blur, degrade
from tests.tiny_bundles import frame_pair, regression_manifest, subspace_manifest, write_tiny_bundle

RATIO, LR = 4, (26, 19)
BANDS = 31
BLUR = Blur.gaussian(RATIO, RATIO)


def displaced(image, rows, cols):
    """`(channels, rows, cols)` as a camera sees it that lies off by so many HR pixels (periodic)."""
    return np.fft.ifft2([fourier_shift(band, (rows, cols)) for band in np.fft.fft2(image)]).real


def scene(rng, bands=BANDS, lr_shape=LR, ratio=RATIO):
    """A true HR-HSI `(bands, rows, cols)` of six materials and its RGB, both in 0 to 1."""
    rows, cols = (length * ratio for length in lr_shape)
    maps = gaussian_filter(rng.standard_normal((6, rows, cols)), (0, 3, 3), mode="wrap")
    maps = np.exp(3 * maps / maps.std())
    spectra = gaussian_filter(rng.random((bands, 6)), (bands / 12, 0))
    truth = np.tensordot(spectra, maps / maps.sum(axis=0), axes=1)
    truth /= truth.max()
    response = gaussian_filter(np.eye(3).repeat(-(-bands // 3), axis=1)[:, :bands], (0, bands / 12))
    return truth, np.tensordot(response / response.sum(axis=1, keepdims=True), truth, axes=1)


def delivered(truth, msi, ratio=RATIO):
    """The frame pair `(rows, cols, bands)` of an LR-HSI without noise and of the RGB, float32."""
    lr = degrade(truth.astype(np.float32), ratio, Blur.gaussian(ratio, ratio))
    return tuple(np.ascontiguousarray(np.moveaxis(image, 0, 2), np.float32) for image in (lr, msi))


def pair(rng, bands=BANDS, lr_shape=LR, ratio=RATIO):
    return delivered(*scene(rng, bands, lr_shape, ratio), ratio)


def degraded(hr_hsi, ratio=RATIO):
    lr = degrade(np.ascontiguousarray(np.moveaxis(hr_hsi, 2, 0), np.float32), ratio, Blur.gaussian(ratio, ratio))
    return np.moveaxis(lr, 0, 2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("subspace") / "b", subspace_manifest(RATIO)).path


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def engine(bundle, request):
    """In tiles, on each backend."""
    with HSIEngine(bundle, backend=request.param, memory_mb=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def tiled(bundle):
    with HSIEngine(bundle, memory_mb=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def whole(bundle):
    with HSIEngine(bundle, statistics="whole") as engine:
        yield engine


# -- bands and tiles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [5, 14, 31, 102, 205])
def test_one_bundle_serves_any_number_of_bands(engine, rng, bands):
    truth, msi = scene(rng, bands)
    lr_hsi, hr_msi = delivered(truth, msi)
    result = engine.run(lr_hsi, hr_msi)
    assert result.shape == (LR[0] * RATIO, LR[1] * RATIO, bands)
    assert engine.report.n_tiles > 1
    wanted = np.moveaxis(truth, 0, 2)
    blocks = lr_hsi.repeat(RATIO, axis=0).repeat(RATIO, axis=1)
    assert np.abs(result - wanted).mean() < 0.5 * np.abs(blocks - wanted).mean()


@pytest.mark.parametrize("lr_shape", [LR, (33, 5), (16, 32), (3, 70), (17, 17), (2, 2)])
def test_tiles_equal_the_frame_in_one_piece(engine, whole, rng, lr_shape):
    frames = pair(rng, lr_shape=lr_shape)
    noisy = [image + np.float32(0.01) * rng.standard_normal(image.shape, np.float32) for image in frames]
    for given in (frames, noisy):
        result, wanted = engine.run(*given), whole.run(*given)
        assert whole.report.n_tiles == 1
        np.testing.assert_allclose(result, wanted, atol=1e-5 * np.abs(given[0]).max(), rtol=0)


@pytest.mark.parametrize("ratio", [2, 8])
def test_tiles_equal_the_frame_at_other_ratios(tmp_path, rng, ratio):
    path = write_tiny_bundle(tmp_path / "b", subspace_manifest(ratio)).path
    frames = pair(rng, 14, (23, 34), ratio)
    with HSIEngine(path, memory_mb=1) as tiled, HSIEngine(path, statistics="whole") as whole:
        result, wanted = tiled.run(*frames), whole.run(*frames)
        assert tiled.report.n_tiles > 1
    np.testing.assert_allclose(result, wanted, atol=1e-5, rtol=0)


def test_a_displaced_frame_in_tiles_equals_it_in_one_piece(engine, whole, rng):
    truth, msi = scene(rng)
    frames = delivered(truth, displaced(msi, 1.3, -0.6))
    result, wanted = engine.run(*frames), whole.run(*frames)
    assert engine.report.n_tiles > 1
    assert engine.report.translation_px == whole.report.translation_px != (0, 0)
    np.testing.assert_allclose(result, wanted, atol=1e-5, rtol=0)


def test_the_same_frame_gives_the_same_bits_and_the_inputs_stay_as_they_are(engine, rng):
    lr_hsi, hr_msi = pair(rng)
    before = lr_hsi.copy(), hr_msi.copy()
    first, second = engine.run(lr_hsi, hr_msi), engine.run(lr_hsi, hr_msi)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(lr_hsi, before[0])
    np.testing.assert_array_equal(hr_msi, before[1])


def test_read_only_and_strided_inputs_give_what_plain_ones_do(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    wanted = tiled.run(lr_hsi, hr_msi)
    strided = np.moveaxis(np.ascontiguousarray(np.moveaxis(lr_hsi, 2, 0)), 0, 2)
    larger = np.zeros((*hr_msi.shape[:2], 5), np.float32)
    larger[:, :, 1:4] = hr_msi
    for array in (strided, larger):
        array.flags.writeable = False
    np.testing.assert_allclose(tiled.run(strided, larger[:, :, 1:4]), wanted, atol=1e-6)


# -- registration and noise --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0.4, -0.3), (-2.0, 1.1)])
def test_a_displaced_photo_gives_nearly_what_a_registered_one_does(tiled, rng, shift):
    truth, msi = scene(rng)
    registered = tiled.run(*delivered(truth, msi))
    assert tiled.report.translation_px == pytest.approx((0, 0), abs=0.02)
    lr_hsi, hr_msi = delivered(truth, displaced(msi, *shift))
    result = tiled.run(lr_hsi, hr_msi)
    assert tiled.report.translation_px == pytest.approx(shift, abs=0.05)
    assert tiled.report.warnings == ()
    inner = (slice(3 * RATIO, -3 * RATIO),) * 2
    wanted = np.moveaxis(truth, 0, 2)[inner]
    errors = [np.abs(image[inner] - wanted).mean() for image in (result, registered)]
    assert errors[0] < 1.1 * errors[1]


def test_a_pair_that_is_not_registered_is_told(tiled, rng):
    truth, msi = scene(rng)
    lr_hsi, hr_msi = delivered(truth, displaced(msi, 3 * RATIO, -2 * RATIO))
    assert np.isfinite(tiled.run(lr_hsi, hr_msi)).all()
    assert tiled.report.translation_px is None
    warning = tiled.report.warnings[0]
    assert "displaced by more than 0.75 LR pixels" in warning
    assert "register the pair first" in warning


def test_sensors_that_saw_different_scenes_are_said_to_disagree(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    lr_hsi += np.float32(0.001) * rng.standard_normal(lr_hsi.shape, np.float32)
    tiled.run(lr_hsi, hr_msi)
    agreeing = tiled.report
    lr_hsi[4:8, 4:8] *= 0.2
    tiled.run(lr_hsi, hr_msi)
    assert tiled.report.correction > 3 * agreeing.correction > 0
    assert any("the two sensors disagree" in warning for warning in tiled.report.warnings)
    assert not any("the two sensors disagree" in warning for warning in agreeing.warnings)


def test_the_noise_of_both_sensors_is_reported_in_units_of_their_peaks(tiled, rng):
    lr_hsi, hr_msi = pair(rng, lr_shape=(40, 40))
    clean = tiled.run(lr_hsi, hr_msi)
    assert tiled.report.lr_noise < 1e-4
    assert tiled.report.msi_noise < 1e-3
    lr_noise = 0.01 * lr_hsi.max() * rng.standard_normal(lr_hsi.shape, np.float32)
    msi_noise = 0.02 * hr_msi.max() * rng.standard_normal(hr_msi.shape, np.float32)
    result = tiled.run(5000 * (lr_hsi + lr_noise), 200 * (hr_msi + msi_noise))
    assert tiled.report.lr_noise == pytest.approx(0.01, rel=0.2)
    assert tiled.report.msi_noise == pytest.approx(0.02, rel=0.2)
    assert np.abs(result / 5000 - clean).mean() < 0.05


def test_pixels_that_the_camera_did_not_measure_do_not_look_like_pixels_without_noise(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    hr_msi += np.float32(0.02) * rng.standard_normal(hr_msi.shape, np.float32)
    hr_msi[30:] = np.nan
    tiled.run(lr_hsi, hr_msi)
    assert tiled.report.msi_noise == pytest.approx(0.02 / np.nanmax(hr_msi), rel=0.25)


def test_a_frame_of_few_pixels_is_said_not_to_tell_its_displacement(tiled, rng):
    tiled.run(*pair(rng, lr_shape=(2, 4)))
    assert tiled.report.translation_px is None
    assert "cannot be told from this pair" in tiled.report.warnings[0]
    tiled.run(*pair(rng, lr_shape=(3, 4)))
    assert tiled.report.translation_px == pytest.approx((0, 0), abs=0.02)


def test_other_networks_report_neither_displacement_nor_noise(tmp_path, rng):
    with HSIEngine(write_tiny_bundle(tmp_path / "r", regression_manifest()).path) as engine:
        engine.run(*frame_pair(rng, (6, 5)))
        report = engine.report
    assert (report.translation_px, report.lr_noise, report.msi_noise) == (None, None, None)


# -- agreement with the measurement ------------------------------------------------------------------------------------


def test_the_output_of_a_clean_pair_degrades_to_the_measurement(tiled, rng):
    lr_hsi, hr_msi = pair(rng, 102)
    left = degraded(tiled.run(lr_hsi, hr_msi)) - lr_hsi
    assert np.abs(left).max() < 1e-4


def test_the_output_of_a_noisy_pair_degrades_to_the_measurement_within_its_noise(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    lr_hsi = lr_hsi + np.float32(0.01) * rng.standard_normal(lr_hsi.shape, np.float32)
    left = degraded(tiled.run(lr_hsi, hr_msi)) - lr_hsi
    of_pixels = np.sqrt(np.square(left).mean(axis=2))
    assert 0.005 < of_pixels.mean() < 0.011
    assert of_pixels.max() < 0.016


def test_a_target_of_one_lr_pixel_that_the_photo_does_not_show_is_kept(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    lr_hsi = lr_hsi + np.float32(0.002) * rng.standard_normal(lr_hsi.shape, np.float32)
    lr_hsi[12, 9, 20:] += 0.6
    result = tiled.run(lr_hsi, hr_msi)
    assert degraded(result)[12, 9] == pytest.approx(lr_hsi[12, 9], abs=0.02)
    assert np.isfinite(result).all()


# -- invalid pixels ----------------------------------------------------------------------------------------------------


def blocks(*pixels, shape=LR):
    """Where the HR pixels of LR pixels are."""
    mask = np.zeros(shape, bool)
    for pixel in pixels:
        mask[pixel] = True
    return mask.repeat(RATIO, axis=0).repeat(RATIO, axis=1)


@pytest.mark.parametrize("shift", [(0, 0), (0.7, -0.4)])
def test_invalid_pixels_are_nan_alone_and_spoil_nothing(engine, rng, shift):
    truth, msi = scene(rng)
    lr_hsi, hr_msi = delivered(truth, displaced(msi, *shift))
    wanted = engine.run(lr_hsi, hr_msi)
    lr_hsi[7, 5, 3] = np.nan
    lr_hsi[25, 18] = np.inf
    hr_msi[50, 40, 1] = np.nan
    result = engine.run(lr_hsi, hr_msi)
    invalid = blocks((7, 5), (25, 18))
    # Where the photo is displaced, its pixel is the one that belongs there.
    invalid[50 - round(shift[0]), 40 - round(shift[1])] = True
    np.testing.assert_array_equal(np.isnan(result), np.broadcast_to(invalid[:, :, None], result.shape))
    assert (engine.report.masked_lr_px, engine.report.masked_msi_px) == (2, 1)
    # The fit is another one, the frame is the same.
    assert np.abs(result - wanted)[~invalid].mean() < 2e-3
    assert np.abs(result - wanted)[~invalid].max() < 0.1


def test_tiles_of_a_frame_with_holes_equal_it_in_one_piece(tiled, whole, rng):
    lr_hsi, hr_msi = pair(rng)
    lr_hsi[rng.random(LR) < 0.1] = np.nan
    hr_msi[rng.random(hr_msi.shape[:2]) < 0.02] = np.nan
    hr_msi[:9, :30] = np.nan
    np.testing.assert_allclose(tiled.run(lr_hsi, hr_msi), whole.run(lr_hsi, hr_msi), atol=1e-5, equal_nan=True)


def test_masked_pixels_of_both_frames_are_nan_alone_whatever_they_hold(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    lr_mask, msi_mask = np.ones(LR, bool), np.ones(hr_msi.shape[:2], bool)
    lr_mask[3, 4] = msi_mask[70, 8] = False
    results = []
    for value in (0.5, 900.0):
        lr_hsi[3, 4], hr_msi[70, 8] = value, value
        result = tiled.run(Cube(data=lr_hsi, mask=lr_mask), Cube(data=hr_msi, mask=msi_mask)).data
        results.append(result)
    invalid = blocks((3, 4))
    invalid[70, 8] = True
    np.testing.assert_array_equal(np.isnan(results[0]).any(axis=2), invalid)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dead", [[30], range(0, 31, 2)])
def test_dead_bands_are_nan_and_leave_the_others_as_they_are(tiled, rng, dead):
    lr_hsi, hr_msi = pair(rng)
    lr_hsi += np.float32(0.005) * rng.standard_normal(lr_hsi.shape, np.float32)
    live = np.ones(BANDS, bool)
    live[list(dead)] = False
    wanted = tiled.run(lr_hsi[:, :, live], hr_msi)
    noise = tiled.report.lr_noise
    lr_hsi[:, :, ~live] = np.nan
    result = tiled.run(lr_hsi, hr_msi)
    assert np.isnan(result[:, :, ~live]).all()
    assert tiled.report.lr_noise == pytest.approx(noise, rel=1e-3)
    # What the noise allows is judged with the dead bands, so the last correction differs, by less than the noise.
    assert np.abs(result[:, :, live] - wanted).max() < 0.01
    assert np.abs(result[:, :, live] - wanted).mean() < 1e-3


def test_frames_without_a_common_valid_pixel_are_refused(tiled, rng):
    lr_hsi, hr_msi = pair(rng)
    lr_hsi[:13] = np.nan
    hr_msi[13 * RATIO :] = np.nan
    with pytest.raises(InputError, match="valid in both"):
        tiled.run(lr_hsi, hr_msi)


def test_few_common_valid_pixels_give_finite_output_where_both_are_valid(tiled, rng):
    for count in (1, 2, 5):
        lr_hsi, hr_msi = pair(rng)
        hr_msi[RATIO:] = np.nan
        hr_msi[:, count * RATIO :] = np.nan
        result = tiled.run(lr_hsi, hr_msi)
        assert np.isfinite(result[:RATIO, : count * RATIO]).all()
        assert np.abs(result[:RATIO, : count * RATIO]).max() < 10


# -- other inputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.3, 5000.0])
def test_constant_frames_give_themselves(tiled, level):
    lr_hsi = np.full((*LR, BANDS), level, np.float32)
    hr_msi = np.full((LR[0] * RATIO, LR[1] * RATIO, 3), 0.4, np.float32)
    np.testing.assert_allclose(tiled.run(lr_hsi, hr_msi), level, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("photo", ["black", "white", "grey", "noise"])
def test_a_photo_that_tells_nothing_leaves_the_spectral_frame(tiled, rng, photo):
    lr_hsi, hr_msi = pair(rng)
    shape = hr_msi.shape
    hr_msi = {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "grey": hr_msi[:, :, :1].repeat(3, axis=2),
        "noise": rng.random(shape, np.float32),
    }[photo]
    result = tiled.run(lr_hsi, hr_msi)
    assert np.isfinite(result).all()
    assert np.abs(degraded(result) - lr_hsi).max() < 2e-3
    assert result.min() > -0.5
    assert result.max() < 1.5


@pytest.mark.parametrize("lr_type", ["uint8", "uint16", "float16", "float64"])
@pytest.mark.parametrize("msi_type", ["uint8", "uint16", "float64"])
def test_integer_and_float_frames_give_the_same_image_in_their_numbers(tiled, rng, lr_type, msi_type):
    def stored(image, dtype):
        factor = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
        return (image * factor).astype(dtype), factor

    lr_hsi, hr_msi = pair(rng)
    wanted = tiled.run(lr_hsi, hr_msi)
    (lr, factor), (msi, _) = stored(lr_hsi, lr_type), stored(hr_msi, msi_type)
    result = tiled.run(lr, msi)
    assert result.dtype == np.float32
    assert np.abs(result / factor - wanted).mean() < 0.01


def test_a_given_output_is_written_whatever_its_type_and_strides(tiled, rng):
    frames = pair(rng)
    wanted = tiled.run(*frames)
    rows, cols, bands = wanted.shape
    half = np.empty(wanted.shape, np.float16)
    assert tiled.run(*frames, out=half) is half
    np.testing.assert_allclose(half, wanted, atol=2e-3)
    larger = np.full((bands, 2 * rows, cols), -9, np.float32)
    assert tiled.run(*frames, out=np.moveaxis(larger[:, ::2], 0, 2)) is not None
    np.testing.assert_array_equal(np.moveaxis(larger[:, ::2], 0, 2), wanted)
    assert (larger[:, 1::2] == -9).all()


def test_frames_in_a_stream_give_what_each_gives_alone(tiled, rng):
    frames = [pair(rng, bands, lr_shape) for bands, lr_shape in ((31, LR), (14, (9, 30)), (31, LR))]
    wanted = [tiled.run(*given) for given in frames]
    for result, one in zip(tiled.stream(frames), wanted, strict=True):
        np.testing.assert_array_equal(result, one)


def test_a_cube_of_any_bands_keeps_its_wavelengths(tiled, rng):
    lr_hsi, hr_msi = pair(rng, 14)
    wavelengths = np.linspace(900, 1700, 14)
    result = tiled.run(Cube(data=lr_hsi, wavelengths_nm=wavelengths, quantity="reflectance"), hr_msi)
    np.testing.assert_array_equal(result.wavelengths_nm, wavelengths)
    np.testing.assert_array_equal(result.data, tiled.run(lr_hsi, hr_msi))


@pytest.mark.parametrize(
    ("lr_shape", "msi_shape", "message"),
    [
        ((6, 5, 31), (24, 20, 4), "hr_msi is 24 x 20 pixels with 4 bands; the model tiny-subspace-x4 takes 3 bands"),
        ((1, 5, 31), (4, 20, 3), "lr_hsi is 1 x 5 pixels with 31 bands; .* needs at least 2 x 2 pixels"),
        ((6, 5, 31), (24, 24, 3), "at ratio 4, hr_msi must be 24 x 20"),
        ((6, 5, 31), None, "hr_msi is missing: the model tiny-subspace-x4 fuses two frames"),
    ],
)
def test_frames_that_do_not_fit_are_refused_in_words(tiled, lr_shape, msi_shape, message):
    hr_msi = None if msi_shape is None else np.ones(msi_shape, np.float32)
    with pytest.raises(InputError, match=message):
        tiled.run(np.ones(lr_shape, np.float32), hr_msi)
