"""Predictions follow the roofline, plan tiles as the engine does, and say what they are."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.cli import main
from engines.layers import Layer
from engines.roofline import EFFICIENCY, ROOFLINE, Speeds, Work, plan_work
from engines.roofline_report import figures_table, measure, predict, predict_all, roofline_markdown
from engines.targets import read_target
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError, TilingError
from tests.tiny_bundles import fusion_manifest, plain_manifest, regression_manifest, write_tiny_bundle

SPEEDS = Speeds({"fp32": 1e12, "fp16": 4e12}, 1e11)
ORIN, TURING = read_target("jetson-orin-nx"), read_target("rtx-20")

numbers = st.integers(1, 10**12)
layers = st.builds(Layer, st.just("layer"), st.just("Conv"), st.sampled_from(["fp32", "fp16"]), numbers, numbers)
works = st.lists(st.tuples(st.lists(layers, min_size=1, max_size=4).map(tuple), st.integers(1, 9)), min_size=1).map(
    lambda runs: Work((8, 8), 1, tuple(runs), assumed=False)
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", fusion_manifest())


def test_a_layer_takes_the_longer_of_its_arithmetic_and_its_traffic():
    busy, waiting = Layer("a", "Conv", "fp32", 10**12, 10**9), Layer("b", "Conv", "fp32", 10**9, 10**11)
    work = Work((8, 8), 3, (((busy, waiting), 3),), assumed=False)
    assert work.seconds(SPEEDS, ROOFLINE) == pytest.approx(3 * (2.0 + 1.0))
    assert work.memory_bound_share(SPEEDS) == pytest.approx(1 / 3)
    assert (work.macs, work.moved_bytes) == (3 * (10**12 + 10**9), 3 * (10**9 + 10**11))


@given(works)
def test_nothing_is_expected_to_be_faster_than_the_roofline(work):
    assert work.seconds(SPEEDS, EFFICIENCY) > work.seconds(SPEEDS, ROOFLINE)
    assert 0 <= work.memory_bound_share(SPEEDS) <= 1 + 1e-9


@given(works, st.floats(0.1, 1), st.floats(0.1, 1))
def test_a_slower_power_mode_is_never_faster(work, compute, memory):
    assert work.seconds(SPEEDS.slowed(compute, memory), ROOFLINE) >= work.seconds(SPEEDS, ROOFLINE) * (1 - 1e-9)


def test_an_arithmetic_that_the_device_lacks_in_a_layer_runs_as_fp32():
    layer = Layer("a", "Conv", "int8", 10**12, 1)
    assert Work((8, 8), 1, (((layer,), 1),), assumed=False).seconds(SPEEDS, ROOFLINE) == pytest.approx(2.0)


def test_halos_are_counted(tmp_path):
    plain = write_tiny_bundle(tmp_path / "plain", plain_manifest())
    whole = plan_work(plain, (128, 128), "fp32", SPEEDS)
    tiled = plan_work(plain, (128, 128), "fp32", SPEEDS, tile_px=(32, 32))
    assert whole.n_tiles == 1
    assert tiled.macs == whole.macs * tiled.n_tiles * 32**2 / 128**2
    assert tiled.macs > whole.macs


def test_tiles_with_given_statistics_are_counted_with_the_pass_that_measures_them(bundle):
    single, tiled = (plan_work(bundle, (128, 128), "fp32", SPEEDS, tile_px=tile) for tile in ((128, 128), (32, 32)))
    assert [times for _, times in single.runs] == [1]
    assert sorted(times for _, times in tiled.runs) == [1, tiled.n_tiles]


def test_less_memory_means_smaller_tiles_and_too_little_none(bundle):
    large = plan_work(bundle, (512, 512), "fp32", SPEEDS)
    small = plan_work(bundle, (512, 512), "fp32", SPEEDS, memory_bytes=4e6)
    assert small.n_tiles > large.n_tiles
    with pytest.raises(TilingError, match="holds no tile"):
        plan_work(bundle, (512, 512), "fp32", SPEEDS, memory_bytes=1e5)


def test_a_precision_without_a_graph_is_counted_on_the_fp32_graph_and_said_so(bundle):
    wide, narrow = (predict(bundle, ORIN, (64, 64), precision) for precision in ("fp32", "int8"))
    assert (wide.assumed, narrow.assumed) == (False, True)
    assert narrow.moved_mb == pytest.approx(wide.moved_mb / 4)
    text = roofline_markdown(bundle, (64, 64), [wide, narrow], [ORIN], None)
    assert "int8 (1)" in text
    assert "(1) The bundle has no such graph" in text


def test_a_report_says_that_it_predicts_and_which_figures_are_from_memory(bundle):
    predictions = predict_all(bundle, [ORIN], (64, 64), ["fp16"])
    text = roofline_markdown(bundle, (64, 64), predictions, [ORIN], None)
    assert "These are predictions, not measurements" in text
    assert "from memory: memory_gb_s" in text
    assert "from memory, to be checked" in text
    assert "| 25W" in text


def test_figures_are_listed_with_their_source():
    assert "fpsbench.com" in figures_table([read_target("rtx-40")])


def test_precisions_that_a_target_does_not_run_are_left_out_or_refused_where_none_is_left(bundle):
    both = predict_all(bundle, [TURING, read_target("cpu-x86-64")], (64, 64), ["bf16"])
    assert [one.target for one in both] == ["cpu-x86-64"]
    with pytest.raises(InputError, match="no figures for bf16 there; choose a --precision of rtx-20: fp32, fp16, int8"):
        predict_all(bundle, [TURING], (64, 64), ["bf16"])


def test_a_frame_that_does_not_fit_the_ratio_is_refused(bundle):
    with pytest.raises(InputError, match="63x64 HR pixels; wanted multiples of the ratio, 2"):
        plan_work(bundle, (63, 64), "fp32", SPEEDS)


def test_a_model_without_a_graph_has_no_roofline(tmp_path):
    regression = write_tiny_bundle(tmp_path / "regression", regression_manifest())
    with pytest.raises(InputError, match="has no graph"):
        plan_work(regression, (64, 64), "fp32", SPEEDS)


def test_this_machine_is_predicted_from_its_own_peaks_and_measured_beside(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path))
    monkeypatch.setattr("engines.peaks.SIDE", 128)
    monkeypatch.setattr("engines.peaks.COPY_BYTES", 1 << 20)
    monkeypatch.setattr("engines.peaks.SECONDS", 0.0)
    measured = measure(bundle, (64, 64))
    assert measured.engine_ms > 0
    assert measured.prediction.roofline_ms > 0
    assert math.isfinite(measured.tflops * measured.copy_gb_s)
    text = roofline_markdown(bundle, (64, 64), [], [], measured)
    assert "of the roofline's speed" in " ".join(text.split())


def test_the_command_prints_and_writes_its_predictions(bundle, tmp_path, capsys):
    command = ["roofline", str(bundle.path), "--target", "h200", "--frame", "64x96", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    assert "frames of 64 x 96 HR pixels" in capsys.readouterr().out
    predictions = json.loads((tmp_path / "out" / "roofline.json").read_text())["predictions"]
    assert [one["precision"] for one in predictions] == ["fp32", "fp16", "int8"]


def test_an_unknown_target_is_wrong_use(bundle, capsys):
    assert main(["roofline", str(bundle.path), "--target", "h2000"]) == 2
    assert "there is no target 'h2000'" in capsys.readouterr().err


def test_a_bundle_opened_again_gives_the_same_prediction(bundle):
    one, two = (predict(Bundle.open(bundle.path), ORIN, (64, 64), "fp16") for _ in range(2))
    assert one == two
