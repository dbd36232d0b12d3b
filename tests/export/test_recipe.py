from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from export.data.published import find_protocol
from export.paper_evaluation import published_table
from export.recipe import Cosine, read_recipe
from hsi_edge.errors import InputError

FOLDER = Path(__file__).parents[2] / "export" / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
SCENES = yaml.safe_load((FOLDER / "pzres-bilinear-vis31-x8.yaml").read_text(encoding="utf-8"))
FIELDFUSE = yaml.safe_load((FOLDER / "fieldfuse.yaml").read_text(encoding="utf-8"))
OURS = ("vis31", "fieldfuse")
OF_PAPERS = [path for path in RECIPES if not any(word in path.stem for word in OURS)]
PUBLISHED = yaml.safe_load((FOLDER / "gelin-cave-x4.yaml").read_text(encoding="utf-8"))


def recipe_file(folder, plain, **changes):
    """A recipe of the project, changed; a mapping changes keys of a mapping, None takes a key away."""
    merged = {key: plain[key] | value if isinstance(value, dict) else value for key, value in changes.items()}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (plain | merged).items() if v is not None}), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_recipe_of_the_project_reads_and_is_named_as_its_file(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.name.split("-")[0] == recipe.network.architecture
    # FieldFuse's one serves several ratios.
    assert recipe.name == "fieldfuse" or recipe.name.endswith(f"-x{recipe.ratio}")
    assert not recipe.start or path.with_stem(recipe.start).is_file()


@pytest.mark.parametrize("path", OF_PAPERS, ids=lambda path: path.stem)
def test_a_published_recipe_does_as_the_paper_did_with_the_data_set(path):
    recipe = read_recipe(path)
    protocol = find_protocol(recipe.data.dataset, recipe.data.paper)
    assert recipe.network.architecture == recipe.data.paper
    assert recipe.ratio in protocol.ratios
    assert ("hr_msi" in recipe.network.images) == (protocol.response != "none")
    # PZRes-Net's program has a blur for ratio 8 alone.
    assert recipe.data.blur == (
        "pzres-paper" if recipe.name in ("pzres-cave-x32", "pzres-harvard-x32") else protocol.blur
    )


def test_there_is_a_recipe_for_every_row_that_a_network_has_in_its_paper():
    read = [read_recipe(path) for path in OF_PAPERS]
    found = {(r.data.paper, r.data.test_dataset or r.data.dataset, r.ratio) for r in read}
    assert found == {(row.paper, row.dataset, row.ratio) for row in published_table().rows}


def test_every_number_of_the_file_arrives(tmp_path):
    rate = {"shape": "cosine", "start": 0.5, "end": 0.25}
    path = recipe_file(
        tmp_path, SCENES, learning_rate=rate, data={"degradation": {"lr_noise": [0.1, 0.2], "msi_bits": 7}}
    )
    recipe = read_recipe(path)
    assert recipe.learning_rate == Cosine(start=0.5, end=0.25)
    assert recipe.data.degradation.lr_noise == (0.1, 0.2)
    assert recipe.data.degradation.msi_bits == 7
    assert recipe.data.degradation.blur == "gaussian"


def test_the_network_of_a_recipe_has_its_bands(tmp_path):
    network = {"hsi_bands": 8, "msi_bands": 2, "variant": "paper"}
    built = read_recipe(recipe_file(tmp_path, SCENES, network=network)).network.build()
    assert built.variant == "paper"
    assert built.subsets[-1] == list(range(8))


@pytest.mark.parametrize(
    ("plain", "changes", "message"),
    [
        (SCENES, {"steps": None}, "steps is missing; wanted a whole number"),
        (SCENES, {"stps": 3}, r"unknown key stps \(did you mean steps\?\)"),
        (SCENES, {"steps": 0}, "steps is 0; wanted 1 or more"),
        (SCENES, {"batch": -1}, "batch is -1; wanted 1 or more"),
        (SCENES, {"steps": 2.5}, "steps is 2.5; wanted a whole number"),
        (SCENES, {"base": "nearest"}, "base is 'nearest'; wanted one of bilinear, bicubic, regression"),
        (SCENES, {"base": None}, "base is 'none'; pzres takes one of bilinear, bicubic, regression"),
        (SCENES, {"patch": 60}, "patch 60 must be a multiple of ratio 8"),
        (SCENES, {"loss": "l2"}, "loss is 'l2'; wanted one of l1, gelin"),
        (
            SCENES,
            {"loss": "level-mse"},
            "loss 'level-mse' does not fit pzres; wanted one of l1, gelin, pzres-code, pzres-paper",
        ),
        (SCENES, {"network": {"architecture": "edsr"}}, "network.architecture is 'edsr'; wanted one of pzres, ssrnet"),
        (SCENES, {"learning_rate": {"shape": "stairs"}}, r"unknown key learning_rate\.end"),
        (
            SCENES,
            {"learning_rate": {"start": "1e-3"}},
            r"learning_rate.start is '1e-3'; wanted a finite number; .*write 1.0e-6",
        ),
        (SCENES, {"data": {"source": "web"}}, "data.source is 'web'; wanted one of scenes, components, published"),
        (SCENES, {"base": "subspace"}, "base is 'subspace'; fieldfuse, and it alone, has 'subspace'"),
        (SCENES, {"loss": "relative"}, "loss 'relative' does not fit pzres"),
        (FIELDFUSE, {"base": None}, "base is 'none'; fieldfuse, and it alone, has 'subspace'"),
        (FIELDFUSE, {"base": "bicubic"}, "base is 'bicubic'; fieldfuse, and it alone, has 'subspace'"),
        (FIELDFUSE, {"loss": "pzres-code"}, "loss 'pzres-code' does not fit fieldfuse; wanted one of l1, gelin, relat"),
        (FIELDFUSE, {"ratio": 12}, "ratio is 12; wanted one of data.ratios: 4, 8, 8, 16"),
        (FIELDFUSE, {"data": {"ratios": [8, 6]}}, "data.ratios has 6; wanted multiples of 4 that divide .* 96"),
        (FIELDFUSE, {"data": {"ratios": [8, 64]}}, "data.ratios has 64; wanted multiples of 4 that divide .* 96"),
        (FIELDFUSE, {"data": {"frame_side": 64}}, "no less than patch 96"),
        (FIELDFUSE, {"data": {"leafs": 0.1}}, r"unknown key data.leafs \(did you mean leaves\?\)"),
        (SCENES, {"data": {"frame_side": 97}}, "data.frame_side 97 must be a multiple of ratio 8"),
        (SCENES, {"data": {"frame_side": 32}}, "no less than patch 64"),
        (
            SCENES,
            {"data": {"degradation": {"blurs": "box"}}},
            r"unknown key data.degradation.blurs \(did you mean blur\?\)",
        ),
        (
            SCENES,
            {"data": {"degradation": {"blur": "box"}}},
            "data.degradation.blur is 'box'; wanted one of gaussian, pz",
        ),
        (PUBLISHED, {"data": {"dataset": "caves"}}, "data.dataset is 'caves'; wanted one of cave, harvard"),
        (
            PUBLISHED,
            {"data": {"dataset": "foster"}},
            "data: there is no protocol of gelin for 'foster'; there is one for",
        ),
        (PUBLISHED, {"data": {"blur": "box"}}, "data.blur is 'box'; wanted one of gaussian"),
        (
            PUBLISHED,
            {"data": {"patches": {"place": "anywhere"}}},
            "data.patches.place is 'anywhere'; wanted one of drawn",
        ),
        (PUBLISHED, {"base": "regression"}, "base is 'regression', which no paper has"),
        (PUBLISHED, {"network": {"ratio": 8}}, "network.ratio is 8, but ratio is 4; they must be the same"),
        (PUBLISHED, {"patch": 20}, "patch 20 is 5 LR pixels; gelin takes an even number"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_key_and_what_was_wanted(tmp_path, plain, changes, message):
    with pytest.raises(InputError, match=f"recipe.yaml: .*{message}"):
        read_recipe(recipe_file(tmp_path, plain, **changes))


def test_fieldfuse_and_it_alone_is_trained_on_components(tmp_path):
    path = recipe_file(tmp_path, {**FIELDFUSE, "data": SCENES["data"]})
    with pytest.raises(
        InputError, match=r"data\.source is 'scenes'; fieldfuse, and it alone, is trained on components"
    ):
        read_recipe(path)
    path = recipe_file(tmp_path, {**SCENES, "data": FIELDFUSE["data"]})
    with pytest.raises(InputError, match=r"data\.source is 'components'; fieldfuse, and it alone, is trained on comp"):
        read_recipe(path)
    path = recipe_file(tmp_path, {**FIELDFUSE, "data": PUBLISHED["data"]})
    with pytest.raises(InputError, match=r"data\.source is 'published'; fieldfuse, and it alone, is trained on comp"):
        read_recipe(path)


def test_a_base_image_that_the_network_does_not_take_is_refused(tmp_path):
    plain = yaml.safe_load((FOLDER / "ssrnet-cave-x4.yaml").read_text(encoding="utf-8"))
    with pytest.raises(InputError, match="base is 'bicubic', but ssrnet takes no base image; leave the key out"):
        read_recipe(recipe_file(tmp_path, plain, base="bicubic"))


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
