from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from export import compare as comparing
from export.accuracy import (
    MEAN,
    METRICS,
    Comparison,
    Cost,
    Score,
    of_bundle,
    store_accuracy,
    with_means,
)
from export.accuracy_page import accuracy_markdown, write_accuracy
from export.compare import SETTINGS, Setting, compare_bundles, cropped, pairs
from export.data.degradation import Degradation
from export.data.scenes import Scene, load_native_scenes
from export.methods import Method
from export.pack import pack_graphless
from export.speed import measure_costs
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError
from tests.tiny_bundles import lr_manifest, plain_manifest, write_tiny_bundle

CLEAN = Degradation()
NOISY = Degradation(lr_noise=(0.01, 0.01), msi_noise=(0.01, 0.01), msi_bits=8, misregistration_lr=0.02)
METHODS = ("bicubic", "regression")


def camera(_data):
    """Three bands out of six, each the mean of two neighbours."""
    return [np.kron(np.eye(3), [[0.5, 0.5]])]


def visible(_data):
    """A camera on the vis31 grid."""
    return [np.kron(np.eye(3), np.full((1, 10), 0.1)) @ np.eye(30, 31)]


@pytest.fixture
def scene(rng):
    """Patches of four spectra, 50 x 51 x 6: sharp edges that only the MSI can tell."""
    spectra = rng.random((4, 6)).astype(np.float32)
    labels = np.kron(rng.integers(0, 4, (13, 13)), np.ones((4, 4), np.int64))
    return Scene("patches", spectra[labels][:50, :51])


@pytest.fixture
def native(rng):
    """Two scenes with other bands."""
    return [
        Scene(f"{bands} bands", rng.random((12, 12, bands), np.float32), np.linspace(420, 680, bands))
        for bands in (4, 40)
    ]


@pytest.fixture
def comparison(scene, native, tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "load_scenes", lambda _folder, _split: [scene, replace(scene, name="again")])
    monkeypatch.setattr(comparing, "load_native_scenes", lambda _folder: native)
    monkeypatch.setattr(comparing, "measure_costs", lambda ratio, methods: measure_costs(ratio, methods, rounds=1))
    monkeypatch.setattr(comparing, "NATIVE_SETTINGS", (Setting(name="clean", degradation=CLEAN, cameras=visible),))
    bundle = pack_graphless("regression", 4, tmp_path / "regression-x4")
    settings = (
        Setting(name="clean", degradation=CLEAN, cameras=camera, draws=1),
        Setting(name="noisy", degradation=NOISY, cameras=camera, draws=2),
    )
    return compare_bundles([bundle.path], tmp_path, settings)


def score(**changes):
    metrics = dict.fromkeys(METRICS, 1.0)
    return Score(**{"ratio": 8, "pair": "clean", "scene": "field", "method": "bicubic", **metrics, **changes})


def cost(**changes):
    values = {"ratio": 8, "method": "bicubic", "task": "single", "gmac": None, "seconds": 0.5, "times_regression": 2.0}
    return Cost(**{**values, **changes})


def made(*scores):
    """A comparison of scores alone, with the costs that its tables need."""
    kinds = dict.fromkeys((s.ratio, s.method) for s in scores)
    return Comparison(scores=scores, native=[], costs=[cost(ratio=ratio, method=method) for ratio, method in kinds])


def test_every_method_is_scored_on_every_scene_and_pair(comparison):
    found = {(s.pair, s.scene, s.method) for s in comparison.scores}
    assert found == {(p, s, m) for p in ("clean", "noisy") for s in ("patches", "again") for m in METHODS}
    assert len(comparison.scores) == len(found)


def test_methods_for_any_bands_are_scored_on_scenes_with_other_bands(comparison):
    assert {(s.scene, s.method) for s in comparison.native} == {(f"{b} bands", m) for b in (4, 40) for m in METHODS}


def test_regression_beats_bicubic_and_noise_costs_it(comparison):
    psnr = {(s.pair, s.method): s.psnr_db for s in comparison.scores if s.scene == "patches"}
    assert psnr["clean", "regression"] > psnr["clean", "bicubic"] + 3
    assert psnr["noisy", "regression"] < psnr["clean", "regression"]


def test_time_is_measured_of_every_method_and_the_regression_is_the_yardstick(comparison):
    times = {c.method: c for c in comparison.costs}
    assert set(times) == set(METHODS)
    assert times["regression"].times_regression == 1
    assert times["bicubic"].seconds > 0


class SingleEngine:
    """Repeats pixels, and takes no second frame."""

    manifest = lr_manifest(("lr_hsi", "base"))

    def run(self, lr_hsi):
        return lr_hsi.repeat(2, axis=0).repeat(2, axis=1)


def test_a_single_image_model_is_given_the_lr_hsi_alone(rng):
    method = Method.of_engine(SingleEngine())
    lr_hsi, hr_msi = rng.random((4, 4, 5)), rng.random((8, 8, 3))
    assert method.run(lr_hsi, hr_msi).shape == (8, 8, 5)


def test_a_scene_is_cropped_to_whole_lr_pixels(scene):
    assert [cropped(scene, ratio).cube.shape for ratio in (4, 8, 16)] == [(48, 48, 6)] * 3
    assert cropped(replace(scene, cube=scene.cube[:47]), 16).cube.shape == (32, 48, 6)


