from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from export import training_data
from export.cli import main
from export.data.published import published_scenes
from export.data.responses import nikon_d700
from export.data.scenes import Scene
from export.networks.choices import GELINChoice
from export.pack import pack_graphless
from export.paper_evaluation import evaluate, network_estimator, paper_table, published_table
from export.protocol import PROTOCOLS, score
from export.recipe import read_recipe
from hsi_edge.errors import InputError
from hsi_edge.resampling import upsample
from tests.export.data.miniature import write_mat

RECIPES = Path(__file__).parents[2] / "export" / "recipes"
BANDS = 31


def recipe(name, **changes):
    return replace(read_recipe(RECIPES / f"{name}.yaml"), **changes)


@pytest.fixture(autouse=True)
def scenes(monkeypatch, rng):
    """Two small test images, each of one spectrum in all brightnesses, and a camera that sees three bands."""
    found = [
        Scene(name, rng.random((50, 39, 1), np.float32) * rng.random(BANDS, np.float32)) for name in ("one", "two")
    ]
    asked = []

    def published_scenes(folder, dataset, paper, split):
        asked.append((folder, dataset, paper, split))
        return iter(found)

    monkeypatch.setattr(training_data, "published_scenes", published_scenes)
    monkeypatch.setattr(training_data, "nikon_d700", lambda _folder: np.eye(3, BANDS))
    return asked


def trained(recipe, runs):
    """A checkpoint of a network that is as it was made."""
    torch.manual_seed(0)
    network = recipe.network.build()
    (runs / recipe.name).mkdir(parents=True)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state}, runs / recipe.name / "last.ckpt")
    return network.eval()


def test_network_and_bicubic_are_scored_by_the_paper_s_formulas_on_the_paper_s_test_images(tmp_path, scenes, rng):
    chosen = recipe("ssrnet-cave-x4")
    network = trained(chosen, tmp_path)
    found = dict(evaluate(chosen, tmp_path / "data", runs=tmp_path))
    assert scenes == [(tmp_path / "data" / "published", "cave", "ssrnet", "test")]
    assert list(found) == ["one", "two"]
    assert list(found["one"]) == ["ssrnet-cave-x4", "bicubic"]
    # 50 x 39 pixels are cut to a multiple of 4.
    truth = next(iter(training_data.published_scenes(None, None, None, None))).cube[:48, :36]
    images = training_data.paper_pair(chosen, tmp_path).of(np.ascontiguousarray(np.moveaxis(truth, 2, 0)))
    with torch.inference_mode():
        estimate = network(torch.from_numpy(images["lr_hsi"])[None])[0].numpy()
    bicubic = upsample(images["lr_hsi"], 4, "bicubic")
    for name, image in (("ssrnet-cave-x4", estimate), ("bicubic", bicubic)):
        wanted = score(PROTOCOLS["ssrnet"], np.moveaxis(image, 0, 2), truth, 4)
        assert found["one"][name] == pytest.approx(wanted, rel=1e-3)


def test_a_network_is_tested_on_the_data_set_that_the_recipe_tells(tmp_path, scenes):
    chosen = recipe("gelin-pavia-x8")
    chosen = replace(
        chosen, network=GELINChoice(hsi_bands=BANDS, ratio=8, group_bands=8, overlap=2, blocks=1, features=32)
    )
    trained(chosen, tmp_path)
    rows = list(evaluate(chosen, tmp_path, runs=tmp_path))
    assert scenes[0][1:] == ("pavia_university", "gelin", "test")
    assert len(rows) == 2


def test_odd_frames_are_filled_up_for_gelin_and_cut_again(tmp_path, rng):
    chosen = recipe("gelin-cave-x4")
    chosen = replace(
        chosen, network=GELINChoice(hsi_bands=BANDS, ratio=4, group_bands=8, overlap=2, blocks=1, features=32)
    )
    network = trained(chosen, tmp_path)
    lr_hsi = rng.random((BANDS, 5, 6), np.float32)
    images = {"lr_hsi": lr_hsi, "base": upsample(lr_hsi, 4, "bicubic"), "truth": np.zeros((BANDS, 20, 24), np.float32)}
    found = network_estimator(chosen, tmp_path)(images)
    filled = lr_hsi[:, [0, 1, 2, 3, 4, 4]]
    base = images["base"][:, [*range(20), 19, 19, 19, 19]]
    with torch.inference_mode():
        wanted = network(torch.from_numpy(filled)[None], torch.from_numpy(base)[None]).output[0, :, :20].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_bundle_is_scored_as_the_runtime_runs_it(tmp_path):
    bundle = pack_graphless("regression", 8, tmp_path / "regression-x8")
    found = dict(evaluate(recipe("pzres-cave-x8"), tmp_path, runs=tmp_path / "none", bundle=bundle.path))
    assert list(found["one"]) == ["regression-x8", "bicubic"]
    # The photo tells all that lies between the LR pixels.
    assert found["one"]["regression-x8"]["psnr_db"] > found["one"]["bicubic"]["psnr_db"] + 8


