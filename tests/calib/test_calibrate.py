from __future__ import annotations

from dataclasses import replace

import pytest

from calib import calibrate as module
from calib.calibrate import calibrate
from calib.gate import DEFAULT_GATES
from calib.search import fewest
from hsi_edge.bundle import Bundle
from hsi_edge.errors import CalibrationError, InputError, OutputError
from tests.calib.chain import DELICATE, LAYERS, chain, write_chain, write_scenes
from tests.tiny_bundles import fusion_manifest, regression_manifest, write_tiny_bundle

GATE = DEFAULT_GATES["int8"]
GAIN = 1000.0


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("calibration") / "scenes")


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory, scenes):
    """A bundle that passes the gate with every layer in INT8, and how."""
    path = tmp_path_factory.mktemp("sturdy") / "chain"
    write_chain(path, chain())
    return path, calibrate(path, "int8", scenes, GATE, say=silent)


def silent(_):
    pass


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_graph_that_passes_goes_into_the_bundle_with_what_is_known_of_it(sturdy):
    path, outcome = sturdy
    bundle = Bundle.open(path)
    calibration = bundle.manifest.calibration["int8"]
    assert outcome.put_back == ()
    assert bundle.read_bytes("int8.onnx") == outcome.graphs["whole"]
    assert calibration.method == outcome.method
    assert calibration.tiles == len(outcome.chosen.calibration)
    assert calibration.tiles_sha256 == outcome.chosen.sha256
    assert calibration.psnr_loss_db is not None
    assert calibration.psnr_loss_db <= GATE.psnr_loss_db
    assert calibration.float_layers == ("last",)


def test_the_same_scenes_give_the_same_graph(tmp_path, scenes, sturdy):
    write_chain(tmp_path / "chain", chain())
    assert calibrate(tmp_path / "chain", "int8", scenes, GATE, say=silent).graphs == sturdy[1].graphs


def test_the_calibrator_that_comes_nearest_to_fp32_is_taken(sturdy):
    _, outcome = sturdy
    by_method = {tried.what.split(",")[0]: tried.scores.psnr_db for tried in outcome.tried}
    assert by_method.keys() == {"minmax", "percentile", "entropy"}
    assert outcome.method == max(by_method, key=by_method.__getitem__)
    assert outcome.scores.psnr_db == max(by_method.values())


def test_the_delicate_layer_is_put_back_where_the_gate_fails_and_no_other(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain(GAIN))
    lines: list[str] = []
    outcome = calibrate(tmp_path / "chain", "int8", scenes, GATE, say=lines.append)
    assert outcome.put_back == (DELICATE,)
    assert outcome.ranking[0].layers == (DELICATE,)
    assert {layer for each in outcome.ranking for layer in each.layers} == {"first", "second", "third"}
    assert Bundle.open(tmp_path / "chain").manifest.calibration["int8"].float_layers == ("third", "last")
    assert any("the gate fails" in line for line in lines)


def test_a_gate_that_cannot_be_met_is_refused_with_what_could_be_had(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain(GAIN))
    before = contents(tmp_path / "chain")
    strict = replace(GATE, psnr_db=140.0)
    with pytest.raises(CalibrationError) as caught:
        calibrate(tmp_path / "chain", "int8", scenes, strict, say=silent)
    message = str(caught.value)
    assert "no INT8 graph of chain-x2 passes the gate; the bundle is left as it is" in message
    assert "at least 140 allowed" in message
    assert "What could be had: all layers in INT8" in message
    assert f"The most sensitive layers are {DELICATE}" in message
    assert "\n" not in message
    assert contents(tmp_path / "chain") == before


def test_fp16_keeps_what_overflows_in_fp32(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain(1e6))
    outcome = calibrate(tmp_path / "chain", "fp16", scenes, DEFAULT_GATES["fp16"], say=silent)
    assert outcome.overflowing
    assert set(outcome.overflowing) <= {"second", "second.relu", "third"}
    float_layers = Bundle.open(tmp_path / "chain").manifest.calibration["fp16"].float_layers
    assert {"second", *outcome.overflowing} <= {*float_layers}
    assert outcome.scores.overflowed == ()


