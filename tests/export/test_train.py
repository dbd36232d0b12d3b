from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export import training_data
from export.data.components import VIS, ComponentsData
from export.data.degradation import Degradation
from export.data.paper_patches import DrawnPatches, GridPatches, PublishedData
from export.data.scenes import Scene, SpectralScene
from export.data.training import Augmentation, ScenesData
from export.networks.choices import FieldFuseChoice, GELINChoice, MSSSFChoice, PZResChoice, SSRNetChoice
from export.recipe import Cosine, Recipe, Stairs, read_recipe
from export.train import Training, load_weights, train
from hsi_edge.errors import InputError

BANDS = 8
RECIPE = Recipe(
    name="tiny",
    network=PZResChoice(hsi_bands=BANDS, msi_bands=3),
    base="bilinear",
    ratio=4,
    data=ScenesData(frame_side=16, degradation=Degradation(lr_noise=(0.0, 0.01)), augmentation=Augmentation()),
    loss="pzres-code",
    patch=8,
    batch=2,
    steps=4,
    steps_per_epoch=2,
    learning_rate=Cosine(start=1e-3, end=1e-5),
    seed=5,
    average_decay=0.9,
    clip_gradient=0.1,
)
SSRNET = replace(
    RECIPE,
    network=SSRNetChoice(hsi_bands=BANDS, ratio=4, features=4, modules=1),
    base="none",
    data=PublishedData(
        paper="ssrnet",
        dataset="cave",
        blur="bicubic",
        patches=DrawnPatches(per_image=3, zooms=(1.0, 0.5)),
        orientations="turns-flip",
    ),
    loss="l1",
    learning_rate=Stairs(start=1e-2, factor=0.5, at=(3,)),
    average_decay=None,
    clip_gradient=None,
)
MSSSF = replace(
    RECIPE,
    network=MSSSFChoice(hsi_bands=BANDS, msi_bands=3, ratio=4, spectral_features=4, spatial_features=4),
    base="none",
    data=PublishedData(paper="msssf", dataset="cave", blur="decimate", patches=GridPatches(stride=8)),
    loss="level-mse",
    average_decay=None,
    precision="bf16-mixed",
)
SHIPPED = Path(__file__).parents[2] / "export" / "recipes"
FIELDFUSE = replace(read_recipe(SHIPPED / "fieldfuse.yaml"), batch=2, steps_per_epoch=2, patch=32)
FIELDFUSE = replace(
    FIELDFUSE,
    network=FieldFuseChoice(width=8, deep_width=8, deep_blocks=1),
    data=replace(FIELDFUSE.data, ratios=(4, 8), frame_side=32),
)
RECIPES = sorted(SHIPPED.glob("*.yaml"))

# Lightning warns of few workers, of rare logs and of its own deprecations; none is about what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore")


class Kill(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture(autouse=True)
def show(monkeypatch, rng):
    """Lets trainings see these scenes, and a grey camera; no research data is needed."""

    def show(*scenes):
        camera = np.full((3, scenes[0].cube.shape[2]), 1 / scenes[0].cube.shape[2])
        cubes = [np.moveaxis(scene.cube, 2, 0) for scene in scenes]
        spectral = [SpectralScene(cube, cube[:VIS]) for cube in cubes]
        monkeypatch.setattr(training_data, "load_spectral_scenes", lambda _folder: spectral)
        monkeypatch.setattr(training_data, "load_scenes", lambda _folder, _split: list(scenes))
        monkeypatch.setattr(training_data, "published_scenes", lambda *_: iter(scenes))
        monkeypatch.setattr(training_data, "measured_cameras", lambda _folder: [camera])
        monkeypatch.setattr(training_data, "nikon_d700", lambda _folder: camera)

    show(*(Scene(name, rng.random((40, 48, BANDS), np.float32)) for name in ("noise", "more")))
    return show


@pytest.fixture
def losses(monkeypatch):
    """The losses of all steps, as they are computed."""
    found = []
    step = Training.training_step

    def noted(module, batch, index):
        loss = step(module, batch, index)
        found.append((module.global_step, loss.item()))
        return loss

    monkeypatch.setattr(Training, "training_step", noted)
    return found


def bands_of(recipe):
    """FieldFuse's training knows cameras on the vis31 grid alone."""
    return getattr(recipe.network, "hsi_bands", VIS)


def fit(folder, recipe=RECIPE):
    return load_weights(train(recipe, folder, folder / "runs"))


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [RECIPE, SSRNET, MSSSF, FIELDFUSE], ids=["pzres", "ssrnet", "msssf", "fieldfuse"])
def test_a_killed_run_goes_on_along_the_same_curve_to_the_same_weights(
    recipe, tmp_path, monkeypatch, losses, show, rng
):
    recipe = replace(recipe, steps=8)
    show(Scene("noise", rng.random((40, 48, bands_of(recipe)), np.float32)))
    wanted = fit(tmp_path / "whole", recipe)
    curve, losses[:] = list(losses), []
    noted = Training.training_step

    def killed(module, batch, index):
        if module.global_step == 5:
            raise Kill
        return noted(module, batch, index)

    monkeypatch.setattr(Training, "training_step", killed)
    with pytest.raises(Kill):
        fit(tmp_path / "killed", recipe)
    monkeypatch.setattr(Training, "training_step", noted)
    found = fit(tmp_path / "killed", recipe)
    # Two epochs of two steps were kept; the third was killed in its second step and begins anew.
    assert [step for step, _ in losses] == [0, 1, 2, 3, 4, 4, 5, 6, 7]
    assert [step for step, _ in curve] == list(range(8))
    assert losses == [*curve[:5], *curve[4:]]
    assert found.keys() == wanted.keys()
    for name, weights in wanted.items():
        torch.testing.assert_close(found[name], weights, msg=name)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    before = fit(tmp_path)
    again = fit(tmp_path)
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_training_starts_from_the_weights_that_the_recipe_names(tmp_path):
    first = fit(tmp_path)
    still = replace(RECIPE, name="second", start="tiny", learning_rate=Cosine(start=0.0, end=0.0))
    second = fit(tmp_path, still)
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, msg=name)


