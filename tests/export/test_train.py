from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from export import train as training
from export.data.degradation import Degradation
from export.data.scenes import Scene
from export.data.training import Augmentation
from export.recipe import NetworkChoice, Recipe
from export.train import FusionTraining, load_weights, train

BANDS = 8
RECIPE = Recipe(
    name="tiny",
    network=NetworkChoice(hsi_bands=BANDS, msi_bands=3),
    base="bilinear",
    ratio=4,
    seed=5,
    frame_side=16,
    patch=8,
    batch=2,
    steps=4,
    steps_per_epoch=2,
    learning_rate=(1e-3, 1e-5),
    average_decay=0.9,
    precision="32-true",
    responses="cameras",
    degradation=Degradation(lr_noise=(0.0, 0.01)),
    augmentation=Augmentation(),
)

# Lightning warns of few workers, of rare logs and of its own deprecations; none is about what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore")


class Kill(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture(autouse=True)
def _own_data(monkeypatch, rng):
    """A scene and a camera of the tests' own, so that no research data is needed."""
    scene = Scene("noise", rng.random((24, 24, BANDS), np.float32))
    monkeypatch.setattr(training, "load_scenes", lambda _folder, _split: [scene])
    monkeypatch.setattr(training, "camera_responses", lambda _recipe, _folder: [np.full((3, BANDS), 1 / BANDS)])


def fit(folder, recipe=RECIPE):
    return load_weights(train(recipe, folder, folder / "runs"))


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    wanted = fit(tmp_path / "whole")
    steps = []

    def counted(module, patch, index):
        steps.append(module.global_step)
        if len(steps) == 4:
            raise Kill
        return step(module, patch, index)

    step = FusionTraining.training_step
    monkeypatch.setattr(FusionTraining, "training_step", counted)
    with pytest.raises(Kill):
        fit(tmp_path / "killed")
    found = fit(tmp_path / "killed")
    # The first epoch of two steps was kept; the second begins anew.
    assert steps == [0, 1, 2, 3, 2, 3]
    assert found.keys() == wanted.keys()
    for name, weights in wanted.items():
        torch.testing.assert_close(found[name], weights, msg=name)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    before = fit(tmp_path)
    again = fit(tmp_path)
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_training_starts_from_the_weights_that_the_recipe_names(tmp_path):
    first = fit(tmp_path)
    still = replace(RECIPE, name="second", start="tiny", learning_rate=(0.0, 0.0))
    second = fit(tmp_path, still)
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, msg=name)


def test_logs_and_the_last_checkpoint_lie_in_the_runs_folder(tmp_path):
    last = train(RECIPE, tmp_path, tmp_path / "runs")
    assert last == tmp_path / "runs" / "tiny" / "last.ckpt"
    assert list((last.parent / "logs").glob("events.*"))
