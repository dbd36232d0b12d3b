from __future__ import annotations

import numpy as np
import pytest

from export.data.published import find_protocol, published_scenes
from export.data.published.protocols import Tiles
from export.data.published.worldview2 import worldview2_pairs
from hsi_edge.errors import InputError
from tests.export.data.miniature import miniature_scenes, ramp, write_raster

ORDER = "052334580010_01"
BANDS = ramp(9, 6, 8)
TILES = Tiles(rows=3, cols=3, test_share=0.5, whole=True)


@pytest.fixture
def published(tmp_path):
    """The two of a pair differ by a second in their names; endings are in capitals."""
    home = tmp_path / "worldview2"
    write_raster(home / f"{ORDER}_P001_MUL" / f"10APR05101516-M2AS-{ORDER}_P001.TIF", BANDS, pixel=2.0)
    write_raster(home / f"{ORDER}_P001_PAN" / f"10APR05101515-P2AS-{ORDER}_P001.TIF", ramp(37, 24, 1), pixel=0.5)
    (home / f"{ORDER}_P001_MUL" / f"10APR05101516-M2AS-{ORDER}_P001.IMD").write_text("version")
    return tmp_path


@pytest.mark.parametrize("paper", ["ssrnet", "gelin", "pzres", "msssf"])
def test_the_upper_tiles_train_and_the_lower_ones_test_under_a_protocol_of_our_own(published, paper):
    assert find_protocol("worldview2", paper).origin == "own"
    train, test = (miniature_scenes(published, "worldview2", paper, split, tiles=TILES) for split in ("train", "test"))
    assert (len(train), len(test)) == (4, 2)
    np.testing.assert_allclose(train[1].cube, BANDS[:3, 3:] / BANDS.max(), rtol=1e-6)
    np.testing.assert_allclose(test[0].cube, BANDS[6:, :3] / BANDS.max(), rtol=1e-6)


def test_tiles_that_reach_beyond_the_swath_are_left_out(published):
    image = BANDS.copy()
    image[0, 0] = 0
    file = next(published.rglob("*-M2AS-*.TIF"))
    write_raster(file, image, pixel=2.0)
    names = [scene.name for scene in miniature_scenes(published, "worldview2", "pzres", "train", tiles=TILES)]
    assert names == [f"{file.stem}-train-{index}" for index in (1, 2, 3)]


def test_a_pair_is_cut_to_the_ground_that_both_cover(published):
    (pair,) = worldview2_pairs(published)
    assert pair.ratio == 4
    assert pair.lr_hsi.data.shape == (9, 6, 8)
    assert pair.hr_msi.data.shape == (36, 24, 1)
    np.testing.assert_array_equal(pair.lr_hsi.data[...], BANDS)
    np.testing.assert_array_equal(pair.hr_msi.data[4:6, 1:3], ramp(37, 24, 1)[4:6, 1:3])


def test_a_panchromatic_image_of_another_size_is_refused(published):
    write_raster(next(published.rglob("*-P2AS-*.TIF")), ramp(20, 24, 1), pixel=0.5)
    with pytest.raises(InputError, match="9 x 6 and 20 x 24 pixels; wanted the second 4 times as large"):
        next(worldview2_pairs(published))


def test_bands_without_their_panchromatic_image_say_which_one_is_missing(published):
    next(published.rglob("*-P2AS-*.TIF")).unlink()
    with pytest.raises(InputError, match=rf"no panchromatic image: wanted a file \*-P2AS-{ORDER}_P001\.TIF"):
        next(worldview2_pairs(published))


def test_an_order_of_four_bands_is_refused(tmp_path):
    write_raster(tmp_path / "worldview2" / f"10APR05101516-M2AS-{ORDER}_P001.TIF", ramp(5, 5, 4))
    with pytest.raises(InputError, match=r"= \(5, 5, 4\); wanted 8 bands"):
        next(published_scenes(tmp_path, "worldview2", "pzres", "train"))
