from __future__ import annotations

import itertools

import numpy as np
import pytest

from export.data.paper_patches import DrawnPatches, GridPatches, PaperPair, PaperPatches, PublishedData, RandomPatches
from export.data.scenes import Scene
from hsi_edge.errors import InputError
from hsi_edge.resampling import upsample

BANDS, PATCH, RATIO = 4, 8, 4


def numbered(rows, cols):
    """Every pixel of the first band has its own number; the others are its multiples."""
    numbers = np.arange(rows * cols, dtype=np.float32).reshape(rows, cols, 1)
    return Scene("numbered", numbers * np.arange(1, BANDS + 1, dtype=np.float32))


def pair(patches, *, orientations="as-is", blur="decimate", clip=False, base=None, images=("lr_hsi",)):
    data = PublishedData(
        paper="gelin", dataset="cave", blur=blur, clip=clip, patches=patches, orientations=orientations
    )
    response = np.eye(3, BANDS) if "hr_msi" in images else None
    return PaperPair(data=data, ratio=RATIO, images=images, base=base, response=response)


def source(patches, *scenes, seed=0, **kinds):
    return PaperPatches(scenes or [numbered(20, 30)], pair(patches, **kinds), patch=PATCH, seed=seed)


def corners(patches, count=1, cols=30):
    """Upper left corners of the samples of every place, visited `count` times."""
    rng = np.random.default_rng(1)
    found = [int(patches.sample(place, rng)["truth"][0, 0, 0]) for place in range(patches.places) for _ in range(count)]
    return [divmod(number, cols) for number in found]


def test_a_grid_has_all_places_a_stride_apart_that_lie_inside():
    assert corners(source(GridPatches(stride=6))) == list(itertools.product((0, 6, 12), (0, 6, 12, 18)))


def test_a_random_patch_lies_elsewhere_at_each_visit_and_inside():
    patches = source(RandomPatches(), numbered(20, 30), numbered(20, 30))
    assert patches.places == 2
    found = corners(patches, count=200)
    rows, cols = zip(*found, strict=True)
    assert set(rows) == set(range(13))
    assert set(cols) == set(range(23))


def test_drawn_patches_stay_where_they_were_drawn():
    patches = source(DrawnPatches(per_image=5, zooms=(1.0,)), numbered(20, 30), numbered(20, 30))
    assert patches.places == 10
    first = corners(patches)
    assert corners(patches) == first
    assert corners(source(DrawnPatches(per_image=5, zooms=(1.0,)), numbered(20, 30), numbered(20, 30))) == first
    assert corners(source(DrawnPatches(per_image=5, zooms=(1.0,)), numbered(20, 30), seed=1)) != first[:5]
    assert len(set(first)) > 5


def test_a_zoom_of_a_half_halves_the_image(rng):
    patches = source(DrawnPatches(per_image=3, zooms=(1.0, 0.5)), numbered(40, 60))
    assert patches.places == 6
    steps = [np.median(np.diff(patches.sample(place, rng)["truth"][0], axis=1)) for place in range(6)]
    np.testing.assert_allclose(steps, [1, 1, 1, 2, 2, 2], rtol=1e-3)


@pytest.mark.parametrize(("orientations", "count"), [("as-is", 1), ("turns-flip", 5), ("dihedral", 8)])
def test_orientations_are_as_many_as_the_paper_has(rng, orientations, count):
    patches = source(GridPatches(stride=8), numbered(8, 8), orientations=orientations)
    found = {patches.sample(0, rng)["truth"].tobytes() for _ in range(150)}
    assert len(found) == count
    truth = np.moveaxis(numbered(8, 8).cube, 2, 0)
    assert truth.tobytes() in found
    for image in found:
        assert set(np.frombuffer(image, np.float32)) == set(truth.ravel())


def test_a_pair_holds_what_the_network_takes_in_the_units_of_the_truth(rng):
    truth = rng.random((BANDS, 16, 12), np.float32)
    seen = pair(RandomPatches(), base="bicubic", images=("lr_hsi", "base", "hr_msi")).of(truth)
    assert list(seen) == ["lr_hsi", "base", "hr_msi", "truth"]
    np.testing.assert_array_equal(seen["lr_hsi"], truth[:, 2::4, 2::4])
    np.testing.assert_allclose(seen["base"], upsample(seen["lr_hsi"], RATIO, "bicubic"), atol=1e-6)
    np.testing.assert_allclose(seen["hr_msi"], truth[:3], atol=1e-6)
    assert seen["truth"] is truth


def test_clipping_cuts_what_bicubic_overshoots(rng):
    truth = (rng.random((BANDS, 32, 32)) > 0.5).astype(np.float32).repeat(4, axis=1).repeat(4, axis=2)
    kinds = {"blur": "bicubic", "base": "bicubic", "images": ("lr_hsi", "base")}
    free, clipped = (pair(RandomPatches(), clip=clip, **kinds).of(truth) for clip in (False, True))
    for name in ("lr_hsi", "base"):
        assert free[name].min() < 0
        assert free[name].max() > 1
        assert 0 <= clipped[name].min() <= clipped[name].max() <= 1
    np.testing.assert_array_equal(clipped["lr_hsi"], free["lr_hsi"].clip(0, 1))


@pytest.mark.parametrize(
    "patches", [GridPatches(stride=4), RandomPatches(), DrawnPatches(per_image=1, zooms=(1.0,))], ids=lambda p: p.place
)
def test_an_image_smaller_than_a_patch_is_refused(patches):
    with pytest.raises(
        InputError, match=r"an image has 7 x \d+ pixels where a patch needs 8 x 8 of it; choose a smaller"
    ):
        source(patches, numbered(7, 30))
