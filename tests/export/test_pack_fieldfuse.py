"""A bundle of FieldFuse: exported once, narrow, and run as a device does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import export.pack
import export.precision
import hsi_edge.tiling.size
from export.networks.choices import FieldFuseChoice
from export.pack import at_ratio, pack, trained_network
from export.precision import bf16_gate
from export.recipe import Recipe, read_recipe
from hsi_edge import HSIEngine
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError
from hsi_edge.manifest import PSF_HALO_LR, SUBSPACE_IMAGES, Precision
from hsi_edge.subspace import CHANNELS, CONDITIONS, FEATURES, GUIDES, MARGIN_LR
from tests.hsi_edge.test_subspace_engine import degraded, pair

RECIPES = Path(export.pack.__file__).parent / "recipes"
SHIPPED = read_recipe(RECIPES / "fieldfuse.yaml")
CHOICE = FieldFuseChoice(width=8, deep_width=8, deep_blocks=1)
RATIO = 4


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return at_ratio(replace(SHIPPED, network=CHOICE), RATIO)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> Path:
    """A run whose weights all do something."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(4)
    network = CHOICE.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.03 * torch.randn(parameter.shape)
    state = {f"network.{name}": weights for name, weights in network.state_dict().items()}
    (folder / recipe.name).mkdir()
    torch.save({"state_dict": state}, folder / recipe.name / "last.ckpt")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, runs: Path) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("pack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSI_EDGE_CACHE", str(folder / "cache"))
        yield pack(recipe, trained_network(recipe, runs), folder / "b", name="narrow-x4", data=None)


def test_the_manifest_tells_any_bands_components_and_a_halo_that_holds_the_blur(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest.network, manifest.task, manifest.base, manifest.ratio) == ("fieldfuse", "fusion", "subspace", 4)
    assert manifest.input.images == SUBSPACE_IMAGES
    assert manifest.n_bands == 0
    assert manifest.msi.names == ("red", "green", "blue")
    assert manifest.statistics is None
    assert manifest.tiling.alignment_lr == 1
    assert PSF_HALO_LR <= manifest.tiling.halo_lr <= 12
    assert manifest.tiling.radius_px <= 48
    assert manifest.cost is not None
    assert manifest.cost.parameters == sum(parameter.numel() for parameter in CHOICE.build().parameters())


def test_parity_with_torch_is_recorded_per_component(bundle: Bundle) -> None:
    parity = bundle.manifest.parity
    assert parity is not None
    assert len(parity.per_band_max_abs) == CHANNELS
    assert max(parity.per_band_max_abs) == parity.max_abs < 1e-5


def test_without_data_bf16_is_not_allowed(bundle: Bundle) -> None:
    assert bundle.manifest.precision == Precision(bf16=False, bf16_psnr_loss_db=None)


@pytest.mark.parametrize(("bands", "lr_shape"), [(31, (41, 30)), (14, (33, 52)), (102, (30, 30))])
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_tiles_equal_the_whole_frame_at_any_number_of_bands(
    bundle: Bundle,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    bands: int,
    lr_shape: tuple[int, int],
    backend: str,
) -> None:
    monkeypatch.setattr(hsi_edge.tiling.size, "CANDIDATE_SIDES_PX", (96,))
    lr_hsi, hr_msi = pair(rng, bands, lr_shape, RATIO)
    lr_hsi = lr_hsi + np.float32(0.01) * rng.standard_normal(lr_hsi.shape, np.float32)
    hr_msi = hr_msi + np.float32(0.01) * rng.standard_normal(hr_msi.shape, np.float32)
    with HSIEngine(bundle.path, backend=backend, precision="fp32") as engine:
        tiled = engine.run(lr_hsi, hr_msi)
        assert engine.report.n_tiles > 1
    with HSIEngine(bundle.path, backend=backend, precision="fp32", statistics="whole") as engine:
        whole = engine.run(lr_hsi, hr_msi)
        assert engine.report.n_tiles == 1
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * lr_hsi.max(), rtol=0)


def test_the_output_of_a_clean_pair_degrades_to_the_measurement(bundle: Bundle, rng: np.random.Generator) -> None:
    lr_hsi, hr_msi = pair(rng, 31, (24, 24), RATIO)
    with HSIEngine(bundle.path, precision="fp32") as engine:
        result = engine.run(lr_hsi, hr_msi)
    assert np.abs(degraded(result, RATIO) - lr_hsi).max() < 2e-4


@pytest.mark.skipif("bf16" not in OpenVINOBackend.precisions(), reason="this CPU does not compute in BF16")
@pytest.mark.parametrize(("noise", "allowed"), [(0.5, True), (1e-6, False)])
def test_bf16_is_judged_in_bands(
    bundle: Bundle,
    recipe: Recipe,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    noise: float,
    allowed: bool,
) -> None:
    graph = bundle.read_bytes("fp32.onnx")
    side = 8 + 2 * MARGIN_LR
    frame = {
        "guide": rng.standard_normal((GUIDES, 32, 32)).astype(np.float32),
        "features": rng.standard_normal((FEATURES, side, side)).astype(np.float32),
        "condition": rng.random(CONDITIONS, np.float32),
        "mixing": rng.standard_normal((31, CHANNELS)).astype(np.float32),
        "offset": rng.random(31, np.float32),
    }
    output = export.precision._output(graph, {name: frame[name][None] for name in SUBSPACE_IMAGES}, "fp32")
    bands = np.tensordot(frame["mixing"], output, axes=1) + frame["offset"][:, None, None]
    frame["truth"] = bands + np.float32(noise) * rng.standard_normal(bands.shape).astype(np.float32)
    monkeypatch.setattr(export.precision, "validation_frames", lambda *_: [frame])
    gate = bf16_gate(graph, recipe, Path())
    assert gate.bf16 is allowed
    assert gate.bf16_psnr_loss_db is not None


def test_one_run_is_packed_at_every_ratio_that_it_was_trained_for(runs: Path, recipe: Recipe) -> None:
    for ratio in (4, 8, 16):
        network = trained_network(at_ratio(recipe, ratio), runs)
        assert network.ratio == ratio


def test_a_ratio_that_the_recipe_did_not_train_for_is_refused() -> None:
    with pytest.raises(InputError, match=r"the recipe fieldfuse trains for the ratios \[4, 8, 16\]; 6 is none of them"):
        at_ratio(SHIPPED, 6)
    ssrnet = read_recipe(RECIPES / "ssrnet-cave-x4.yaml")
    assert at_ratio(ssrnet, 4) == ssrnet
    with pytest.raises(InputError, match=r"the recipe ssrnet-cave-x4 trains for the ratios \[4\]; 8 is none of them"):
        at_ratio(ssrnet, 8)
