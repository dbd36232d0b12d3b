from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import export.pack
import export.precision
from export.cli import main
from export.memory import bytes_per_px
from export.networks.pzres import PZResNet
from export.onnx_session import run_graph
from export.pack import pack, pack_regression, trained_network
from export.recipe import NetworkChoice, Recipe, read_recipe
from export.to_onnx import Forms
from hsi_edge import HSIEngine
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.bundle import Bundle
from hsi_edge.errors import ExportError, InputError
from hsi_edge.manifest import Precision

RECIPES = Path(export.pack.__file__).parent / "recipes"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    choice = NetworkChoice(hsi_bands=8, msi_bands=3)
    return replace(read_recipe(RECIPES / "pzres-regression-vis31-x8.yaml"), name="narrow", network=choice)


@pytest.fixture(scope="module")
def bundle(
    recipe: Recipe, narrow_network: PZResNet, narrow_forms: Forms, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("pack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSI_EDGE_CACHE", str(folder / "cache"))
        patch.setattr(export.pack, "onnx_from_network", lambda *_: narrow_forms)
        yield pack(recipe, narrow_network, folder / "narrow-x8", name="narrow-x8", data=None)


def test_the_manifest_says_what_was_computed(bundle: Bundle, narrow_forms: Forms) -> None:
    manifest = bundle.manifest
    assert (manifest.name, manifest.ratio, manifest.base, manifest.n_bands) == ("narrow-x8", 8, "regression", 8)
    assert manifest.tiling.radius_px == 28
    # The exact halo is 4; these weights do not use its rim.
    assert 0 < manifest.tiling.halo_lr <= 4
    assert manifest.statistics is not None
    assert manifest.statistics.size == narrow_forms.size
    assert manifest.training is not None
    assert manifest.training.recipe == "narrow"
    assert 200 < manifest.tiling.bytes_per_px < 8000


def test_parity_with_torch_is_recorded_per_band(bundle: Bundle) -> None:
    parity = bundle.manifest.parity
    assert parity is not None
    assert len(parity.per_band_max_abs) == 8
    assert max(parity.per_band_max_abs) == parity.max_abs < 1e-6
    assert parity.torch == torch.__version__


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_bundle_opens_and_fuses(bundle: Bundle, backend: str) -> None:
    golden = bundle.golden()
    with HSIEngine(bundle.path, backend=backend, precision="fp32", memory_mb=40) as engine:
        hr_hsi = engine.run(golden["lr_hsi"], golden["hr_msi"])
    np.testing.assert_allclose(hr_hsi, golden["hr_hsi"], rtol=1e-4)


def test_the_golden_pair_is_what_sensors_deliver(bundle: Bundle) -> None:
    golden = bundle.golden()
    assert {name: (array.shape, array.dtype) for name, array in golden.items()} == {
        "lr_hsi": ((8, 8, 8), np.uint16),
        "hr_msi": ((64, 64, 3), np.uint8),
        "hr_hsi": ((64, 64, 8), np.float32),
    }


def test_without_data_bf16_is_not_allowed(bundle: Bundle) -> None:
    assert bundle.manifest.precision == Precision(bf16=False, bf16_psnr_loss_db=None)


def test_a_graph_that_is_not_the_network_is_not_packed(
    bundle: Bundle, recipe: Recipe, narrow_network: PZResNet, tmp_path: Path
) -> None:
    other = PZResNet(8).eval()
    with pytest.raises(ExportError, match="ONNX Runtime differs from torch by up to"):
        pack(recipe, other, tmp_path / "wrong", name="wrong", data=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("bf16" not in OpenVINOBackend.precisions(), reason="this CPU does not compute in BF16")
@pytest.mark.parametrize(("noise", "allowed"), [(0.1, True), (1e-5, False)])
def test_bf16_is_allowed_where_it_loses_little_against_the_truth(
    recipe: Recipe, narrow_forms: Forms, monkeypatch: pytest.MonkeyPatch, noise: float, allowed: bool
) -> None:
    rng = np.random.default_rng(0)
    base, msi = rng.random((8, 24, 24), np.float32), rng.random((3, 24, 24), np.float32)
    output = run_graph(narrow_forms.whole, {"base": base[None], "hr_msi": msi[None]})["hr_hsi"][0]
    truth = output + np.float32(noise) * rng.standard_normal(output.shape).astype(np.float32)
    frames = [tuple(torch.from_numpy(array) for array in (base, msi, truth))]
    monkeypatch.setattr(export.precision, "validation_frames", lambda *_: frames)
    gate = export.precision.bf16_gate(narrow_forms.whole, recipe, Path())
    assert gate.bf16 is allowed
    assert gate.bf16_psnr_loss_db is not None
    assert (gate.bf16_psnr_loss_db <= export.precision.MAX_LOSS_DB) is allowed


def test_memory_per_pixel_is_more_than_inputs_and_output(narrow_forms: Forms) -> None:
    assert 4 * (8 + 3 + 8) < bytes_per_px(narrow_forms.given) < 8000


def test_weights_come_from_the_last_checkpoint_of_the_recipe(
    recipe: Recipe, narrow_network: PZResNet, tmp_path: Path
) -> None:
    (tmp_path / "narrow").mkdir()
    state = {f"network.{key}": value for key, value in narrow_network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "narrow" / "last.ckpt")
    loaded = trained_network(recipe, tmp_path)
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), narrow_network.state_dict())


def test_a_recipe_that_was_not_trained_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no checkpoint .*narrow.*train first"):
        trained_network(recipe, tmp_path)


def test_the_command_says_in_one_line_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(RECIPES / "pzres-regression-vis31-x8.yaml")
    arguments = ["--name", "x", "-o", str(tmp_path / "x"), "--runs", str(tmp_path), "--data", str(tmp_path)]
    assert main(["pack", recipe, *arguments]) == 2
    assert "export: there is no checkpoint" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("ratio", [4, 8])
def test_the_regression_bundle_fuses_any_bands(ratio: int, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / f"regression-x{ratio}"
    assert main(["pack-regression", "--ratio", str(ratio), "-o", str(path)]) == 0
    with HSIEngine(path) as engine:
        for bands, msi_bands in ((31, 3), (5, 4)):
            lr_hsi = rng.integers(1, 4000, (6, 5, bands)).astype(np.uint16)
            hr_msi = rng.integers(0, 256, (6 * ratio, 5 * ratio, msi_bands)).astype(np.uint8)
            assert engine.run(lr_hsi, hr_msi).shape == (6 * ratio, 5 * ratio, bands)


def test_the_same_bundle_has_the_same_fingerprint(tmp_path: Path) -> None:
    assert pack_regression(8, tmp_path / "a").fingerprint == pack_regression(8, tmp_path / "b.zip").fingerprint
