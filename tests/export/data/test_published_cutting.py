from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.data.published import cropped_to_ratio, published_scenes
from export.data.published.cutting import tile_windows
from export.data.published.protocols import Crop, Files, Tiles
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_mat

SPLITS = ("train", "validation", "test")
lengths = st.integers(1, 9)


@st.composite
def images_with_grids(draw):
    down, across, rows, cols = (draw(st.integers(1, 5)) for _ in range(4))
    share = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    in_test = int(share * down) * across
    tiles = Tiles(
        rows=rows,
        cols=cols,
        down=draw(st.sampled_from([0, down])),
        across=draw(st.sampled_from([0, across])),
        place=draw(st.sampled_from(["top_left", "centre"])),
        test_share=share,
        validation=draw(st.integers(0, in_test)),
    )
    # Fewer spare pixels than a tile has: as many as fit are then as many as were asked for.
    return (
        (down * rows + draw(st.integers(0, rows - 1)), across * cols + draw(st.integers(0, cols - 1))),
        tiles,
        (
            down,
            across,
        ),
    )


@given(images_with_grids())
def test_tiles_of_all_splits_cover_their_grid_once(case):
    shape, tiles, (down, across) = case
    windows = {split: tile_windows(shape, tiles, split) for split in SPLITS}
    covered = np.zeros(shape, int)
    for window in (window for part in windows.values() for window in part):
        assert covered[window].shape == (tiles.rows, tiles.cols)
        covered[window] += 1
    assert covered.max() == 1
    assert covered.sum() == down * tiles.rows * across * tiles.cols
    assert len(windows["validation"]) == tiles.validation
    assert len(windows["test"]) == int(tiles.test_share * down) * across - tiles.validation
    # The grid is one rectangle, at the corner or in the middle.
    rows, cols = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    for edges, length in ((rows, shape[0]), (cols, shape[1])):
        before, after = edges[0], length - 1 - edges[-1]
        assert before == 0 if tiles.place == "top_left" else after - before in (0, 1)


@given(images_with_grids())
def test_testing_tiles_lie_below_training_tiles(case):
    shape, tiles, _ = case
    train, test = (tile_windows(shape, tiles, split) for split in ("train", "test"))
    assert all(one[0].stop <= other[0].start for one in train for other in test)


def test_an_image_smaller_than_its_grid_is_refused(tmp_path):
    write_mat(tmp_path / "pavia_centre" / "Pavia.mat", pavia=ramp(5, 6, 102))
    scenes = published_scenes(tmp_path, "pavia_centre", "gelin", "train")
    with pytest.raises(InputError, match=r"Pavia\.mat: it has 5 x 6 pixels; wanted at least 1080 x 672; gelin on"):
        next(scenes)


@given(rows=st.integers(8, 20), cols=st.integers(8, 20), ratio=st.integers(1, 8))
def test_a_cube_cropped_to_its_ratio_keeps_its_upper_left_corner(rows, cols, ratio):
    cube = ramp(rows, cols, 2, "float32")
    cropped = cropped_to_ratio(cube, ratio)
    assert [side % ratio for side in cropped.shape[:2]] == [0, 0]
    assert rows - cropped.shape[0] < ratio
    assert cols - cropped.shape[1] < ratio
    assert cropped[0, 0, 0] == cube[0, 0, 0]


# -- whole scenes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for index in range(10):
        write_mat(tmp_path / "harvard" / "CZ_hsdb" / f"img{index}.mat", ref=ramp(6, 7, 31, "float64", start=1 + index))
    return tmp_path


def names(folder, split, files):
    return [scene.name for scene in miniature_scenes(folder, "harvard", "ssrnet", split, files=files, crop=None)]


@pytest.mark.parametrize(
    ("files", "sizes"),
    [(Files(rule="random", train=0.8), (8, 2)), (Files(rule="random", train=3, test=4), (3, 4))],
)
def test_a_random_split_is_the_same_each_time_and_without_overlap(folder, files, sizes):
    train, test = names(folder, "train", files), names(folder, "test", files)
    assert (len(train), len(test)) == sizes
    assert not set(train) & set(test)
    assert train == names(folder, "train", files)
    assert train != sorted(train + test)[: len(train)]


def test_another_seed_is_another_split(folder):
    draws = {tuple(names(folder, "test", Files(rule="random", train=5, test=5, seed=seed))) for seed in range(5)}
    assert len(draws) > 1


def test_first_and_last_follow_the_names(folder):
    files = Files(rule="first_last", train=3, test=2)
    assert names(folder, "train", files) == ["CZ_hsdb/img0", "CZ_hsdb/img1", "CZ_hsdb/img2"]
    assert names(folder, "test", files) == ["CZ_hsdb/img8", "CZ_hsdb/img9"]


def test_too_few_scenes_for_a_paper_s_split_are_refused(folder):
    with pytest.raises(InputError, match=r"msssf on harvard .* has 10 scenes; wanted 40 to train and 10 to test"):
        published_scenes(folder, "harvard", "msssf", "train")


def test_a_split_that_a_paper_has_not_is_refused(folder):
    with pytest.raises(InputError, match="ssrnet on harvard has no validation split; it has train, test"):
        published_scenes(folder, "harvard", "ssrnet", "validation")
    with pytest.raises(InputError, match="it trains on pavia_centre and tests on pavia_university"):
        published_scenes(folder, "pavia_university", "gelin", "train")


def test_a_crop_is_cut_after_the_whole_image_was_normalised(folder):
    crop = Crop(place="top_left", rows=2, cols=3, splits=("test",))
    for scene in miniature_scenes(folder, "harvard", "ssrnet", "test", crop=crop):
        whole = ramp(6, 7, 31, "float64", start=1 + int(scene.name[-1]))
        assert scene.cube.dtype == np.float32
        np.testing.assert_allclose(scene.cube, (whole / whole.max())[:2, :3], rtol=1e-6)
    assert miniature_scenes(folder, "harvard", "ssrnet", "train", crop=crop)[0].cube.shape == (6, 7, 31)


def test_a_file_is_read_when_its_turn_comes(folder):
    scenes = published_scenes(folder, "harvard", "ssrnet", "train")
    next(scenes)
    for file in folder.rglob("*.mat"):
        file.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"cannot read .*\.mat"):
        next(scenes)


def test_an_image_without_light_is_refused(tmp_path):
    for index in range(5):
        write_mat(tmp_path / "harvard" / "CZ_hsdb" / f"img{index}.mat", ref=np.zeros((6, 7, 31)))
    with pytest.raises(InputError, match=r"img\d\.mat: its largest value is 0\.0; wanted a positive number"):
        next(published_scenes(tmp_path, "harvard", "ssrnet", "train"))


def test_what_an_archive_of_a_mac_brings_along_is_no_scene(folder):
    for junk in ("harvard/__MACOSX/CZ_hsdb/img0.mat", "harvard/CZ_hsdb/._img0.mat"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_bytes(b"junk")
    assert len(names(folder, "train", Files(rule="random", train=0.8))) == 8