def test_the_table_has_means_beside_the_published_rows_of_the_same_paper_images_and_ratio():
    names = ("psnr_db", "ssim", "sam_deg", "ergas", "rmse", "cc")
    scenes = [{"gelin-cave-x4": dict.fromkeys(names, value)} for value in (10.0, 20.0)]
    text = paper_table(recipe("gelin-cave-x4"), scenes)
    assert "means over 2 test images" in text
    assert "A Group-Based Embedding Learning" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["", "PSNR [dB]", "SSIM", "SAM [deg]", "ERGAS", "RMSE", "CC"]
    assert rows[2:] == [
        ["gelin-cave-x4, measured", *["15.0000"] * 6],
        ["GELIN, published", "40.2676", "0.9537", "2.8657", "3.3599", "-", "-"],
        ["bicubic, published", "35.1478", "0.9185", "3.8769", "5.5747", "-", "-"],
    ]


def test_each_published_row_stands_once_and_has_a_source():
    table = published_table()
    keys = [(row.paper, row.dataset, row.ratio, row.method) for row in table.rows]
    assert len(set(keys)) == len(keys)
    assert {row.paper for row in table.rows} == set(table.sources) == set(PROTOCOLS)


def test_the_command_prints_the_table_and_the_images_as_they_are_done(tmp_path, capsys):
    chosen = recipe("ssrnet-cave-x4")
    trained(chosen, tmp_path)
    command = ["evaluate", str(RECIPES / "ssrnet-cave-x4.yaml"), "--runs", str(tmp_path), "--data", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "| ssrnet-cave-x4, measured |" in printed.out
    assert "| SSRNet, published        |   38.9400 |" in printed.out
    assert printed.err.startswith("one: ssrnet-cave-x4 ")


def test_a_network_that_was_not_trained_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no checkpoint .*ssrnet-cave-x4/last\.ckpt; train first"):
        list(evaluate(recipe("ssrnet-cave-x4"), tmp_path, runs=tmp_path))


def test_a_recipe_of_the_research_scenes_has_no_published_table(tmp_path):
    with pytest.raises(InputError, match=r"ssrnet-vis31-x4 is of the research scenes, .* compare BUNDLE"):
        list(evaluate(recipe("ssrnet-vis31-x4"), tmp_path, runs=tmp_path))


@pytest.fixture
def real_readers(monkeypatch):
    monkeypatch.setattr(training_data, "published_scenes", published_scenes)
    monkeypatch.setattr(training_data, "nikon_d700", nikon_d700)


@pytest.mark.usefixtures("real_readers")
def test_a_missing_data_set_is_named_with_its_place(tmp_path, capsys):
    trained(recipe("ssrnet-cave-x4"), tmp_path)
    for command, runs in (("evaluate", tmp_path), ("train", tmp_path / "new")):
        arguments = [command, str(RECIPES / "ssrnet-cave-x4.yaml"), "--data", str(tmp_path / "data")]
        assert main([*arguments, "--runs", str(runs)]) == 2
        assert str(tmp_path / "data" / "published" / "cave") in capsys.readouterr().err


@pytest.mark.usefixtures("real_readers")
@pytest.mark.filterwarnings("ignore")  # Lightning's advice.
def test_from_the_publisher_s_files_to_the_table_in_two_commands(tmp_path, capsys, rng):
    for folder, count in (("training", 41), ("testing", 25)):
        for number in range(count):
            cube = rng.integers(1, 4000, (32, 33, BANDS)).astype(np.float32)
            write_mat(tmp_path / "published" / "nus" / folder / f"{folder}{number}.mat", tensor=cube)
    (tmp_path / "sensors").mkdir()
    np.savez(tmp_path / "sensors" / "srf_tables.npz", nikon_d700_P_3x31=np.eye(3, BANDS))
    plain = yaml.safe_load((RECIPES / "msssf-nus-x16.yaml").read_text(encoding="utf-8"))
    small = {"patch": 16, "batch": 2, "steps": 2, "steps_per_epoch": 1}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(plain | small), encoding="utf-8")
    for command in ("train", "evaluate"):
        arguments = [command, str(tmp_path / "small.yaml"), "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]
        assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "means over 25 test images" in printed
    assert "| MS-SSFNet, published" in printed
