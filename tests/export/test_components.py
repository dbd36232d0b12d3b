"""Training batches in components: what FieldFuse sees, and how it is scored in bands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import export.data.components as components
from export.data.components import BANDS, VIS, ComponentBatches, ComponentsData, component_inputs
from export.data.degradation import REALISTIC, Degradation, Pair, simulate_pair
from export.data.scenes import SpectralScene
from export.networks.fieldfuse import FieldFuse
from export.recipe import read_recipe
from hsi_edge.inputs import check_inputs
from hsi_edge.preparation import prepare_frame
from hsi_edge.subspace import CHANNELS, CONDITIONS, FEATURES, GUIDES, MARGIN_LR
from tests.tiny_bundles import subspace_manifest

RECIPE = read_recipe(Path(components.__file__).parents[1] / "recipes" / "fieldfuse.yaml")
SIDE, BATCH = 48, 2
CAMERA = gaussian_filter(np.eye(3).repeat((11, 10, 10), axis=1), (0, 3))
CAMERA /= CAMERA.sum(axis=1, keepdims=True)


def materials(rng: np.random.Generator, bands: int, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """A scene of five materials, `(bands, rows, cols)`: four dimensions beside the mean."""
    maps = gaussian_filter(rng.standard_normal((5, *shape)), (0, 3, 3))
    maps = np.exp(2 * maps / maps.std())
    image = np.tensordot(gaussian_filter(rng.random((bands, 5)), (bands / 12, 0)), maps / maps.sum(axis=0), axes=1)
    return (image / image.max()).astype(np.float32)


@pytest.fixture
def data() -> ComponentsData:
    assert isinstance(RECIPE.data, ComponentsData)
    return replace(RECIPE.data, frame_side=SIDE)


@pytest.fixture
def batches(data: ComponentsData, rng: np.random.Generator) -> ComponentBatches:
    images = [materials(rng, bands) for bands in (70, 40)]
    scenes = [SpectralScene(image, image[:VIS]) for image in images]
    return ComponentBatches(data=data, scenes=scenes, responses=[CAMERA], batch=BATCH)


@pytest.fixture
def clean(rng: np.random.Generator) -> Pair:
    return simulate_pair(materials(rng, VIS, (96, 96)), 8, Degradation(), [CAMERA], rng)


def test_batches_of_every_ratio_have_the_shapes_that_the_network_takes(batches: ComponentBatches) -> None:
    ratios = set()
    for seed in range(24):
        batch = batches.sample(0, np.random.default_rng(seed))
        lr_side = batch["features"].shape[2] - 2 * MARGIN_LR
        ratios.add(SIDE // lr_side)
        assert {name: image.shape for name, image in batch.items()} == {
            "guide": (BATCH, GUIDES, SIDE, SIDE),
            "features": (BATCH, FEATURES, lr_side + 2 * MARGIN_LR, lr_side + 2 * MARGIN_LR),
            "condition": (BATCH, CONDITIONS),
            "mixing": (BATCH, BANDS, CHANNELS),
            "offset": (BATCH, BANDS),
            "truth": (BATCH, BANDS, SIDE, SIDE),
        }
        for image in batch.values():
            assert image.dtype == np.float32
            assert np.isfinite(image).all()
        assert (batch["truth"] >= 0).all()
        assert (batch["condition"] >= 0).all()
        assert (batch["condition"] <= 1).all()
    assert ratios == {4, 8, 16}


def test_the_same_seed_draws_the_same_batch_and_another_one_another(batches: ComponentBatches) -> None:
    one, same, other = (batches.sample(0, np.random.default_rng(seed)) for seed in (5, 5, 6))
    for name, image in one.items():
        np.testing.assert_array_equal(image, same[name])
    assert not np.array_equal(one["truth"], other["truth"])


def test_the_network_learns_from_a_batch(batches: ComponentBatches) -> None:
    batch = {name: torch.from_numpy(image) for name, image in batches.sample(0, np.random.default_rng(2)).items()}
    output = FieldFuse()(batch["guide"], batch["features"], batch["condition"])
    mixed = output.mixed(batch["mixing"], batch["offset"])
    off = (mixed.start - batch["truth"]).abs().mean()
    level = (batch["truth"] - batch["truth"].mean(dim=(2, 3), keepdim=True)).abs().mean()
    assert off < 0.7 * level


def test_components_of_a_clean_pair_can_mix_to_the_truth(clean: Pair) -> None:
    seen = component_inputs(clean, 8)
    mixing, truth = seen["mixing"].astype(np.float64), seen["truth"].reshape(VIS, -1)
    guide = seen["guide"].reshape(GUIDES, -1)
    left = truth - seen["offset"][:, None] - mixing[:, :GUIDES] @ guide
    rest = np.linalg.lstsq(mixing[:, GUIDES:], left, rcond=1e-6)[0]
    np.testing.assert_allclose(mixing[:, GUIDES:] @ rest, left, atol=2e-3)
    # The guides alone explain most of it.
    assert left.std() < 0.5 * (truth - truth.mean(axis=1, keepdims=True)).std()


def test_the_network_is_trained_on_what_the_runtime_shows_it(rng: np.random.Generator) -> None:
    pair = simulate_pair(materials(rng, VIS, (96, 96)), 8, REALISTIC, [CAMERA], rng)
    trained = component_inputs(pair, 8)
    manifest = subspace_manifest(8)
    lr_hsi, hr_msi = (np.moveaxis(image, 0, 2) for image in (pair.lr_hsi, pair.hr_msi))
    frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))
    for name, image in frame.window(frame.grid).images.items():
        np.testing.assert_allclose(image, trained[name], atol=2e-3, err_msg=name)
    np.testing.assert_allclose(trained["truth"] * frame.scale, pair.truth, atol=1e-6)


@torch.inference_mode()
def test_turned_signs_leave_the_bands_of_the_start_as_they_are(clean: Pair) -> None:
    seen = component_inputs(clean, 8)
    turned = components._signs_turned(seen, np.random.default_rng(4))
    assert not np.array_equal(turned["mixing"], seen["mixing"])

    def explained(sample: dict[str, np.ndarray]) -> np.ndarray:
        return np.tensordot(sample["mixing"][:, :GUIDES], sample["guide"], axes=1)

    def start(sample: dict[str, np.ndarray]) -> torch.Tensor:
        images = {name: torch.from_numpy(image[None]) for name, image in sample.items()}
        output = FieldFuse()(images["guide"], images["features"], images["condition"])
        return output.mixed(images["mixing"], images["offset"]).start

    np.testing.assert_allclose(explained(turned), explained(seen), atol=1e-6)
    torch.testing.assert_close(start(turned), start(seen), atol=1e-5, rtol=0)


def test_clean_and_noisy_pairs_are_told_apart_by_their_condition(batches: ComponentBatches) -> None:
    clean = replace(batches, data=replace(batches.data, clean=1.0, ratios=(4,)))
    noisy = replace(
        batches, data=replace(batches.data, clean=0.0, ratios=(4,), lr_noise=(0.02, 0.02), msi_noise=(0.02, 0.02))
    )
    low, high = (source.sample(0, np.random.default_rng(3))["condition"][:, :GUIDES] for source in (clean, noisy))
    assert low.max() < 0.5 * high.min() or low.mean() < 0.3 * high.mean()
