"""Which engine runs a model here, and why the others do not."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from hsi_edge.engine_choice import choose_engine, tile_shapes
from hsi_edge.engine_store import EngineFacts, plan_file, save_engine
from hsi_edge.gpu import DeviceFacts
from hsi_edge.manifest import Calibration, Graph, Tiling
from tests.tiny_bundles import BANDS, MSI_BANDS, STATISTICS_SIZE, fusion_manifest, plain_manifest

CALIBRATION = Calibration(
    method="casts",
    tiles=8,
    tiles_sha256="0" * 64,
    held_out=4,
    psnr_db=70.0,
    psnr_loss_db=0.0,
    sam_change_percent=0.0,
    sam_p95_change_percent=0.0,
    worst_band_rmse=0.0,
    float_layers=(),
)
MANIFEST = plain_manifest(
    graphs={precision: Graph(whole=f"{precision}.onnx") for precision in ("fp32", "fp16", "int8")},
    calibration={"fp16": CALIBRATION, "int8": replace(CALIBRATION, method="entropy")},
)
GRAPHS = {precision: {"whole": hashlib.sha256(precision.encode()).hexdigest()} for precision in MANIFEST.graphs}
RTX_3080 = DeviceFacts(
    name="NVIDIA GeForce RTX 3080",
    compute_capability="8.6",
    driver="driver 580.65.06 (CUDA 13.0)",
    platform="linux-x86_64",
    versions={"tensorrt-rtx": "1.7.1.116", "tensorrt": "10.3.0"},
)


@pytest.fixture
def store(tmp_path):
    """Write an engine that is valid on `RTX_3080`, but for the changes."""

    def save(**changes):
        precision, tile = changes.get("precision", "fp32"), changes.get("tile_lr", (4, 6))
        plan = plan_file("whole", b"plan", graph=precision.encode(), shapes=tile_shapes(MANIFEST, "whole", tile))
        fields = {
            "backend": "tensorrt-rtx",
            "version": "1.7.1.116",
            "platform": "linux-x86_64",
            "device": "",
            "compute_capabilities": ("8.6", "8.9"),
            "driver": "",
            "precision": precision,
            "tile_lr": tile,
            "flags": {},
            "layers_checked": True,
            "built": "2026-01-01",
            "plans": {"whole": plan},
        }
        return save_engine(
            tmp_path / str(len(list(tmp_path.iterdir()))), EngineFacts(**(fields | changes)), {"whole": b"plan"}
        )

    return save


def chosen(engines, device=RTX_3080, precision=None, manifest=MANIFEST, graphs=GRAPHS):
    return choose_engine(manifest, graphs, engines, device, precision)


def test_a_valid_engine_is_chosen_without_a_word(store):
    engine = store()
    choice = chosen([engine])
    assert choice.engine is engine
    assert choice.reasons == ()


def test_without_engines_there_is_none():
    assert chosen([]).engine is None


def test_the_fastest_precision_wins_unless_another_is_asked_for(store):
    engines = [store(precision=precision) for precision in ("fp32", "int8", "fp16")]
    assert chosen(engines).engine is engines[1]
    choice = chosen(engines, precision="fp16")
    assert choice.engine is engines[2]
    assert [reason.split(": ", 1)[1] for reason in choice.reasons] == [
        "it computes in fp32, and fp16 was asked for",
        "it computes in int8, and fp16 was asked for",
    ]


def test_one_built_here_is_taken_before_one_built_ahead_of_time_and_then_the_larger_tile(store):
    ahead_large, ahead = store(tile_lr=(8, 8)), store()
    here = store(device=RTX_3080.name)
    assert chosen([ahead, ahead_large, here]).engine is here
    assert chosen([ahead, ahead_large]).engine is ahead_large


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "1.6.0.3"}, "it was built with tensorrt-rtx 1.6.0.3; here is 1.7.1.116"),
        ({"version": "1.8.0.1"}, "it was built with tensorrt-rtx 1.8.0.1; here is 1.7.1.116"),
        ({"platform": "linux-aarch64"}, "it was built on linux-aarch64; this is linux-x86_64"),
        (
            {"compute_capabilities": ("8.9", "12.0")},
            "it was built for compute capability 8.9, 12.0; this is a NVIDIA GeForce RTX 3080 with compute capability",
        ),
        (
            {"backend": "tensorrt", "version": "10.3.0", "device": "NVIDIA A10"},
            "it was built on a NVIDIA A10; this is a NVIDIA GeForce RTX 3080, and TensorRT's engines do not move",
        ),
        (
            {"backend": "tensorrt", "version": "11.1.0", "device": RTX_3080.name},
            "built with tensorrt 11.1.0; here is 10.3",
        ),
        ({"tile_lr": (1, 6)}, "its tile of 1 x 6 LR pixels is smaller than the model takes (2)"),
    ],
)
def test_an_engine_that_is_not_valid_here_says_why(store, changes, reason):
    engine = store(**changes)
    choice = chosen([engine])
    assert choice.engine is None
    assert len(choice.reasons) == 1
    assert choice.reasons[0].startswith(f"{engine.folder.name}: ")
    assert reason in choice.reasons[0]
    assert "\n" not in choice.reasons[0]


def test_tensorrts_engine_is_valid_on_the_very_device_that_built_it(store):
    engine = store(backend="tensorrt", version="10.3.0", device=RTX_3080.name, compute_capabilities=("8.6",))
    assert chosen([engine]).engine is engine


def test_a_library_that_is_not_installed_is_named(store):
    choice = chosen([store()], replace(RTX_3080, versions={}))
    assert "it needs tensorrt-rtx 1.7.1.116, which is not installed here" in choice.reasons[0]


def test_without_a_gpu_every_engine_says_what_it_needs(store):
    choice = chosen([store(), store(precision="fp16")], None)
    assert choice.engine is None
    assert len(choice.reasons) == 2
    assert "it needs an NVIDIA GPU (compute capability 8.6, 8.9), and there is none" in choice.reasons[0]


def test_an_engine_of_another_graph_is_refused(store):
    graphs = {**GRAPHS, "fp16": {"whole": "f" * 64}}
    assert "built of another fp16 graph" in chosen([store(precision="fp16")], graphs=graphs).reasons[0]


def test_an_engine_of_a_precision_that_the_model_no_longer_has_is_refused(store):
    graphs = {"fp32": GRAPHS["fp32"]}
    assert "the model has no int8 graph (it has fp32)" in chosen([store(precision="int8")], graphs=graphs).reasons[0]


def test_an_engine_of_a_precision_without_calibration_is_refused(store):
    manifest = plain_manifest()
    assert "holds no calibration for fp16" in chosen([store(precision="fp16")], manifest=manifest).reasons[0]


def test_an_altered_plan_is_refused_and_the_next_best_is_taken(store):
    best, next_best = store(precision="int8"), store(precision="fp16")
    (best.folder / "whole.plan").write_bytes(b"PLAN")
    choice = chosen([best, next_best])
    assert choice.engine is next_best
    assert "its bytes were altered" in choice.reasons[0]


@pytest.mark.parametrize(
    ("tiling", "reason"),
    [
        (Tiling(halo_lr=1, alignment_lr=4), "is no multiple of 4, as the model's tiling asks for"),
        (Tiling(halo_lr=1, max_tile_lr=5), "is larger than the model takes (5)"),
    ],
)
def test_a_tile_that_the_model_does_not_take_is_refused(store, tiling, reason):
    assert reason in chosen([store()], manifest=replace(MANIFEST, tiling=tiling)).reasons[0]


def test_shapes_that_are_not_those_of_the_tile_are_refused(store):
    plan = plan_file("whole", b"plan", graph=b"fp32", shapes=tile_shapes(MANIFEST, "whole", (6, 6)))
    reason = chosen([store(plans={"whole": plan})]).reasons[0]
    assert "it takes base as (1, 5, 12, 12); at its tile of 4 x 6 LR pixels the model gives (1, 5, 8, 12)" in reason


def test_the_shapes_of_a_tile_are_those_of_the_images_and_of_given_statistics():
    manifest = fusion_manifest()
    images = {"base": (1, BANDS, 8, 12), "hr_msi": (1, MSI_BANDS, 8, 12)}
    assert tile_shapes(manifest, "whole", (4, 6)) == images
    assert tile_shapes(manifest, "given", (4, 6)) == {**images, "statistics": (1, STATISTICS_SIZE)}