def test_pairs_of_a_scene_do_not_depend_on_the_shift_but_for_the_shift(scene):
    scene = cropped(scene, 4)
    near, far = (
        list(pairs(scene, 4, Setting(name="", degradation=replace(NOISY, misregistration_lr=s)), camera(0)))
        for s in (0.02, 0.25)
    )
    for (near_lr, near_msi), (far_lr, far_msi) in zip(near, far, strict=True):
        np.testing.assert_array_equal(near_lr, far_lr)
        assert not np.array_equal(near_msi, far_msi)


def test_scores_are_the_same_in_every_run(comparison, tmp_path):
    settings = (Setting(name="noisy", degradation=NOISY, cameras=camera, draws=2),)
    again = compare_bundles([tmp_path / "regression-x4"], tmp_path, settings)
    assert again.scores == [s for s in comparison.scores if s.pair == "noisy"]


def test_mean_row_is_the_mean_over_the_scenes():
    rows = with_means([score(scene="a", psnr_db=30.0), score(scene="b", psnr_db=40.0), score(ratio=4, psnr_db=1.0)])
    means = {row.ratio: row.psnr_db for row in rows if row.scene == MEAN}
    assert means == {8: 35.0, 4: 1.0}


def test_markdown_has_summaries_before_all_scenes_in_aligned_tables():
    text = accuracy_markdown(made(score(), score(pair="noisy", psnr_db=23.456), score(ratio=4)), {"cpu": "one"})
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Ratio 4: means over the scenes",
        "## Ratio 8: means over the scenes",
        "## Ratio 4: all scenes",
        "## Ratio 8: all scenes",
    ]
    assert "| bicubic (single)      | 1.00 / 1.00 | 23.46 / 1.00 |    - |   0.500 |          2.0 |" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({len(line) for line in block.splitlines()}) == 1 for block in tables)


def test_markdown_says_where_a_model_does_worst_against_the_regression():
    regression = [score(method="regression", scene=s, psnr_db=40.0, sam_deg=2.0) for s in "ab"]
    model = [
        score(method="ours", scene="a", psnr_db=43.0, sam_deg=1.0),
        score(method="ours", scene="b", psnr_db=39.5, sam_deg=1.8),
    ]
    text = accuracy_markdown(made(*regression, *model), {})
    assert "| ours                       | +1.25 (-0.50), -30 % (-10 %) |" in text


def test_written_json_holds_every_row_and_the_machine(comparison, tmp_path):
    write_accuracy(tmp_path / "new" / "report", comparison, {"cpu": "one"})
    written = json.loads((tmp_path / "new" / "report" / "accuracy.json").read_text())
    assert written["machine"] == {"cpu": "one"}
    assert len(written["scores"]) == len(with_means(comparison.scores))
    assert len(written["native"]) == 4
    assert len(written["costs"]) == 2
    assert (tmp_path / "new" / "report" / "accuracy.md").read_text().startswith("# Accuracy")


def test_a_bundle_s_report_has_its_own_rows_and_those_without_training(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny", plain_manifest(2))
    methods = ("bicubic", "regression", "tiny-x2", "other-x2")
    own = of_bundle(made(*(score(ratio=ratio, method=m) for ratio in (2, 4) for m in methods)), bundle.path)
    assert [(s.ratio, s.method) for s in own.scores] == [(2, m) for m in methods[:3]]
    assert [c.method for c in own.costs] == list(methods[:3])


def test_stored_scores_are_the_bundle_s_own_and_its_report_stays(comparison, tmp_path):
    path = tmp_path / "regression-x4"
    (path / "report").mkdir()
    (path / "report" / "kept.md").write_text("kept")
    store_accuracy(path, comparison)
    rows = Bundle.open(path).manifest.accuracy
    # Two scenes and their mean on two kinds of pairs, and two scenes with other bands.
    assert len(rows) == 6 + 2
    own = next(s for s in comparison.scores if s.method == "regression")
    assert math.isclose(rows[0]["psnr_db"], own.psnr_db, abs_tol=0.005)
    assert (path / "report" / "kept.md").read_text() == "kept"


def test_scores_are_not_stored_in_a_zip_file(comparison, tmp_path):
    bundle = pack_graphless("regression", 4, tmp_path / "regression.zip")
    with pytest.raises(InputError, match=r"regression\.zip is not a folder.*unpack it first"):
        store_accuracy(bundle.path, comparison)


# -- research data -----------------------------------------------------------------------------------------------------


def test_scenes_with_other_bands_have_from_14_to_205_bands_and_fit_every_ratio(shared_data):
    scenes = load_native_scenes(shared_data)
    assert [scene.cube.shape[2] for scene in scenes] == [14, 103, 205]
    for scene in scenes:
        assert scene.wavelengths_nm.shape == (scene.cube.shape[2],)
        assert 0 <= scene.cube.min() < scene.cube.max() <= 1
        assert cropped(scene, 16).cube.shape == scene.cube.shape


def test_no_camera_of_the_unseen_pairs_is_among_those_of_the_realistic_ones(shared_data):
    trained, unseen = (
        {camera.tobytes() for camera in setting.cameras(shared_data)}
        for setting in (
            next(s for s in SETTINGS if s.name == name) for name in ("realistic", "realistic, unseen camera")
        )
    )
    assert (len(trained), len(unseen)) == (23, 5)
    assert not trained & unseen
