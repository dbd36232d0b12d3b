from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from engines.salton_sea import FLIGHT_ROWS, frame_pairs
from engines.tiling_check import check_tiling
from engines.tiling_report import difference_picture, tiling_markdown, write_tiling
from export.pack import pack_graphless
from hsi_edge.bundle import Bundle
from hsi_edge.errors import HSIEdgeError, InputError, TilingError
from tests.tiny_bundles import frame_pair, lr_manifest, plain_manifest, write_tiny_bundle

RATIO = 8


@pytest.fixture
def pairs(rng):
    """Two frames of 128 x 96 pixels whose MSI gets brighter downwards, so that no tile has the frame's mean."""

    def pair(level):
        slope = np.linspace(0, 255, 16 * RATIO)[:, None, None]
        msi = np.clip(slope + level + 20 * rng.random((16 * RATIO, 12 * RATIO, 1)), 0, 255).astype(np.uint8)
        return rng.random((16, 12, 2)).astype(np.float32), msi

    before, now = pair(40), pair(0)
    return lambda _manifest: (before, now)


@pytest.fixture
def check(bundle, pairs):
    return check_tiling(bundle, pairs, memory_mb=1, say=print)


def test_every_mode_but_whole_is_run_in_tiles(check):
    assert [result.mode for result in check.modes] == ["whole", "exact", "reduced", "sampled", "previous"]
    assert [result.n_tiles > 1 for result in check.modes] == [False, True, True, True, True]


def test_exact_tiles_equal_the_whole_frame_and_the_previous_frame_s_do_not(check):
    by_mode = {result.mode: result for result in check.modes}
    check.require_exact()
    assert by_mode["exact"].max_abs < 1e-6
    # The frame before is brighter by 40 of 255, less what was clipped.
    assert 0.05 < by_mode["previous"].max_abs < 40 / 255
    assert by_mode["previous"].percent_of_residual > 10 * by_mode["exact"].percent_of_residual


def test_exact_mode_that_is_not_exact_fails(check):
    wrong = replace(check, modes=tuple(replace(result, max_abs=2e-5) for result in check.modes))
    with pytest.raises(HSIEdgeError, match=r"mean: tiles with exact statistics differ .* by 2e-05 .* at most 1e-05"):
        wrong.require_exact()


def test_budget_that_holds_the_whole_frame_is_refused(bundle, pairs):
    with pytest.raises(
        InputError, match="budget holds the whole frame as one tile, so nothing is tiled; give a smaller"
    ):
        check_tiling(bundle, small(pairs), memory_mb=64, say=print)


def test_without_a_budget_the_frame_is_cut(bundle, pairs):
    check = check_tiling(bundle, pairs, say=print)
    assert all(result.n_tiles > 1 for result in check.modes[1:])


def test_frame_that_cannot_be_cut_is_refused(bundle, pairs):
    with pytest.raises(TilingError, match="a frame of 4 x 4 LR pixels is too small for mean to be cut"):
        check_tiling(bundle, small(pairs), say=print)


def small(pairs):
    return lambda manifest: tuple((lr[:4, :4], msi[: 4 * RATIO, : 4 * RATIO]) for lr, msi in pairs(manifest))


@pytest.mark.parametrize("images", [("lr_hsi",), ("lr_hsi", "base"), ("lr_hsi", "hr_msi")])
def test_model_without_statistics_is_run_whole_and_in_tiles(tmp_path, monkeypatch, rng, images):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    manifest = lr_manifest(images, statistics=None, graphs=plain_manifest().graphs)
    bundle = write_tiny_bundle(tmp_path / "b", manifest)
    lr_hsi, hr_msi = frame_pair(rng, (75, 41))
    pair = (lr_hsi, hr_msi if "hr_msi" in images else None)
    check = check_tiling(bundle.path, lambda _: (pair, pair), say=print)
    assert [result.mode for result in check.modes] == ["whole", "tiles"]
    check.require_exact()
    row = next(line for line in tiling_markdown([check], {}).splitlines() if "| tiles " in line)
    # Model, statistics, halo, radius, alignment.
    assert [cell.strip() for cell in row.split("|")[1:6]] == ["tiny-lr-x2", "tiles", "3", "0", "2"]


def test_tiles_that_are_not_exact_fail_without_statistics_too(check):
    wrong = replace(check, modes=(replace(check.modes[1], mode="tiles", max_abs=2e-5),))
    with pytest.raises(HSIEdgeError, match=r"mean: tiles differ from the whole frame by 2e-05"):
        wrong.require_exact()


def test_regression_is_checked_as_any_model(tmp_path):
    for ratio, tiles in ((4, 1), (8, 4)):
        check = check_tiling(pack_graphless("regression", ratio, tmp_path / str(ratio)).path, frame_pairs, say=print)
        assert [result.n_tiles for result in check.modes] == [1, tiles]
        check.require_exact()


def test_report_holds_a_row_per_mode_and_a_picture(check, tmp_path):
    write_tiling(tmp_path / "report", [check], {"cpu": "one"})
    (written,) = json.loads((tmp_path / "report" / "tiling.json").read_text())["models"]
    assert [row["mode"] for row in written["modes"]] == ["whole", "exact", "reduced", "sampled", "previous"]
    assert (written["tiling"]["halo_lr"], written["tiling"]["alignment_lr"]) == (1, 1)
    assert (tmp_path / "report" / "tiling-mean.png").read_bytes().startswith(b"\x89PNG")
    assert "| previous " in tiling_markdown([check], {})


def test_picture_is_black_where_nothing_differs_and_white_where_much_does():
    difference = np.array([[0, 1]], np.float32)
    picture = difference_picture([difference, difference])
    assert picture[0, :, 0].tolist() == [0, 255, 255, 255, 255, 255, 0, 255]


def test_sample_pairs_are_two_frames_of_one_flight(bundle):
    (lr_before, msi_before), (lr, msi) = frame_pairs(Bundle.open(bundle).manifest)
    assert msi.shape == (lr.shape[0] * RATIO, lr.shape[1] * RATIO, 3)
    np.testing.assert_array_equal(lr_before[FLIGHT_ROWS:], lr[:-FLIGHT_ROWS])
    np.testing.assert_array_equal(msi_before[FLIGHT_ROWS * RATIO :], msi[: -FLIGHT_ROWS * RATIO])
