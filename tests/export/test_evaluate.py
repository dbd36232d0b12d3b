from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from export import evaluate as evaluation
from export.accuracy import MEAN, METRICS, Score, accuracy_markdown, store_accuracy, with_means, write_accuracy
from export.data.degradation import Degradation
from export.data.scenes import Scene
from export.evaluate import Setting, evaluate
from export.pack import pack_regression
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError

CLEAN = Degradation()
NOISY = Degradation(lr_noise=(0.01, 0.01), msi_noise=(0.01, 0.01), msi_bits=8, misregistration_lr=0.02)


def camera(_data):
    """Three bands out of six, each the mean of two neighbours."""
    return [np.kron(np.eye(3), [[0.5, 0.5]])]


@pytest.fixture
def scene(rng):
    """Patches of four spectra, 48 x 48 x 6: sharp edges that only the MSI can tell."""
    spectra = rng.random((4, 6)).astype(np.float32)
    return Scene("patches", spectra[np.kron(rng.integers(0, 4, (12, 12)), np.ones((4, 4), np.int64))])


@pytest.fixture
def scores(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "load_scenes", lambda _folder, _split: [scene, replace(scene, name="again")])
    bundle = pack_regression(4, tmp_path / "regression-x4")
    settings = (
        Setting(name="clean", degradation=CLEAN, cameras=camera, draws=1),
        Setting(name="noisy", degradation=NOISY, cameras=camera, draws=2),
    )
    return evaluate([bundle.path], tmp_path, settings)


def score(**changes):
    metrics = dict.fromkeys(METRICS, 1.0)
    return Score(**{"ratio": 8, "pair": "clean", "scene": "field", "method": "bicubic", **metrics, **changes})


def test_every_method_is_scored_on_every_scene_and_pair(scores):
    found = {(s.pair, s.scene, s.method) for s in scores}
    methods = ("bicubic", "regression")
    assert found == {(p, s, m) for p in ("clean", "noisy") for s in ("patches", "again") for m in methods}
    assert len(scores) == len(found)


def test_regression_beats_bicubic_and_noise_costs_it(scores):
    psnr = {(s.pair, s.method): s.psnr_db for s in scores if s.scene == "patches"}
    assert psnr["clean", "regression"] > psnr["clean", "bicubic"] + 3
    assert psnr["noisy", "regression"] < psnr["clean", "regression"]


def test_pairs_of_a_scene_do_not_depend_on_the_shift_but_for_the_shift(scene):
    near, far = (
        list(evaluation._pairs(scene, 4, Setting(name="", degradation=replace(NOISY, misregistration_lr=s)), camera(0)))
        for s in (0.02, 0.25)
    )
    for (near_lr, near_msi), (far_lr, far_msi) in zip(near, far, strict=True):
        np.testing.assert_array_equal(near_lr, far_lr)
        assert not np.array_equal(near_msi, far_msi)


def test_scores_are_the_same_in_every_run(scores, scene, tmp_path):
    settings = (Setting(name="noisy", degradation=NOISY, cameras=camera, draws=2),)
    again = evaluate([tmp_path / "regression-x4"], tmp_path, settings)
    assert again == [s for s in scores if s.pair == "noisy"]


def test_mean_row_is_the_mean_over_the_scenes():
    rows = with_means([score(scene="a", psnr_db=30.0), score(scene="b", psnr_db=40.0), score(ratio=4, psnr_db=1.0)])
    means = {row.ratio: row.psnr_db for row in rows if row.scene == MEAN}
    assert means == {8: 35.0, 4: 1.0}


def test_markdown_has_one_table_per_ratio_and_pair_with_aligned_columns():
    text = accuracy_markdown([score(), score(pair="noisy", psnr_db=23.456), score(ratio=4)], "notes", {"cpu": "one"})
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:3] == [
        "## Ratio 4, clean pairs",
        "## Ratio 4, all pairs (mean over scenes)",
        "## Ratio 8, clean pairs",
    ]
    assert "| bicubic               | 1.00 / 1.00 | 23.46 / 1.00 |" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({len(line) for line in block.splitlines()}) == 1 for block in tables)


def test_written_json_holds_every_row_and_the_machine(scores, tmp_path):
    write_accuracy(tmp_path / "new" / "report", scores, "notes", {"cpu": "one"})
    written = json.loads((tmp_path / "new" / "report" / "accuracy.json").read_text())
    assert written["machine"] == {"cpu": "one"}
    assert len(written["scores"]) == len(with_means(scores))
    assert (tmp_path / "new" / "report" / "accuracy.md").read_text().startswith("# Accuracy")


def test_stored_scores_are_the_bundle_s_own_and_its_report_stays(scores, tmp_path):
    path = tmp_path / "regression-x4"
    (path / "report").mkdir()
    (path / "report" / "kept.md").write_text("kept")
    store_accuracy(path, scores)
    rows = Bundle.open(path).manifest.accuracy
    assert len(rows) == 6  # two scenes and their mean, two kinds of pairs
    own = next(s for s in scores if s.method == "regression")
    assert math.isclose(rows[0]["psnr_db"], own.psnr_db, abs_tol=0.005)
    assert (path / "report" / "kept.md").read_text() == "kept"


def test_scores_are_not_stored_in_a_zip_file(scores, tmp_path):
    bundle = pack_regression(4, tmp_path / "regression.zip")
    with pytest.raises(InputError, match=r"regression\.zip is not a folder.*unpack it first"):
        store_accuracy(bundle.path, scores)