def test_fp16_layers_go_back_to_fp32_by_what_they_win(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain())
    free = calibrate(tmp_path / "chain", "fp16", scenes, DEFAULT_GATES["fp16"], say=silent)
    strict = replace(DEFAULT_GATES["fp16"], psnr_db=free.scores.psnr_db + 1)
    outcome = calibrate(tmp_path / "chain", "fp16", scenes, strict, say=silent)
    assert 0 < len(outcome.put_back) < len(LAYERS)
    assert outcome.scores.psnr_db >= strict.psnr_db
    errors = [each.error for each in outcome.ranking]
    assert max(errors) > 0


def test_a_network_with_statistics_gets_both_forms_and_keeps_its_fp32_ones(tmp_path, scenes):
    model = fusion_manifest(2)
    model = replace(model, tiling=replace(model.tiling, max_tile_lr=8))
    before = write_tiny_bundle(tmp_path / "tiny", model)
    loose = replace(GATE, psnr_loss_db=50.0, sam_percent=1e4, sam_p95_percent=1e4, worst_band_rmse=5.0, psnr_db=1.0)
    calibrate(tmp_path / "tiny", "int8", scenes, loose, output=tmp_path / "new", say=silent)
    after = Bundle.open(tmp_path / "new")
    graph = after.manifest.graphs["int8"]
    assert (graph.whole, graph.given) == ("int8.onnx", "int8-given.onnx")
    assert after.read_bytes("fp32-given.onnx") == before.read_bytes("fp32-given.onnx")
    assert "int8" not in Bundle.open(tmp_path / "tiny").manifest.graphs


def test_without_a_truth_the_gate_judges_against_fp32_and_says_so(tmp_path):
    folder = write_scenes(tmp_path / "scenes", hr_hsi=None)
    write_chain(tmp_path / "chain", chain())
    lines: list[str] = []
    outcome = calibrate(tmp_path / "chain", "int8", folder, replace(GATE, psnr_db=30.0), say=lines.append)
    assert outcome.scores.truth is None
    assert any("judges against FP32 alone" in line for line in lines)
    assert Bundle.open(tmp_path / "chain").manifest.calibration["int8"].psnr_loss_db is None


def test_a_run_that_dies_leaves_the_bundle_whole(tmp_path, scenes, monkeypatch):
    write_chain(tmp_path / "chain", chain())
    before = contents(tmp_path / "chain")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "with_calibration", killed)
    with pytest.raises(KeyboardInterrupt):
        calibrate(tmp_path / "chain", "int8", scenes, GATE, say=silent)
    assert contents(tmp_path / "chain") == before


def test_a_model_without_a_graph_has_nothing_to_calibrate(tmp_path, scenes):
    write_tiny_bundle(tmp_path / "regression", regression_manifest(2))
    with pytest.raises(InputError, match="has no graph, so there is nothing to calibrate"):
        calibrate(tmp_path / "regression", "int8", scenes, GATE, say=silent)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain())
    with pytest.raises(OutputError, match="does not exist; create it first"):
        calibrate(tmp_path / "chain", "int8", scenes, GATE, output=tmp_path / "no" / "where", say=pytest.fail)
    with pytest.raises(InputError, match=r"is a .zip file, which takes no report"):
        calibrate(tmp_path / "chain", "int8", scenes, GATE, output=tmp_path / "new.zip", say=pytest.fail)


@pytest.mark.parametrize("least", range(1, 12))
def test_halving_finds_the_fewest_layers_that_pass(least):
    tried: list[int] = []

    def passes(count):
        tried.append(count)
        return count >= least

    assert fewest(11, passes) == least
    assert len(tried) <= 5


def test_halving_gives_up_where_not_even_all_pass():
    assert fewest(11, lambda count: False) is None
    assert fewest(0, lambda count: True) is None
