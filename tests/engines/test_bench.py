from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from engines import bench, jobs
from engines.bench import ENGINE, TORCH, Bench, Row
from engines.bench_report import bench_markdown, write_bench
from engines.inferences import Inference, bare_loop, recorded_inferences
from engines.processes import ROOT, Processes
from engines.verdicts import Target
from export.pack import pack_graphless
from hsi_edge.backends import BACKENDS
from hsi_edge.bundle import Bundle
from hsi_edge.errors import InputError

MIB = 2**20


@pytest.fixture(autouse=True)
def _same_backends_after(monkeypatch):
    monkeypatch.setitem(BACKENDS, "recording", "")


def row(name, seconds, growth_mib):
    return Row(name, None, [seconds], [(growth_mib + 100) * MIB], [growth_mib * MIB])


def test_recorded_inferences_are_one_pass_for_the_statistics_and_then_the_tiles(bundle):
    pair = jobs.synthetic_pair(Bundle.open(bundle).manifest, 512)
    first, *tiles = recorded_inferences(str(bundle), "fp32", pair)
    assert not first.given
    assert len(tiles) > 1
    assert set(tiles) == {tiles[0]}
    assert tiles[0].given


def test_inference_survives_json():
    inference = Inference.of({"statistics": np.zeros((1, 4)), "base": np.zeros((1, 2, 8, 8))})
    assert Inference.from_plain(json.loads(json.dumps(inference.plain()))) == inference


def test_bare_loop_runs_what_was_recorded(bundle):
    opened = Bundle.open(bundle)
    recorded = recorded_inferences(str(bundle), "fp32", jobs.synthetic_pair(opened.manifest, 64))
    bare_loop(opened, recorded, "fp32")()


def test_turns_alternate_after_one_run_each_to_warm_up():
    order = []
    seconds = jobs._interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_job_answers_in_json_with_its_own_memory(bundle):
    arguments = {"bundle": str(bundle), "side": 64, "backend": "openvino", "precision": "fp32", "repeats": 2}
    command = [sys.executable, "-m", "engines.jobs", "run_engine", json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert len(result["seconds"]) == 2
    assert 0 < result["growth_bytes"] < result["peak_bytes"]


def test_job_that_fails_says_why_in_one_line(tmp_path, capsys):
    assert jobs.main(["open_bundle", json.dumps({"bundle": str(tmp_path / "none")})]) == 1
    assert "there is no model bundle" in capsys.readouterr().err


def test_failed_process_becomes_a_note_and_the_others_are_measured(tmp_path):
    processes = Processes(tmp_path, lambda _line: None)
    failed = Row("failed")
    failed.add(processes.run("failed", ["-c", "import sys; sys.exit('no such device')"]))
    assert (failed.seconds, failed.note) == ([], "no such device")
    assert processes.run("fine", ["-c", "print(0.5)"]) == {"seconds": [0.5]}
    assert list(processes.raw) == ["failed", "fine"]


def test_speed_targets_compare_the_engine_with_torch():
    rows = {
        TORCH: row(TORCH, 8.0, 1600),
        ENGINE["fp32"]: row("fp32", 1.6, 200),
        ENGINE["bf16"]: Row("bf16", note="no BF16"),
    }
    faster, _, growth, bf16, *_ = bench._speed(rows)
    assert (faster.measured, faster.verdict) == (pytest.approx(5.0), "pass")
    assert (growth.measured, growth.verdict) == (pytest.approx(0.125), "pass")
    assert (bf16.verdict, bf16.note) == ("not measured", "no BF16")


def test_int8_must_gain_a_fifth_over_bf16_and_says_what_its_precision_loses():
    int8 = Row(ENGINE["int8"], 0.0731, [1.0], [MIB], [MIB])
    target = bench._int8_gain({ENGINE["int8"]: int8, ENGINE["bf16"]: row("bf16", 1.1, 1)})
    assert (target.measured, target.verdict) == (pytest.approx(1.1), "MISS")
    assert "| 0.073 |" in " ".join(bench_markdown(Bench((row(TORCH, 8.0, 1600), int8), (), {}), {}).split())


def test_without_cuda_the_gpu_row_of_onnx_runtime_says_so(bundle):
    with pytest.raises(InputError, match="this onnxruntime has no CUDA provider"):
        jobs.run_onnxruntime_cuda(str(bundle), 64, 1)


def test_overhead_is_the_median_of_turns_in_percent():
    pairs = {"fp32": {"seconds": {"engine": [1.0, 2.1, 9.0], "bare": [1.0, 2.0, 3.0], "tiles": [0.5, 1.0, 1.5]}}}
    same, tiles = bench._overheads(pairs)
    assert (same.measured, same.verdict) == (pytest.approx(5.0), "MISS")
    assert tiles.measured == pytest.approx(110.0)


def test_bundle_without_a_graph_is_refused(tmp_path):
    bundle = pack_graphless("regression", 8, tmp_path / "regression-x8").path
    with pytest.raises(InputError, match="regression-x8 has no graph"):
        bench.run_bench(bundle, quick=True, say=print)


def test_report_names_each_row_and_why_one_has_no_numbers(tmp_path):
    rows = (row(TORCH, 8.0, 1600), row(ENGINE["fp32"], 1.6, 200), Row(ENGINE["bf16"], note="no BF16 here"))
    measured = Bench(rows, (Target("speed", 5.0, "x", at_least=4.0),), {"first": [{"seconds": [1.0]}]})
    text = bench_markdown(measured, {"cpu": "one"})
    assert "5.00 |        300 |          200 |            0.125 |            |" in text
    assert "no BF16 here" in text
    write_bench(tmp_path, measured, {"cpu": "one"})
    assert json.loads((tmp_path / "bench.json").read_text())["targets"][0]["verdict"] == "pass"
