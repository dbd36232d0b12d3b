from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from hsi_edge.backends import BACKENDS
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.cube import Cube, Georeference
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import EngineLoadError, InputError, TilingError
from hsi_edge.manifest import Input, Precision, Tiling
from tests.tiny_bundles import (
    BYTES_PER_PX,
    REACH_PX,
    WAVELENGTHS_NM,
    frame_pair,
    fusion_manifest,
    lr_manifest,
    plain_manifest,
    reference,
    regression_manifest,
    write_tiny_bundle,
)

RATIO = 2
LARGE = (75, 41)
"""LR pixels; with a budget of 1 MB, which holds tiles of 32 alone, 3 x 2 tiles."""
MANIFESTS = {"fusion": fusion_manifest(RATIO), "plain": plain_manifest(RATIO), "regression": regression_manifest(RATIO)}
MODES = ("exact", "reduced", "sampled", "previous")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {name: write_tiny_bundle(folder / name, manifest).path for name, manifest in MANIFESTS.items()}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def fusion(bundles, backend):
    """With statistics, in tiles, on each backend."""
    with HSIEngine(bundles["fusion"], backend=backend, memory_mb=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def plain(bundles):
    """Without statistics, in tiles."""
    with HSIEngine(bundles["plain"], memory_mb=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def regression(bundles):
    with HSIEngine(bundles["regression"]) as engine:
        yield engine


# -- tiles and statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr_shape", [LARGE, (33, 5), (2, 2), (32, 64), (3, 100)])
def test_tiles_with_exact_statistics_equal_the_whole_frame(fusion, rng, lr_shape):
    lr_hsi, hr_msi = frame_pair(rng, lr_shape)
    result = fusion.run(lr_hsi, hr_msi)
    assert fusion.report.tile[0] <= 64
    np.testing.assert_allclose(result, reference(MANIFESTS["fusion"], lr_hsi, hr_msi), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ratio", [3, 4])
@pytest.mark.parametrize("base", ["bilinear", "bicubic", "regression"])
def test_tiles_equal_the_whole_frame_over_each_base_and_at_other_ratios(tmp_path, rng, ratio, base):
    manifest = fusion_manifest(ratio, base=base)
    lr_hsi, hr_msi = frame_pair(rng, (30, 23), ratio)
    with HSIEngine(write_tiny_bundle(tmp_path / "b", manifest).path, memory_mb=1) as engine:
        result = engine.run(lr_hsi, hr_msi)
        assert engine.report.n_tiles > 1
    np.testing.assert_allclose(result, reference(manifest, lr_hsi, hr_msi), atol=1e-5, rtol=0)


def test_tiles_of_a_network_without_statistics_equal_the_whole_frame(plain, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    result = plain.run(lr_hsi, hr_msi)
    assert plain.report.n_tiles == 6
    assert plain.report.statistics is None
    np.testing.assert_allclose(result, reference(MANIFESTS["plain"], lr_hsi, hr_msi), atol=1e-5, rtol=0)


def test_whole_runs_the_frame_in_one_piece(bundles, backend, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    with HSIEngine(bundles["fusion"], backend=backend, memory_mb=1, statistics="whole") as engine:
        result = engine.run(lr_hsi, hr_msi)
        assert engine.report.n_tiles == 1
        assert engine.report.tile == (150, 82)
    np.testing.assert_allclose(result, reference(MANIFESTS["fusion"], lr_hsi, hr_msi), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_near_the_whole_frame_and_is_reported(bundles, rng, mode):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    with HSIEngine(bundles["fusion"], memory_mb=1, statistics=mode) as engine:
        result = engine.run(lr_hsi, hr_msi)
        assert engine.report.statistics == mode
        small = engine.run(lr_hsi[:9, :9], hr_msi[:18, :18])
        assert engine.report.statistics is None
    off = np.abs(result - reference(MANIFESTS["fusion"], lr_hsi, hr_msi)).max()
    assert off < (1e-5 if mode == "exact" else 0.2)
    np.testing.assert_allclose(small, reference(MANIFESTS["fusion"], lr_hsi[:9, :9], hr_msi[:18, :18]), atol=1e-5)


def test_a_larger_budget_takes_larger_tiles_and_stays_within(bundles, rng):
    sides = set()
    for memory_mb in (1, 4, 16):
        with HSIEngine(bundles["plain"], memory_mb=memory_mb) as engine:
            engine.run(*frame_pair(rng, (150, 150)))
            rows, cols = engine.report.tile
            assert rows * cols * BYTES_PER_PX <= memory_mb << 20
            assert engine.report.planned_bytes >= rows * cols * BYTES_PER_PX
            sides.add(rows)
    assert 64 in sides


# -- other images ------------------------------------------------------------------------------------------------------

LR_IMAGES = [("lr_hsi",), ("lr_hsi", "base"), ("lr_hsi", "hr_msi"), ("base", "lr_hsi", "hr_msi")]


def lr_pair(rng, images, lr_shape, ratio=RATIO):
    lr_hsi, hr_msi = frame_pair(rng, lr_shape, ratio)
    return lr_hsi, hr_msi if "hr_msi" in images else None


@pytest.mark.parametrize("ratio", [2, 3])
@pytest.mark.parametrize("images", LR_IMAGES)
def test_tiles_equal_the_whole_frame_whatever_the_graph_takes(tmp_path, rng, images, ratio):
    """An alignment of 2, whose frame is filled up and cropped where it has an odd side."""
    manifest = lr_manifest(images, ratio)
    path = write_tiny_bundle(tmp_path / "b", manifest).path
    with HSIEngine(path, memory_mb=1) as tiled, HSIEngine(path, memory_mb=1, statistics="whole") as whole:
        for lr_shape in ((76, 42), (75, 41), (41, 3), (3, 2)):
            pair = lr_pair(rng, images, lr_shape, ratio)
            result = tiled.run(*pair)
            assert result.shape[:2] == (lr_shape[0] * ratio, lr_shape[1] * ratio)
            assert lr_shape[0] < 40 or tiled.report.n_tiles > 1
            assert tiled.report.msi_shape == (None if pair[1] is None else pair[1].shape)
            wanted = reference(manifest, *pair)
            np.testing.assert_allclose(result, wanted, atol=1e-5, rtol=0)
            np.testing.assert_allclose(whole.run(*pair), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("images", LR_IMAGES)
def test_a_network_on_the_lr_grid_without_statistics_tiles_exactly(tmp_path, rng, images):
    manifest = lr_manifest(images, statistics=None, graphs=plain_manifest().graphs)
    pair = lr_pair(rng, images, LARGE)
    with HSIEngine(write_tiny_bundle(tmp_path / "b", manifest).path, memory_mb=1) as engine:
        result = engine.run(*pair)
        assert engine.report.n_tiles > 1
    np.testing.assert_allclose(result, reference(manifest, *pair), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_measures_images_of_both_grids(tmp_path, rng, mode):
    manifest = lr_manifest(("lr_hsi", "base"))
    lr_hsi, _ = frame_pair(rng, (75, 43))
    with HSIEngine(write_tiny_bundle(tmp_path / "b", manifest).path, memory_mb=1, statistics=mode) as engine:
        *_, result = engine.stream([(lr_hsi, None)] * 2)
        assert engine.report.statistics == mode
    off = np.abs(result - reference(manifest, lr_hsi, None)).max()
    assert off < (1e-5 if mode == "exact" else 0.2)


def test_a_single_image_engine_refuses_an_msi(tmp_path, rng):
    with HSIEngine(write_tiny_bundle(tmp_path / "b", lr_manifest(("lr_hsi",))).path, memory_mb=1) as engine:
        with pytest.raises(
            InputError, match="hr_msi was given, and the model tiny-lr-x2 takes the LR-HSI alone: leave"
        ):
            engine.run(*frame_pair(rng, (8, 8)))
        assert engine.run(frame_pair(rng, (8, 8))[0]).shape == (16, 16, 5)


def test_an_invalid_pixel_in_the_last_row_of_an_odd_frame_is_nan_alone(tmp_path, rng):
    manifest = lr_manifest(("lr_hsi", "hr_msi"), statistics=None, graphs=plain_manifest().graphs)
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    lr_hsi[74, 40] = np.nan
    hr_msi[149, 0] = np.nan
    with HSIEngine(write_tiny_bundle(tmp_path / "b", manifest).path, memory_mb=1) as engine:
        result = engine.run(lr_hsi, hr_msi)
        assert (engine.report.masked_lr_px, engine.report.masked_msi_px) == (1, 1)
    invalid = np.zeros((150, 82), bool)
    invalid[148:150, 80:82] = invalid[149, 0] = True
    np.testing.assert_array_equal(np.isnan(result).any(axis=2), invalid)


# -- inputs and outputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64", ">u2", ">f4"])
def test_each_type_gives_the_result_of_its_values(regression, rng, dtype):
    lr_hsi, hr_msi = ((100 * array).astype(dtype) for array in frame_pair(rng, (12, 9)))
    result = regression.run(lr_hsi, hr_msi)
    assert result.dtype == np.float32
    wanted = regression.run(lr_hsi.astype(np.float32), hr_msi.astype(np.float32))
    np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[::-1, :, ::-1],
        lambda array: np.asfortranarray(array),
        lambda array: np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0),
        lambda array: array.repeat(2, axis=1)[:, ::2],
        lambda array: np.broadcast_to(array[:1, :1], array.shape),
    ],
    ids=["negative strides", "column order", "bands first", "every second column", "broadcast"],
)
def test_views_of_any_strides_are_taken_as_they_are(plain, rng, view):
    lr_hsi, hr_msi = (view(array) for array in frame_pair(rng, (40, 20)))
    np.testing.assert_array_equal(plain.run(lr_hsi, hr_msi), plain.run(lr_hsi.copy(), hr_msi.copy()))


@pytest.mark.parametrize("name", MANIFESTS)
def test_inputs_are_never_changed_and_may_be_read_only(bundles, rng, name):
    lr_hsi, hr_msi = frame_pair(rng, (40, 20))
    lr_hsi[3, 4] = np.nan
    hr_msi[5, 6] = np.inf
    # Bands first in memory is the order that the networks see.
    lr_hsi, hr_msi = (np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0) for array in (lr_hsi, hr_msi))
    before = lr_hsi.copy(), hr_msi.copy()
    with HSIEngine(bundles[name], memory_mb=1) as engine:
        engine.run(lr_hsi, hr_msi)
        lr_hsi.flags.writeable = hr_msi.flags.writeable = False
        engine.run(lr_hsi, hr_msi)
        engine.run(lr_hsi[:9, :9], hr_msi[:18, :18])
    np.testing.assert_array_equal(lr_hsi, before[0])
    np.testing.assert_array_equal(hr_msi, before[1])


def test_scaling_by_the_peak_does_not_change_the_inputs_either(tmp_path, rng):
    peak = Input(quantities=("dn",), lr_scaling="frame_peak", msi_scaling="frame_peak")
    bundle = write_tiny_bundle(tmp_path / "b", regression_manifest(RATIO, input=peak))
    lr_hsi, hr_msi = (np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0) for a in frame_pair(rng, (9, 8)))
    before = lr_hsi.copy(), hr_msi.copy()
    with HSIEngine(bundle.path) as engine:
        engine.run(lr_hsi, hr_msi)
    np.testing.assert_array_equal(lr_hsi, before[0])
    np.testing.assert_array_equal(hr_msi, before[1])


def test_out_is_written_in_place_whatever_its_strides_and_float_type(fusion, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    wanted = fusion.run(lr_hsi, hr_msi)
    shape = wanted.shape
    outs = [
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float64),
        np.zeros((*shape[:2], 2 * shape[2]), np.float32)[:, :, ::2],
        np.zeros(shape, np.float32)[::-1],
        np.zeros((shape[2], *shape[:2]), np.float32).transpose(1, 2, 0),
    ]
    for out in outs:
        assert fusion.run(lr_hsi, hr_msi, out=out) is out
        np.testing.assert_array_equal(out, wanted)


def test_out_leaves_what_lies_between_its_strides(plain, rng):
    lr_hsi, hr_msi = frame_pair(rng, (10, 10))
    canvas = np.full((30, 30, 5), 7, np.float32)
    plain.run(lr_hsi, hr_msi, out=canvas[5:25, 5:25])
    assert (canvas[:5] == 7).all()
    assert (canvas[25:] == 7).all()
    assert (canvas[5:25, :5] == 7).all()
    assert (canvas[5:25, 5:25] != 7).all()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((20, 20, 4), np.float32), r"out is \(20, 20, 4\) float32; wanted a writable float array \(20, 20, 5"),
        (np.zeros((20, 20, 5), np.uint16), r"out is \(20, 20, 5\) uint16; wanted a writable float array"),
        (np.broadcast_to(np.float32(0), (20, 20, 5)), r"out is \(20, 20, 5\) float32, read-only"),
    ],
)
def test_an_out_that_cannot_hold_the_result_is_refused(plain, rng, out, message):
    with pytest.raises(InputError, match=message):
        plain.run(*frame_pair(rng, (10, 10)), out=out)


