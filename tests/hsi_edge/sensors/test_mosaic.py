"""Raw frames of mosaic sensors made into frames of bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.sensors.filter_curves import correction_from_curves, read_curves
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.mosaic import Demosaic
from hsi_edge.sensors.mosaic_calibration import CorrectionMatrix, MosaicCalibration, read_mosaic

SAMPLE = Path(__file__).parents[3] / "apps" / "samples" / "imec4x4" / "mosaic.yaml"


def calibration(height, width, order, **changes):
    """Filters in any order on the chip, with centres in any order."""
    numbers = np.array(order).reshape(height, width)
    nm = tuple(float(value) for value in 400 + 10 * np.random.default_rng(1).permutation(height * width))
    return MosaicCalibration(pattern=tuple(map(tuple, numbers.tolist())), wavelengths_nm=nm, **changes)


def raw_from(known, cube):
    """What the sensor counts: `cube` is `(rows, cols, filters)` at every raw pixel, as the lens shows it."""
    pattern = np.array(known.pattern)
    rows, cols, _ = cube.shape
    filters = np.tile(pattern, (rows // pattern.shape[0] + 1, cols // pattern.shape[1] + 1))[:rows, :cols]
    return np.take_along_axis(cube, filters[:, :, None], 2)


def frame_of(data, **known):
    return SensorFrame(data=data, timestamp_ns=5, sequence=9, arrival_ns=6, **known)


def patterns():
    sizes = st.sampled_from([(4, 4), (5, 5), (2, 3), (3, 2)])
    return sizes.flatmap(lambda size: st.tuples(st.just(size), st.permutations(range(size[0] * size[1]))))


@given(pattern=patterns(), slopes=st.tuples(st.floats(-3, 3), st.floats(-3, 3)), start=st.floats(50, 200))
def test_a_linear_ramp_comes_out_exact_in_every_band_and_unshifted(pattern, slopes, start):
    (height, width), order = pattern
    known = calibration(height, width, order)
    n = height * width
    rows, cols = np.mgrid[: 3 * height, : 4 * width]
    level = 1 + np.arange(n) / n
    ramp = start + slopes[0] * (rows + 0.5) + slopes[1] * (cols + 0.5)
    frame = Demosaic(known).apply(frame_of(raw_from(known, ramp[:, :, None] * level).astype(np.float32)))
    middle_rows, middle_cols = np.mgrid[:3, :4] + 0.5
    middles = start + slopes[0] * middle_rows * height + slopes[1] * middle_cols * width
    ascending = np.argsort(known.wavelengths_nm)
    np.testing.assert_allclose(frame.data, middles[:, :, None] * level[ascending], atol=1e-3)
    np.testing.assert_array_equal(frame.wavelengths_nm, np.sort(known.wavelengths_nm))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_even_surface_comes_out_even_with_the_frame_s_own_times(dtype):
    known = calibration(4, 4, range(16))
    raw = np.full((16, 24, 1), 77, dtype)
    before = raw.copy()
    frame = Demosaic(known).apply(frame_of(raw, exposure_us=3.0, gain=2.0))
    assert frame.data.shape == (4, 6, 16)
    assert frame.data.dtype == np.float32
    np.testing.assert_array_equal(frame.data, 77)
    np.testing.assert_array_equal(raw, before)
    assert (frame.timestamp_ns, frame.sequence, frame.arrival_ns) == (5, 9, 6)
    assert (frame.exposure_us, frame.gain, frame.mask) == (3.0, 2.0, None)


def test_results_stay_as_they_are_when_the_next_frame_is_made(rng):
    demosaic = Demosaic(calibration(4, 4, range(16)))
    first = demosaic.apply(frame_of(rng.integers(0, 255, (16, 16, 1), np.uint8)))
    before = first.data.copy()
    demosaic.apply(frame_of(rng.integers(0, 255, (16, 16, 1), np.uint8)))
    np.testing.assert_array_equal(first.data, before)


def test_crosstalk_is_undone_by_its_inverse(rng):
    known = calibration(4, 4, rng.permutation(16).tolist())
    clean = rng.uniform(50, 200, 16)
    crosstalk = np.eye(16) + 0.1 * rng.random((16, 16))
    mixed = np.broadcast_to(crosstalk @ clean, (16, 16, 16))
    matrix = tuple(map(tuple, np.linalg.inv(crosstalk).tolist()))
    corrected = MosaicCalibration(
        pattern=known.pattern,
        wavelengths_nm=known.wavelengths_nm,
        correction=CorrectionMatrix(correction="matrix", matrix=matrix),
    )
    frame = Demosaic(corrected).apply(frame_of(raw_from(known, mixed).astype(np.float32)))
    expected = clean[np.argsort(known.wavelengths_nm)]
    np.testing.assert_allclose(frame.data, np.broadcast_to(expected, (4, 4, 16)), rtol=1e-4)


def test_a_matrix_may_make_fewer_bands_than_there_are_filters():
    known = MosaicCalibration(
        pattern=((0, 1), (2, 3)),
        wavelengths_nm=(600.0, 500.0),
        correction=CorrectionMatrix(correction="matrix", matrix=((1.0, 0, 0, 1), (0, 1, 0, 0))),
    )
    frame = Demosaic(known).apply(frame_of(raw_from(known, np.full((8, 8, 4), (1, 2, 3, 4), np.uint8))))
    np.testing.assert_allclose(frame.data, np.broadcast_to([2.0, 5.0], (4, 4, 2)))


def test_a_saturated_raw_pixel_is_missing_where_it_was_used():
    known = calibration(4, 4, range(16), saturation_level=255.0)
    raw = np.full((16, 16, 1), 100, np.uint8)
    raw[4, 4] = 255
    raw[12:16, 12:16] = 255
    frame = Demosaic(known).apply(frame_of(raw))
    band = list(np.argsort(known.wavelengths_nm)).index(0)
    assert np.isnan(frame.data[1, 1]).tolist() == [index == band for index in range(16)]
    assert np.argwhere(~frame.mask).tolist() == [[3, 3]]
    assert np.nanmax(frame.data) == pytest.approx(100)


def test_with_a_correction_a_saturated_pixel_takes_the_whole_macro_pixel():
    matrix = tuple(map(tuple, (np.eye(4) + 0.1).tolist()))
    known = MosaicCalibration(
        pattern=((0, 1), (2, 3)),
        wavelengths_nm=(500.0, 510.0, 520.0, 530.0),
        saturation_level=255.0,
        correction=CorrectionMatrix(correction="matrix", matrix=matrix),
    )
    raw = np.full((8, 8, 1), 100, np.uint8)
    raw[0, 0] = 255
    frame = Demosaic(known).apply(frame_of(raw))
    np.testing.assert_array_equal(frame.mask, np.isfinite(frame.data).all(axis=2))
    assert np.argwhere(~frame.mask).tolist() == [[0, 0]]


def test_the_active_area_is_cut_out_in_whole_macro_pixels():
    known = calibration(4, 4, range(16), first_row=3, first_col=2, rows=14, cols=15)
    inner = raw_from(known, np.broadcast_to(np.arange(16.0), (12, 12, 16)))
    raw = np.full((24, 24, 1), 99, np.float32)
    raw[3:15, 2:14] = inner
    mask = np.ones((24, 24), bool)
    mask[0, 0] = False
    frame = Demosaic(known).apply(frame_of(raw, mask=mask))
    np.testing.assert_allclose(frame.data, np.broadcast_to(np.argsort(known.wavelengths_nm), (3, 3, 16)))
    assert frame.mask.all()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (np.zeros((16, 16, 3), np.uint8), "a raw mosaic frame has 1 channel; this one has 3"),
        (np.zeros((7, 16, 1), np.uint8), "at least two macro-pixels"),
    ],
)
def test_what_is_no_raw_frame_is_refused(data, problem):
    with pytest.raises(InputError, match=problem):
        Demosaic(calibration(4, 4, range(16))).apply(frame_of(data))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pattern": ((0, 1), (1, 2))}, "each of the numbers from 0 once"),
        ({"pattern": ((0, 1), (2,))}, "rows of one length"),
        ({"wavelengths_nm": (1.0, 2.0)}, "wavelengths_nm has 2 numbers; wanted 4"),
        ({"correction": CorrectionMatrix(correction="matrix", matrix=((1.0, 2.0),))}, "rows of 4 numbers"),
    ],
)
def test_a_calibration_that_does_not_fit_together_is_refused(changes, problem):
    fitting = {"pattern": ((0, 1), (2, 3)), "wavelengths_nm": (500.0, 510.0, 520.0, 530.0)}
    with pytest.raises(ManifestError, match=problem):
        MosaicCalibration(**(fitting | changes))


def test_filters_that_overlap_are_told_apart_by_their_curves():
    nm = np.arange(450.0, 651)
    centres = np.linspace(480, 620, 8)

    def seen(middle, width):
        return np.exp(-0.5 * ((nm - np.asarray(middle)[:, None]) * 2.3548 / width) ** 2)

    curves = seen(centres, 15.0) + 0.4 * seen(np.roll(centres, 4), 15.0)
    matrix = correction_from_curves(curves, nm, centres, np.full(8, 15.0), noise=1e-4)
    line = np.exp(-0.5 * ((nm - centres[2]) / 2) ** 2)
    before, after = curves @ line, matrix @ (curves @ line)
    assert before[6] > 0.3 * before[2]
    assert abs(after[6]) < 0.03 * after[2]
    np.testing.assert_allclose(matrix @ curves.sum(axis=1), curves.sum(axis=1).mean(), rtol=1e-6)


def test_a_band_beyond_the_curves_is_refused():
    with pytest.raises(InputError, match="700 nm lies beyond the filter curves"):
        correction_from_curves(np.ones((2, 11)), np.arange(500.0, 511), np.array([700.0]), np.ones(1), noise=0.1)


@pytest.mark.parametrize("text", ["", "nm,a\nx,y\n", "500\n510\n", "510,1\n500,2\n"])
def test_a_file_that_is_no_table_of_curves_is_refused(tmp_path, text):
    (tmp_path / "curves.csv").write_text(text)
    with pytest.raises(InputError, match=r"curves\.csv"):
        read_curves(tmp_path / "curves.csv")


def test_a_calibration_file_with_a_wrong_key_is_refused(tmp_path):
    (tmp_path / "mosaic.yaml").write_text("pattern: [[0]]\nwavelength_nm: [500]\n")
    with pytest.raises(
        InputError, match=r"mosaic\.yaml is wrong: unknown key wavelength_nm .did you mean wavelengths_nm"
    ):
        read_mosaic(tmp_path / "mosaic.yaml")


def test_the_sample_s_matrix_sharpens_its_filters_and_holds_noise_down():
    known = read_mosaic(SAMPLE)
    matrix = known.correction_matrix()
    nm, curves = read_curves(Path(known.correction.file))
    assert np.sqrt((matrix**2).sum(axis=1)).max() < 2.5
    reached = nm <= known.correction.last_nm
    combined = (matrix @ curves)[:, reached]
    peaks = nm[reached][combined.argmax(axis=1)]
    assert np.median(np.abs(peaks - known.wavelengths_nm)) < 5


def test_plants_of_a_real_frame_are_green(shared_data):
    with np.load(shared_data / "sensors" / "imec4x4_raw_mei_shanghai_5_0.npz") as archive:
        raw = archive["cube"][:, :, None]
    frame = Demosaic(read_mosaic(SAMPLE)).apply(frame_of(raw))
    assert frame.data.shape == (256, 512, 16)
    cloud = np.nanmedian(frame.data[:80, 300:500], axis=(0, 1))
    grass = np.nanmedian(frame.data[232:240, 100:300], axis=(0, 1)) / cloud
    peak = frame.wavelengths_nm[grass.argmax()]
    assert 535 < peak < 570
    assert frame.mask.mean() > 0.99
