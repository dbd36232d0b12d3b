"""Which plans a model needs at which shapes, and what of a build is stored."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hsi_edge.engine_build import BuildOrder, build_engine, chosen_tile, plan_shapes
from hsi_edge.engine_choice import choose_engine
from hsi_edge.engine_store import stored_engines
from hsi_edge.errors import EngineLoadError, InputError, TilingError
from hsi_edge.gpu import DeviceFacts, this_platform
from hsi_edge.manifest import Statistics, Tiling
from hsi_edge.statistics import SAMPLE_PX, images_to_measure, sample_shape
from hsi_edge.tiling.geometry import plan_tiles
from tests.hsi_edge.backends.fake_tensorrt import KINDS, VARIANTS, install
from tests.tiny_bundles import (
    STATISTICS_SIZE,
    frame_pair,
    fusion_manifest,
    lr_manifest,
    plain_manifest,
    write_tiny_bundle,
)

LARGE = 1 << 30


@pytest.fixture(params=list(VARIANTS))
def variant(request):
    return request.param


@pytest.fixture
def trt(variant, monkeypatch, tmp_path):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    return install(monkeypatch, variant)


def device(variant):
    kind, version = KINDS[variant], VARIANTS[variant][1]
    return DeviceFacts(
        name="Orin", compute_capability="8.7", driver="R36", platform=this_platform(), versions={kind: version}
    )


def order(variant, **changes):
    fields = {"kind": KINDS[variant], "device": device(variant), "precision": "fp32", "tile_lr": (8, 10)}
    return BuildOrder(**(fields | changes))


@pytest.mark.parametrize("manifest", [plain_manifest(), fusion_manifest(), lr_manifest(("lr_hsi",))])
def test_what_is_built_here_is_stored_with_its_facts_and_chosen_here(variant, trt, tmp_path, manifest):
    bundle = write_tiny_bundle(tmp_path / "bundle", manifest)
    built = build_engine(bundle, order(variant), tmp_path / "engines")
    assert stored_engines(tmp_path / "engines") == ([built], [])
    facts = built.facts
    assert (facts.backend, facts.version) == (KINDS[variant], VARIANTS[variant][1])
    assert (facts.device, facts.compute_capabilities, facts.driver) == ("Orin", ("8.7",), "R36")
    assert facts.layers_checked
    assert facts.flags == {"tf32": False}
    graphs = {
        form: hashlib.sha256(bundle.read_bytes(name)).hexdigest()
        for form, name in {"whole": "fp32.onnx", "given": "fp32-given.onnx"}.items()
        if name in bundle.manifest.files
    }
    assert {form: plan.graph_sha256 for form, plan in facts.plans.items()} == graphs
    choice = choose_engine(manifest, {"fp32": graphs}, [built], device(variant))
    assert choice.engine == built, choice.reasons


def test_a_build_that_fails_stores_nothing(variant, trt, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle", fusion_manifest())
    trt.fake.build_error = "Error Code 2: OutOfMemory"
    with pytest.raises(EngineLoadError, match="OutOfMemory"):
        build_engine(bundle, order(variant), tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_a_network_without_statistics_needs_one_plan_at_the_tile():
    assert plan_shapes(plain_manifest(), (8, 10), None) == {
        "whole": {"base": (1, 5, 16, 20), "hr_msi": (1, 3, 16, 20)},
    }


def test_a_network_with_statistics_needs_one_for_the_tile_and_one_for_the_sample():
    shapes = plan_shapes(fusion_manifest(), (200, 200), None)
    assert shapes["given"]["base"] == (1, 5, 400, 400)
    assert shapes["given"]["statistics"] == (1, STATISTICS_SIZE)
    assert shapes["whole"] == {"base": (1, 5, SAMPLE_PX, SAMPLE_PX), "hr_msi": (1, 3, SAMPLE_PX, SAMPLE_PX)}


def test_a_frame_that_is_a_single_tile_measures_its_own_statistics():
    assert plan_shapes(fusion_manifest(), (8, 10), (8, 10)) == {
        "whole": {"base": (1, 5, 16, 20), "hr_msi": (1, 3, 16, 20)},
    }
    assert plan_shapes(lr_manifest(("lr_hsi",)), (8, 10), (7, 10))["whole"] == {"lr_hsi": (1, 5, 8, 10)}


@given(rows=st.integers(4, 300), cols=st.integers(4, 300), side=st.integers(6, 100), unit=st.sampled_from([1, 2]))
def test_the_plan_for_the_sample_has_the_size_of_the_sample(rows, cols, side, unit):
    statistics = Statistics(modes=("sampled",), default="sampled", size=STATISTICS_SIZE)
    manifest = fusion_manifest(
        statistics=statistics, tiling=Tiling(halo_lr=1, alignment_lr=unit, min_lr=2, bytes_per_px=1)
    )
    tile = chosen_tile(manifest, side // unit * unit, None, LARGE)
    shapes = plan_shapes(manifest, tile, (rows, cols))
    assume("given" in shapes)
    frame = _frame(manifest, rows, cols)
    lr_shape = sample_shape(max(tile), manifest.ratio, unit, frame.grid.shape)
    sample = images_to_measure(frame, "sampled", lr_shape)
    assert {name: (1, *image.shape) for name, image in sample.items()} == shapes["whole"]


def _frame(manifest, rows, cols):
    import numpy as np

    from hsi_edge.inputs import check_inputs
    from hsi_edge.preparation import prepare_frame

    lr_hsi, hr_msi = frame_pair(np.random.default_rng(1), (rows, cols))
    return prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))


def test_without_a_size_the_tile_is_the_largest_that_the_budget_holds():
    assert chosen_tile(plain_manifest(), None, None, LARGE) == (192, 192)
    assert chosen_tile(plain_manifest(), None, None, 1 << 20) == (32, 32)
    with pytest.raises(TilingError, match="holds no tile of this model"):
        chosen_tile(plain_manifest(), None, None, 1000)


@given(rows=st.integers(4, 500), cols=st.integers(4, 500), memory_mb=st.integers(1, 100))
def test_a_frame_is_cut_evenly_into_tiles_that_fit(rows, cols, memory_mb):
    manifest = plain_manifest()
    tile = chosen_tile(manifest, None, (rows, cols), memory_mb << 20)
    largest = chosen_tile(manifest, None, None, memory_mb << 20)
    assert max(tile) <= max(largest)
    tiles = plan_tiles((rows, cols), tile, halo=manifest.tiling.halo_lr)
    whole = plan_tiles((rows, cols), largest, halo=manifest.tiling.halo_lr)
    area = [len(plan) * plan[0].read.shape[0] * plan[0].read.shape[1] for plan in (tiles, whole)]
    assert area[0] <= area[1]


@pytest.mark.parametrize(
    ("tiling", "side", "message"),
    [
        (Tiling(halo_lr=3, bytes_per_px=1), 6, "a tile of 6 LR pixels does not suit tiny-x2; wanted 7 or more"),
        (Tiling(halo_lr=1, max_tile_lr=32, bytes_per_px=1), 33, "wanted 3 to 32, and a multiple of 1"),
        (Tiling(halo_lr=1, alignment_lr=2, bytes_per_px=1), 9, "and a multiple of 2"),
    ],
)
def test_a_side_that_does_not_suit_the_model_is_refused(tiling, side, message):
    with pytest.raises(InputError, match=message):
        chosen_tile(plain_manifest(tiling=tiling), side, None, LARGE)
