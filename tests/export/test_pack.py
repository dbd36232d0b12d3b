from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import export.pack
import export.precision
import hsi_edge.tiling.size
from export.cli import main
from export.memory import bytes_per_px
from export.networks.choices import NetworkChoice, without_training_parts
from export.networks.pzres import PZResNet
from export.onnx_session import run_graph
from export.pack import pack, pack_graphless, trained_network
from export.recipe import Recipe, read_recipe
from hsi_edge import HSIEngine
from hsi_edge.backends.openvino import OpenVINOBackend
from hsi_edge.bundle import Bundle
from hsi_edge.errors import ExportError, InputError
from hsi_edge.manifest import Precision
from hsi_edge.tiling.geometry import Tile, plan_tiles
from tests.export.narrow import BANDS, Narrow

RECIPES = Path(export.pack.__file__).parent / "recipes"
BASES = {"pzres": "regression", "gelin": "bicubic"}


def recipe_of(choice: NetworkChoice, ratio: int) -> Recipe:
    """The shipped recipe with another network."""
    base = BASES.get(choice.architecture, "none")
    shipped = read_recipe(RECIPES / "pzres-regression-vis31-x8.yaml")
    return replace(shipped, name="narrow", network=choice, ratio=ratio, base=base)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recipe(narrow_pzres: Narrow) -> Recipe:
    return recipe_of(narrow_pzres.choice, narrow_pzres.ratio)