def test_the_same_frame_gives_the_same_bits_and_no_result_is_written_again(fusion, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    first = fusion.run(lr_hsi, hr_msi)
    kept = first.copy()
    fusion.run(*frame_pair(rng, LARGE))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(fusion.run(lr_hsi, hr_msi), kept)


def test_a_cube_comes_back_as_a_cube_with_its_metadata(plain, rng):
    lr_hsi, hr_msi = frame_pair(rng, (6, 5))
    cube = Cube(
        data=(lr_hsi * 10_000).astype(np.uint16),
        wavelengths_nm=np.array(WAVELENGTHS_NM) + 1,
        fwhm_nm=np.full(5, 10.0),
        bad_bands=np.array([False, True, False, False, False]),
        quantity="reflectance",
        scale_factor=10_000.0,
        nodata=65535,
        georeference=Georeference((4.0, 0.0, 100.0, 0.0, -4.0, 200.0), "EPSG:32611"),
        timestamp_ns=12,
        band_names=("a", "b", "c", "d", "e"),
    )
    result = plain.run(cube, Cube(data=hr_msi))
    assert isinstance(result, Cube)
    np.testing.assert_allclose(result.data, plain.run(cube.physical(), hr_msi), atol=1e-6)
    assert (result.scale_factor, result.nodata, result.mask) == (1.0, None, None)
    assert result.georeference == Georeference((2.0, 0.0, 100.0, 0.0, -2.0, 200.0), "EPSG:32611")
    for name in ("wavelengths_nm", "fwhm_nm", "bad_bands"):
        np.testing.assert_array_equal(getattr(result, name), getattr(cube, name))
    assert (result.quantity, result.timestamp_ns, result.band_names) == ("reflectance", 12, cube.band_names)


def test_a_cube_of_other_bands_comes_back_with_the_models(plain, rng):
    _, hr_msi = frame_pair(rng, (6, 5))
    cube = Cube(data=rng.random((6, 5, 12), np.float32), wavelengths_nm=np.linspace(440, 660, 12))
    result = plain.run(cube, hr_msi, resample=True)
    np.testing.assert_allclose(result.wavelengths_nm, WAVELENGTHS_NM)
    assert result.data.shape == (12, 10, 5)


def test_progress_counts_the_tiles(plain, rng):
    seen = []
    plain.run(*frame_pair(rng, LARGE), progress=lambda *done: seen.append(done))
    assert seen == [(index, 6) for index in range(1, 7)]


# -- invalid pixels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_invalid_lr_pixel_is_nan_in_its_footprint_and_spreads_no_further_than_the_network_sees(plain, rng, value):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    clean = plain.run(lr_hsi, hr_msi)
    lr_hsi[30, 20, 2] = value
    result = plain.run(lr_hsi, hr_msi)
    footprint = np.zeros(clean.shape[:2], bool)
    footprint[60:62, 40:42] = True
    np.testing.assert_array_equal(np.isnan(result).all(axis=2), footprint)
    np.testing.assert_array_equal(np.isnan(result).any(axis=2), footprint)
    # Bilinear interpolation reaches one LR pixel further, the convolutions two HR pixels.
    near = np.zeros_like(footprint)
    reach = RATIO + REACH_PX
    near[60 - reach : 62 + reach, 40 - reach : 42 + reach] = True
    np.testing.assert_array_equal(result[~near], clean[~near])
    assert plain.report.masked_lr_px == 1
    assert plain.report.warnings == ("1 LR-HSI and 0 MSI pixels were invalid; the output is NaN above and at them",)


def test_an_invalid_msi_pixel_is_nan_alone(plain, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    clean = plain.run(lr_hsi, hr_msi)
    assert plain.report.warnings == ()
    hr_msi[63, 40, 1] = np.nan
    result = plain.run(lr_hsi, hr_msi)
    assert np.argwhere(np.isnan(result).any(axis=2)).tolist() == [[63, 40]]
    far = np.ones(clean.shape[:2], bool)
    far[63 - REACH_PX : 64 + REACH_PX, 40 - REACH_PX : 41 + REACH_PX] = False
    np.testing.assert_array_equal(result[far], clean[far])
    assert (plain.report.masked_lr_px, plain.report.masked_msi_px) == (0, 1)


def test_masks_and_nodata_of_cubes_are_nan_in_the_result_and_in_its_mask(fusion, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    counts = (lr_hsi * 1000).astype(np.int16)
    counts[4, 5] = -9999
    mask = np.ones(LARGE, bool)
    mask[70, 3] = False
    msi_mask = np.ones(hr_msi.shape[:2], bool)
    msi_mask[100, 50] = False
    result = fusion.run(Cube(data=counts, nodata=-9999, mask=mask), Cube(data=hr_msi, mask=msi_mask))
    invalid = np.zeros(hr_msi.shape[:2], bool)
    invalid[8:10, 10:12] = invalid[140:142, 6:8] = invalid[100, 50] = True
    np.testing.assert_array_equal(np.isnan(result.data).any(axis=2), invalid)
    np.testing.assert_array_equal(result.mask, ~invalid)
    assert (fusion.report.masked_lr_px, fusion.report.masked_msi_px) == (2, 1)


@pytest.mark.parametrize("name", ["fusion", "regression"])
def test_a_frame_with_one_valid_pixel_gives_that_pixel(bundles, rng, name):
    lr_hsi, hr_msi = frame_pair(rng, (12, 9))
    value = lr_hsi[5, 4].copy()
    lr_hsi[:] = np.nan
    lr_hsi[5, 4] = value
    with HSIEngine(bundles[name]) as engine:
        result = engine.run(lr_hsi, hr_msi)
        assert engine.report.masked_lr_px == 12 * 9 - 1
    assert np.isfinite(result[10:12, 8:10]).all()
    assert np.isfinite(result).sum() == 4 * 5


# -- regression --------------------------------------------------------------------------------------------------------


def test_regression_fuses_any_bands_in_windows_that_equal_the_whole(regression, rng):
    lr_hsi, hr_msi = rng.random((200, 150, 2), np.float32), rng.random((400, 300, 1), np.float32)
    result = regression.run(lr_hsi, hr_msi)
    assert regression.report.n_tiles == 4
    assert (regression.report.backend, regression.report.precision) == ("numpy", "fp32")
    np.testing.assert_allclose(result, reference(MANIFESTS["regression"], lr_hsi, hr_msi), atol=1e-5)


@pytest.mark.parametrize("options", [{"backend": "openvino"}, {"precision": "bf16"}])
def test_a_model_without_a_graph_takes_no_backend_and_no_precision(bundles, options):
    with pytest.raises(InputError, match="the model tiny-x2 has no graph, so it takes no backend and no precision"):
        HSIEngine(bundles["regression"], **options)


def test_dead_bands_come_back_dead_and_do_not_mask_the_others(regression, rng):
    lr_hsi, hr_msi = frame_pair(rng, (12, 9))
    lr_hsi[:, :, 0] = np.nan
    lr_hsi[3, 4, 2] = np.nan
    result = regression.run(Cube(data=lr_hsi), hr_msi)
    invalid = np.zeros((24, 18), bool)
    invalid[6:8, 8:10] = True
    assert np.isnan(result.data[:, :, 0]).all()
    np.testing.assert_array_equal(np.isnan(result.data[:, :, 1:]).any(axis=2), invalid)
    np.testing.assert_array_equal(result.mask, ~invalid)


# -- stream ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_stream_gives_what_run_gives(bundles, rng, name):
    pairs = [frame_pair(rng, shape) for shape in (LARGE, (10, 12), LARGE)]
    with HSIEngine(bundles[name], memory_mb=1) as engine:
        wanted = [engine.run(*pair) for pair in pairs]
        for pair, want, result in zip(pairs, wanted, engine.stream(iter(pairs)), strict=True):
            assert engine.report.lr_shape == pair[0].shape
            np.testing.assert_array_equal(result, want)


def test_an_empty_stream_ends(plain):
    assert list(plain.stream([])) == []


def test_previous_takes_the_statistics_of_the_frame_before(bundles, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    brighter = lr_hsi + np.float32(0.5)
    with HSIEngine(bundles["fusion"], memory_mb=1, statistics="previous") as engine:
        alone = engine.run(brighter, hr_msi)
        first, second, third = engine.stream([(lr_hsi, hr_msi), (brighter, hr_msi), (brighter, hr_msi)])
        np.testing.assert_array_equal(first, engine.run(lr_hsi, hr_msi))
    assert np.abs(second - alone).max() > 0.01
    np.testing.assert_array_equal(third, alone)


def test_a_wrong_pair_raises_in_its_turn_and_not_before(plain, rng):
    good = frame_pair(rng, (10, 10))
    stream = plain.stream([good, (good[1], good[0]), good])
    np.testing.assert_array_equal(next(stream), plain.run(*good))
    with pytest.raises(InputError, match="they look swapped"):
        next(stream)


def test_an_error_of_the_source_reaches_the_listener(plain, rng):
    def source():
        yield frame_pair(rng, (10, 10))
        raise OSError("the camera is gone")

    stream = plain.stream(source())
    next(stream)
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)


def test_a_stream_of_an_endless_source_can_be_left(plain, rng):
    pair = frame_pair(rng, (10, 10))
    first = next(plain.stream(itertools.repeat(pair)))
    np.testing.assert_array_equal(plain.run(*pair), first)


def test_leaving_does_not_wait_for_a_source_that_blocks(plain, rng):
    release = threading.Event()

    def source():
        yield frame_pair(rng, (10, 10))
        release.wait(60)

    stream = plain.stream(source())
    next(stream)
    leaver = threading.Thread(target=stream.close)
    leaver.start()
    leaver.join(10)
    still_waiting = leaver.is_alive()
    release.set()
    assert not still_waiting


# -- opening and closing -----------------------------------------------------------------------------------------------


def test_a_closed_engine_says_so_and_may_be_closed_again(bundles, rng):
    pair = frame_pair(rng, (10, 10))
    engine = HSIEngine(bundles["plain"], memory_mb=1)
    started = engine.stream([pair, pair, pair])
    next(started)
    engine.close()
    engine.close()
    for use in (lambda: engine.run(*pair), lambda: next(engine.stream([pair])), lambda: next(started)):
        with pytest.raises(EngineLoadError, match="the engine is closed; open the bundle again"):
            use()


def test_there_is_no_report_before_the_first_run(bundles):
    with (
        HSIEngine(bundles["regression"]) as engine,
        pytest.raises(EngineLoadError, match="there is no report yet: it is about the latest run"),
    ):
        _ = engine.report


def test_the_report_says_how_the_result_was_made(fusion, backend, rng):
    lr_hsi, hr_msi = frame_pair(rng, LARGE)
    fusion.run(lr_hsi, hr_msi)
    report = fusion.report
    assert (report.bundle, report.network, report.ratio, report.base) == ("tiny-x2", "tiny", 2, "bilinear")
    assert (report.backend, report.precision, report.statistics) == (backend, "fp32", "exact")
    assert report.device
    assert (report.tile, report.n_tiles) == ((54, 44), 6)
    assert (report.lr_shape, report.msi_shape) == (lr_hsi.shape, hr_msi.shape)
    assert set(report.timings_ms) == {"prepare", "statistics", "tiles", "total"}
    parts = [report.timings_ms[name] for name in ("prepare", "statistics", "tiles")]
    assert min(parts) > 0
    assert report.timings_ms["total"] == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("plain", {"backend": "cuda"}, InputError, "there is no backend 'cuda'; choose one of openvino, onnxruntime"),
        ("plain", {"precision": "int3"}, InputError, "computes in fp32.*, not in 'int3'"),
        ("plain", {"statistics": "exact"}, InputError, "tiny-x2 has no global statistics; leave statistics out"),
        (
            "fusion",
            {"statistics": "guessed"},
            InputError,
            "statistics is 'guessed'; the model tiny-x2 has whole, exact",
        ),
        ("plain", {"memory_mb": 0}, InputError, "memory_mb is 0; wanted a positive number of megabytes"),
        ("plain", {"memory_mb": -5}, InputError, "memory_mb is -5; wanted a positive number"),
    ],
)
def test_wrong_options_are_refused_with_the_right_ones(bundles, name, options, error, message):
    with pytest.raises(error, match=message):
        HSIEngine(bundles[name], **options)


def test_a_budget_that_holds_no_tile_says_how_much_it_needs(tmp_path):
    manifest = plain_manifest(RATIO, tiling=Tiling(halo_lr=1, min_lr=2, bytes_per_px=1024))
    bundle = write_tiny_bundle(tmp_path / "b", manifest)
    with pytest.raises(TilingError, match=r"a memory budget of 1 MB holds no tile.*needs 4 MB: raise memory_mb"):
        HSIEngine(bundle.path, memory_mb=1)


def test_bf16_needs_the_models_gate(tmp_path, bundles, monkeypatch):
    monkeypatch.setattr(OpenVINOBackend, "precisions", staticmethod(lambda: ("fp32", "bf16")))
    with pytest.raises(InputError, match="'bf16' is not allowed: this model did not pass its accuracy gate"):
        HSIEngine(bundles["plain"], precision="bf16")
    passed = plain_manifest(RATIO, precision=Precision(bf16=True, bf16_psnr_loss_db=0.1))
    with HSIEngine(write_tiny_bundle(tmp_path / "b", passed).path, memory_mb=1, precision="fp32") as engine:
        engine.run(*frame_pair(np.random.default_rng(0), (5, 5)))
        assert engine.report.precision == "fp32"
