from __future__ import annotations

import numpy as np
import pytest

from export.data.published import published_scenes
from export.data.published.ncalm2018 import ncalm2018_pairs
from export.data.published.protocols import Tiles
from hsi_edge.cube import Cube, Georeference
from hsi_edge.errors import InputError
from hsi_edge.io.envi import write_envi
from tests.export.data.miniature import miniature_scenes, ramp, write_raster

NAME = "20170218_UH_CASI_S4_NAD83"
LEFT, TOP = 271460.0, 3290891.0
TILE = (3, 4)  # metres south and east; 601 and 596 in truth
IMAGE = ramp(2 * TILE[0], 3 * TILE[1], 50)
RATIO = 20


def write_spectral(folder, form):
    folder.mkdir(parents=True)
    if form == "pcidsk":
        return write_raster(folder / f"{NAME}.pix", IMAGE, driver="PCIDSK", origin=(LEFT, TOP))
    if form == "geotiff":
        return write_raster(folder / f"{NAME}.tiff", IMAGE, origin=(LEFT, TOP))
    map_info = ("UTM", "1", "1", str(LEFT), str(TOP), "1", "1", "15", "North", "NAD83")
    place = Georeference((1.0, 0.0, LEFT, 0.0, -1.0, TOP), map_info=map_info)
    write_envi(folder / f"{NAME}.hdr", Cube(data=IMAGE, georeference=place))
    return (folder / f"{NAME}.img").rename(folder / f"{NAME}.pix")


@pytest.fixture(params=["pcidsk", "envi", "geotiff"])
def published(request, tmp_path):
    write_spectral(tmp_path / "ncalm2018" / "FullHSIDataset", request.param)
    return tmp_path


def write_rgb(root, row, col, shape=(TILE[0] * RATIO, TILE[1] * RATIO, 3)):
    x, y = LEFT + col * TILE[1], TOP - row * TILE[0]
    name = f"UH_NAD83_{int(x)}_{int(y) - TILE[0]}.tif"
    image = np.full(shape, (10 * row + col) % 256, np.uint8)
    return write_raster(root / "ncalm2018" / "Final RGB HR Imagery" / name, image, origin=(x, y), pixel=1 / RATIO)


def test_the_48_spectral_bands_are_kept_and_the_lower_half_tests(published):
    tiles = Tiles(rows=3, cols=5, test_share=0.5, whole=True)
    train, test = (miniature_scenes(published, "ncalm2018", "pzres", split, tiles=tiles) for split in ("train", "test"))
    assert [scene.name for scene in train + test] == [
        f"houston-{split}-{i}" for split in ("train", "test") for i in (0, 1)
    ]
    largest = IMAGE[:, :, :48].max()
    np.testing.assert_allclose(train[1].cube, IMAGE[:3, 5:10, :48] / largest, rtol=1e-6)
    np.testing.assert_allclose(test[0].cube, IMAGE[3:, :5, :48] / largest, rtol=1e-6)


def test_each_rgb_tile_comes_with_the_ground_that_it_shows(published):
    for row, col in ((0, 0), (1, 2)):
        write_rgb(published, row, col)
    pairs = {int(pair.hr_msi.data[0, 0, 0]): pair for pair in ncalm2018_pairs(published)}
    assert pairs.keys() == {0, 12}
    for (row, col), pair in zip(((0, 0), (1, 2)), (pairs[0], pairs[12]), strict=True):
        ground = IMAGE[3 * row : 3 * row + 3, 4 * col : 4 * col + 4, :48]
        assert pair.ratio == RATIO
        assert pair.hr_msi.data.shape == (60, 80, 3)
        np.testing.assert_array_equal(pair.lr_hsi.data[...], ground)


def test_rgb_tiles_beyond_the_spectral_image_are_left_out(published):
    write_rgb(published, 0, 1)
    write_rgb(published, 0, 3)
    write_rgb(published, -1, 0)
    assert [int(pair.hr_msi.data[0, 0, 0]) for pair in ncalm2018_pairs(published)] == [1]


def test_without_an_rgb_tile_there_is_no_pair(published):
    with pytest.raises(InputError, match=r"no RGB tile on the spectral image; wanted Final RGB HR Imagery/UH_NAD83_\*"):
        list(ncalm2018_pairs(published))


def test_another_number_of_bands_is_refused(tmp_path):
    write_raster(tmp_path / "ncalm2018" / f"{NAME}.tif", IMAGE[:, :, :49])
    with pytest.raises(InputError, match=r"= \(6, 12, 49\); wanted 48 bands"):
        next(published_scenes(tmp_path, "ncalm2018", "pzres", "train"))
