"""The memory of a frame is known before anything is allocated, and the tile is chosen by it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.cuda.plan import MOST_ROWS, FrameShape, Layout, fitting_tile, plan_memory
from hsi_edge.errors import TilingError
from tests.hsi_edge.cuda.pairs import KINDS, pair_of
from tests.tiny_bundles import BYTES_PER_PX

FRAME = FrameShape(lr=(60, 70), bands=5, msi_bands=3, msi_dtype="float32", masked=False, tiles=1)
TILES = [(12, 12), (30, 30), (20, 30)]

fields = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.tuples(
        st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple), st.sampled_from(["u1", "u2", "f4", "f8"])
    ),
    min_size=1,
)


@given(fields)
def test_arrays_of_a_layout_are_aligned_and_never_overlap(fields):
    layout = Layout(fields)
    block = np.zeros(layout.nbytes, np.uint8)
    views = layout.views(block)
    for number, (name, view) in enumerate(views.items(), 1):
        assert (view.shape, view.dtype) == fields[name]
        assert layout.addresses(0)[name] % 256 == 0
        view.view(np.uint8)[...] = number
    for number, view in enumerate(views.values(), 1):
        assert (view.view(np.uint8) == number).all()


def test_the_largest_tile_is_chosen_that_the_free_memory_holds():
    manifest = KINDS["regression base"]

    def chosen(free_bytes):
        return fitting_tile(manifest, FRAME, TILES, free_bytes=free_bytes, integrated=False)

    assert chosen(1 << 30) == (30, 30)
    sizes = [chosen(free) for free in range(1_400_000, 2_200_000, 10_000)]
    assert list(dict.fromkeys(sizes)) == [(12, 12), (20, 30), (30, 30)]
    with pytest.raises(TilingError, match=r"needs \d\.\d MB on the GPU, where 0\.\d MB are free; .* smaller tile"):
        chosen(500_000)


def test_a_frame_of_more_rows_than_a_kernel_can_be_launched_for_is_refused_before_memory_is_asked_for():
    manifest = KINDS["regression base"]
    longest = MOST_ROWS // manifest.ratio

    def planned(rows):
        frame = replace(FRAME, lr=(rows, 8))
        tensors = {"hr_hsi": (1, 5, 20, 24)}
        return plan_memory(manifest, frame, tensors, engine_bytes=0, integrated=False, strip_bytes=1 << 20)

    assert planned(longest).own_bytes > 0
    with pytest.raises(TilingError, match=rf"has {(longest + 1) * manifest.ratio} HR rows, .* at most 65535 at once"):
        planned(longest + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planned_for_a_tile_is_what_the_pipeline_takes_with_its_engine(rig, rng, kind):
    one = rig(KINDS[kind])
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()
    guide = one.frame.guide
    shape = FrameShape(
        lr=one.frame.lr_shape,
        bands=len(one.frame.dead_bands),
        msi_bands=0 if guide is None else 3,
        msi_dtype=None if guide is None else "float32",
        masked=False,
        tiles=0,
    )
    tile = one.tiles[0].read.shape
    engine_bytes = math.prod(tile) * one.manifest.ratio**2 * BYTES_PER_PX
    strip = 4 * math.prod(one.frame.lr_shape) * one.manifest.ratio**2 * shape.bands
    planned = one.pipeline.planned_bytes - one.engine().workspace_bytes + engine_bytes
    fits = {"free_bytes": planned, "integrated": False}
    # The frame is small enough for either size of strip.
    assert strip < 1 << 20
    assert fitting_tile(one.manifest, shape, [tile], **fits) == tile
    with pytest.raises(TilingError):
        fitting_tile(one.manifest, shape, [tile], **(fits | {"free_bytes": planned - 1}))