def test_a_start_that_was_not_trained_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint .*first/last\.ckpt; train first: .*the recipe first"):
        fit(tmp_path, replace(RECIPE, start="first"))


def test_logs_and_the_last_checkpoint_lie_in_the_runs_folder(tmp_path):
    last = train(RECIPE, tmp_path, tmp_path / "runs")
    assert last == tmp_path / "runs" / "tiny" / "last.ckpt"
    assert list((last.parent / "logs").glob("events.*"))


# -- what recipes ask for ----------------------------------------------------------------------------------------------


def test_the_learning_rate_falls_in_stairs(tmp_path, monkeypatch):
    rates = []
    monkeypatch.setattr(
        Training, "on_train_batch_end", lambda module, *_: rates.append(module.optimizers().param_groups[0]["lr"])
    )
    fit(tmp_path, replace(SSRNET, steps=6, learning_rate=Stairs(start=1e-2, factor=0.5, at=(2, 4))))
    # As seen after a step, when the rate is that of the next one.
    assert rates == pytest.approx([1e-2, 5e-3, 5e-3, 2.5e-3, 2.5e-3, 2.5e-3])


def test_ssrnet_subtracts_the_means_of_its_training_bands(tmp_path, show):
    levels = np.linspace(0.1, 0.8, BANDS, dtype=np.float32)
    show(Scene("flat", np.broadcast_to(levels, (40, 48, BANDS))))
    np.testing.assert_allclose(fit(tmp_path, SSRNET)["band_mean"], levels, atol=1e-5)


@pytest.mark.parametrize("recipe", [RECIPE, SSRNET, MSSSF], ids=["pzres", "ssrnet", "msssf"])
def test_training_lowers_the_loss(recipe, tmp_path, losses, show):
    show(Scene("smooth", np.linspace(0, 1, 40 * 48 * BANDS, dtype=np.float32).reshape(40, 48, BANDS)))
    fit(tmp_path, replace(recipe, steps=30, steps_per_epoch=30, learning_rate=Stairs(start=3e-3)))
    values = [loss for _, loss in losses]
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[:5])


def test_images_with_other_bands_than_the_network_are_refused(tmp_path):
    other = replace(SSRNET, network=SSRNetChoice(hsi_bands=5, ratio=4))
    with pytest.raises(InputError, match=r"noise of cave has 8 bands, and the recipe's network\.hsi_bands is 5; take"):
        fit(tmp_path, other)


# -- the project's own recipes -----------------------------------------------------------------------------------------


def miniature(recipe):
    """Two steps on the smallest patches, with all the rest as it is; GELIN narrow, as it writes 400 MB."""
    network, data, patch = recipe.network, recipe.data, 2 * recipe.ratio
    if isinstance(network, GELINChoice):
        network = replace(network, features=32)
    if isinstance(data, ScenesData | ComponentsData):
        data = replace(data, frame_side=2 * patch)
    return replace(recipe, network=network, data=data, patch=patch, batch=2, steps=2, steps_per_epoch=2, start="")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_trains(path, tmp_path, show, losses, rng):
    recipe = miniature(read_recipe(path))
    show(Scene("one", rng.random((136, 128, bands_of(recipe)), np.float32)))
    last = train(recipe, tmp_path, tmp_path)
    assert load_weights(last).keys() == recipe.network.build().state_dict().keys()
    assert len(losses) == 2
    assert np.isfinite([loss for _, loss in losses]).all()