Packed = Callable[[Narrow], Bundle]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packed]:
    """Packs each network once."""
    folder = tmp_path_factory.mktemp("pack")
    bundles: dict[str, Bundle] = {}

    def make(narrow: Narrow) -> Bundle:
        name = narrow.choice.architecture
        if name not in bundles:
            patch.setattr(export.pack, "onnx_from_network", lambda *_: narrow.forms)
            recipe = recipe_of(narrow.choice, narrow.ratio)
            bundles[name] = pack(recipe, narrow.network, folder / name, name=f"narrow-{name}", data=None)
        return bundles[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSI_EDGE_CACHE", str(folder / "cache"))
        yield make


@pytest.fixture
def bundle(packed: Packed, narrow: Narrow) -> Bundle:
    """Of each network in turn."""
    return packed(narrow)


@pytest.fixture
def pzres_bundle(packed: Packed, narrow_pzres: Narrow) -> Bundle:
    return packed(narrow_pzres)


def test_the_manifest_says_what_was_computed(pzres_bundle: Bundle, narrow_pzres: Narrow) -> None:
    manifest = pzres_bundle.manifest
    assert (manifest.name, manifest.ratio, manifest.base, manifest.n_bands) == ("narrow-pzres", 8, "regression", 8)
    assert manifest.tiling.radius_px == 28
    # The exact halo is 4; these weights do not use its rim.
    assert 0 < manifest.tiling.halo_lr <= 4
    assert manifest.statistics is not None
    assert manifest.statistics.size == narrow_pzres.forms.size
    assert manifest.training is not None
    assert manifest.training.recipe == "narrow"
    assert 200 < manifest.tiling.bytes_per_px < 8000


def test_the_manifest_says_what_the_network_takes_and_costs(bundle: Bundle, narrow: Narrow) -> None:
    manifest = bundle.manifest
    assert manifest.network == narrow.choice.architecture
    assert (manifest.task, manifest.input.images) == (narrow.choice.task, narrow.choice.images)
    assert manifest.msi.bands == (3 if manifest.task == "fusion" else 0)
    assert manifest.tiling.alignment_lr == (2 if manifest.network == "gelin" else 1)
    assert (manifest.statistics is None) == (manifest.network in ("ssrnet", "msssf"))
    assert manifest.cost is not None
    shipped = without_training_parts(narrow.network)
    assert manifest.cost.parameters == sum(parameter.numel() for parameter in shipped.parameters())
    assert 1000 < manifest.cost.macs_per_px < 100_000


def test_a_published_data_set_brings_its_bands_and_its_name(narrow_gelin: Narrow) -> None:
    recipe = read_recipe(RECIPES / "gelin-chikusei-x4.yaml")
    bands, training = export.pack._bands(recipe), export.pack._training(recipe)
    assert len(bands.wavelengths_nm) == recipe.network.hsi_bands == 128
    assert bands.wavelengths_nm[-1] > 1000
    assert "chikusei" in training.data
    assert "gelin" in training.data


def test_parity_with_torch_is_recorded_per_band(bundle: Bundle) -> None:
    parity = bundle.manifest.parity
    assert parity is not None
    assert len(parity.per_band_max_abs) == BANDS
    assert max(parity.per_band_max_abs) == parity.max_abs < 5e-6
    assert parity.torch == torch.__version__


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_bundle_opens_and_gives_its_golden_output(bundle: Bundle, backend: str) -> None:
    golden = bundle.golden()
    with HSIEngine(bundle.path, backend=backend, precision="fp32", memory_mb=64) as engine:
        hr_hsi = engine.run(golden["lr_hsi"], golden.get("hr_msi"))
    np.testing.assert_allclose(hr_hsi, golden["hr_hsi"], atol=1e-5 * golden["hr_hsi"].max())


@pytest.mark.parametrize("lr_shape", [(61, 52), (60, 37)])
def test_tiles_equal_the_whole_frame(
    bundle: Bundle, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, lr_shape: tuple[int, int]
) -> None:
    """With the frame's statistics; odd sides are filled up and cropped where the network has an alignment."""
    manifest, ratio = bundle.manifest, bundle.manifest.ratio
    lr_hsi = rng.random((*lr_shape, BANDS), np.float32)
    hr_msi = rng.random((lr_shape[0] * ratio, lr_shape[1] * ratio, 3), np.float32)
    pair = (lr_hsi,) if manifest.task == "single" else (lr_hsi, hr_msi)
    monkeypatch.setattr(hsi_edge.tiling.size, "CANDIDATE_SIDES_PX", (96,))
    statistics = None if manifest.statistics is None else "exact"
    with HSIEngine(bundle.path, backend="onnxruntime", memory_mb=96, statistics=statistics) as engine:
        tiled = engine.run(*pair)
        assert engine.report.n_tiles > 1

        def whole(frame: object) -> tuple[Tile, ...]:
            return plan_tiles(frame.grid.shape, frame.grid.shape, halo=0, alignment=frame.alignment)  # type: ignore[attr-defined]

        monkeypatch.setattr(engine, "_plan", whole)
        wanted = engine.run(*pair)
        assert engine.report.n_tiles == 1
    assert np.abs(tiled - wanted).max() <= 5e-6 * max(1, np.abs(wanted).max())


def test_a_single_image_bundle_refuses_an_msi(packed: Packed, narrow_ssrnet: Narrow) -> None:
    with (
        HSIEngine(packed(narrow_ssrnet).path, memory_mb=64) as engine,
        pytest.raises(InputError, match="hr_msi was given, and the model narrow-ssrnet takes the LR-HSI alone"),
    ):
        engine.run(np.ones((8, 8, BANDS), np.float32), np.ones((32, 32, 3), np.float32))


def test_the_golden_pair_is_what_sensors_deliver(bundle: Bundle) -> None:
    side = 8 * bundle.manifest.ratio
    wanted = {"lr_hsi": ((8, 8, BANDS), np.uint16), "hr_hsi": ((side, side, BANDS), np.float32)}
    if bundle.manifest.task == "fusion":
        wanted["hr_msi"] = ((side, side, 3), np.uint8)
    assert {name: (array.shape, array.dtype) for name, array in bundle.golden().items()} == wanted


def test_without_data_bf16_is_not_allowed(bundle: Bundle) -> None:
    assert bundle.manifest.precision == Precision(bf16=False, bf16_psnr_loss_db=None)


def test_a_graph_that_is_not_the_network_is_not_packed(
    pzres_bundle: Bundle, recipe: Recipe, narrow_pzres: Narrow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export.pack, "onnx_from_network", lambda *_: narrow_pzres.forms)
    other = PZResNet(8).eval()
    with pytest.raises(ExportError, match="ONNX Runtime differs from torch by up to"):
        pack(recipe, other, tmp_path / "wrong", name="wrong", data=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("bf16" not in OpenVINOBackend.precisions(), reason="this CPU does not compute in BF16")
@pytest.mark.parametrize(("noise", "allowed"), [(0.1, True), (1e-5, False)])
def test_bf16_is_allowed_where_it_loses_little_against_the_truth(
    recipe: Recipe, narrow_pzres: Narrow, monkeypatch: pytest.MonkeyPatch, noise: float, allowed: bool
) -> None:
    rng = np.random.default_rng(0)
    base, msi = rng.random((8, 24, 24), np.float32), rng.random((3, 24, 24), np.float32)
    output = run_graph(narrow_pzres.forms.whole, {"base": base[None], "hr_msi": msi[None]})["hr_hsi"][0]
    truth = output + np.float32(noise) * rng.standard_normal(output.shape).astype(np.float32)
    frames = [{"base": base, "hr_msi": msi, "truth": truth}]
    monkeypatch.setattr(export.precision, "validation_frames", lambda *_: frames)
    gate = export.precision.bf16_gate(narrow_pzres.forms.whole, recipe, Path())
    assert gate.bf16 is allowed
    assert gate.bf16_psnr_loss_db is not None
    assert (gate.bf16_psnr_loss_db <= export.precision.MAX_LOSS_DB) is allowed


def test_memory_per_pixel_is_more_than_inputs_and_output(narrow_pzres: Narrow) -> None:
    assert 4 * (8 + 3 + 8) < bytes_per_px(narrow_pzres.forms.tile, 8) < 8000


def test_weights_come_from_the_last_checkpoint_of_the_recipe(
    recipe: Recipe, narrow_pzres: Narrow, tmp_path: Path
) -> None:
    (tmp_path / "narrow").mkdir()
    state = {f"network.{key}": value for key, value in narrow_pzres.network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "narrow" / "last.ckpt")
    loaded = trained_network(recipe, tmp_path)
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), narrow_pzres.network.state_dict())


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
    assert main(["pack-graphless", "regression", "--ratio", str(ratio), "-o", str(path)]) == 0
    with HSIEngine(path) as engine:
        for bands, msi_bands in ((31, 3), (5, 4)):
            lr_hsi = rng.integers(1, 4000, (6, 5, bands)).astype(np.uint16)
            hr_msi = rng.integers(0, 256, (6 * ratio, 5 * ratio, msi_bands)).astype(np.uint8)
            assert engine.run(lr_hsi, hr_msi).shape == (6 * ratio, 5 * ratio, bands)


def test_the_same_bundle_has_the_same_fingerprint(tmp_path: Path) -> None:
    assert (
        pack_graphless("regression", 8, tmp_path / "a").fingerprint
        == pack_graphless("regression", 8, tmp_path / "b.zip").fingerprint
    )
