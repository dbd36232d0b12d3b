from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from export.data.degradation import BLURS
from export.recipe import read_recipe
from hsi_edge.errors import InputError

RECIPES = sorted((Path(__file__).parents[2] / "export" / "recipes").glob("*.yaml"))
PLAIN = yaml.safe_load(RECIPES[0].read_text(encoding="utf-8"))


def recipe_file(folder, **changes):
    """The first recipe of the project, changed; None takes a key away."""
    plain = {key: value for key, value in (PLAIN | changes).items() if value is not None}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_recipe_of_the_project_reads_and_is_named_as_its_file(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert f"-{recipe.base}-" in recipe.name
    assert recipe.name.endswith(f"-x{recipe.ratio}")
    assert recipe.degradation.blur in BLURS
    assert not recipe.start or path.with_stem(recipe.start).is_file()


def test_every_number_of_the_file_arrives(tmp_path):
    path = recipe_file(tmp_path, learning_rate=[0.5, 0.25], degradation={"lr_noise": [0.1, 0.2], "msi_bits": 7})
    recipe = read_recipe(path)
    assert recipe.learning_rate == (0.5, 0.25)
    assert recipe.degradation.lr_noise == (0.1, 0.2)
    assert recipe.degradation.msi_bits == 7
    assert recipe.degradation.blur == "gaussian"


def test_the_network_of_a_recipe_has_its_bands(tmp_path):
    recipe = read_recipe(recipe_file(tmp_path, network={"hsi_bands": 8, "msi_bands": 2, "variant": "paper"}))
    network = recipe.network.build()
    assert network.variant == "paper"
    assert network.subsets[-1] == list(range(8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "steps is missing; wanted a whole number"),
        ({"stps": 3}, r"unknown key stps \(did you mean steps\?\)"),
        ({"degradation": {"blurs": "gaussian"}}, r"unknown key degradation.blurs \(did you mean blur\?\)"),
        ({"degradation": {"blur": "box"}}, "degradation.blur is 'box'; wanted one of gaussian, pzres-code"),
        ({"network": {"hsi_bands": 31}}, "network.msi_bands is missing"),
        ({"learning_rate": ["1e-3", 1.0]}, r"learning_rate\[0\] is '1e-3'; wanted a finite number; .*write 1.0e-6"),
        ({"steps": 2.5}, "steps is 2.5; wanted a whole number"),
        ({"base": "nearest"}, "base is 'nearest'; wanted one of bilinear, bicubic, regression"),
        ({"frame_side": 97}, "frame_side 97 must be a multiple of ratio"),
        ({"patch": 1000}, "no less than patch 1000"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_key_and_what_was_wanted(tmp_path, changes, message):
    with pytest.raises(InputError, match=f"recipe.yaml: .*{message}"):
        read_recipe(recipe_file(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[1, 2]", "name: [", "just words"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=r"recipe\.yaml: "):
        read_recipe(tmp_path / "recipe.yaml")


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"there is no recipe .*nowhere\.yaml; the project's own are in export/recipes"
    ):
        read_recipe(tmp_path / "nowhere.yaml")
