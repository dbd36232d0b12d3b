from __future__ import annotations

import json

import pytest

from calib.cli import main
from hsi_edge.bundle import Bundle
from tests.calib.chain import chain, write_chain, write_scenes


@pytest.fixture
def scenes(tmp_path):
    return write_scenes(tmp_path / "scenes")


def test_a_bundle_gets_a_graph_and_a_report(tmp_path, scenes, capsys):
    write_chain(tmp_path / "chain", chain(1000.0))
    assert main([str(tmp_path / "chain"), "--precision", "int8", "--data", str(scenes)]) == 0
    assert "int8" in Bundle.open(tmp_path / "chain").manifest.graphs
    text = (tmp_path / "chain" / "report" / "calib-int8.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert "FP16, since the gate failed without, the most sensitive first: third." in text
    assert str(tmp_path) not in text
    plain = json.loads((tmp_path / "chain" / "report" / "calib-int8.json").read_text())
    assert plain["put_back"] == ["third"]
    assert plain["passed"] is True
    assert plain["ranking"][0]["layers"] == ["third"]


def test_a_second_precision_keeps_the_first_and_its_report(tmp_path, scenes):
    write_chain(tmp_path / "chain", chain())
    for precision in ("fp16", "int8"):
        assert main([str(tmp_path / "chain"), "--precision", precision, "--data", str(scenes)]) == 0
    assert set(Bundle.open(tmp_path / "chain").manifest.graphs) == {"fp32", "fp16", "int8"}
    assert (tmp_path / "chain" / "report" / "calib-fp16.md").exists()


def test_a_gate_that_is_not_met_exits_1_with_one_line(tmp_path, scenes, capsys):
    write_chain(tmp_path / "chain", chain())
    gate = tmp_path / "gate.yaml"
    gate.write_text("psnr_db: 140\n")
    words = [str(tmp_path / "chain"), "--precision", "int8", "--data", str(scenes), "--gate", str(gate)]
    assert main(words) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("calib: no INT8 graph of chain-x2 passes the gate")
    assert "int8" not in Bundle.open(tmp_path / "chain").manifest.graphs


@pytest.mark.parametrize("case", ["no scenes", "no bundle", "bad gate"])
def test_wrong_use_exits_2_and_failed_work_1(tmp_path, scenes, capsys, case):
    write_chain(tmp_path / "chain", chain())
    gate = tmp_path / "gate.yaml"
    gate.write_text("psnr_loss_db: -1\n" if case == "bad gate" else "psnr_loss_db: 1\n")
    folder = tmp_path / "nowhere" if case == "no scenes" else scenes
    bundle = tmp_path / "none" if case == "no bundle" else tmp_path / "chain"
    code = main([str(bundle), "--precision", "fp16", "--data", str(folder), "--gate", str(gate)])
    assert code == (1 if case == "no bundle" else 2)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_diff_prints_the_layers_and_the_first_that_diverges(tmp_path, scenes, capsys):
    write_chain(tmp_path / "good", chain())
    write_chain(tmp_path / "bad", chain(broken="second"))
    assert main(["diff", str(tmp_path / "good"), str(tmp_path / "bad"), "--data", str(scenes)]) == 0
    assert "differs by more than 0.001 of its output: second (Conv)" in capsys.readouterr().out
    words = ["diff", str(tmp_path / "good"), str(tmp_path / "bad"), "--data", str(scenes), "--tolerance", "-1"]
    assert main(words) == 2


def test_table_writes_the_docs(tmp_path, scenes, capsys):
    write_chain(tmp_path / "chain", chain())
    assert main(["table", str(tmp_path / "chain"), "--data", str(scenes), "-o", str(tmp_path / "docs")]) == 0
    assert capsys.readouterr().out == (tmp_path / "docs" / "precision.md").read_text()
