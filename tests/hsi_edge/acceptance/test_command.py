"""The check from end to end on a small model: exit codes, files, and what a stranger sees."""

from __future__ import annotations

import argparse
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from hsi_edge.acceptance import check as check_module
from hsi_edge.acceptance.command import add_arguments, against, run
from hsi_edge.acceptance.result import Settings
from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import InputError, OutputError
from hsi_edge.io import write
from tests.tiny_bundles import WAVELENGTHS_NM, fusion_manifest, lr_manifest, regression_manifest, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", fusion_manifest()).store.path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, bundle):
    """One scene whose truth is what the model gives, with a little noise."""
    folder = tmp_path_factory.mktemp("scenes") / "field"
    folder.mkdir()
    rng = np.random.default_rng(4)
    lr_hsi, hr_msi = rng.random((10, 9, 5), np.float32), rng.random((20, 18, 3), np.float32)
    with HSIEngine(bundle, precision="fp32") as engine:
        truth = engine.run(lr_hsi, hr_msi) + rng.normal(0, 0.01, (20, 18, 5)).astype(np.float32)
    nm = np.array(WAVELENGTHS_NM)
    write(folder / "lr_hsi.hdr", Cube(data=lr_hsi, wavelengths_nm=nm, quantity="reflectance"))
    write(folder / "hr_msi.npy", Cube(data=hr_msi))
    write(folder / "hr_hsi.hdr", Cube(data=truth, wavelengths_nm=nm, quantity="reflectance"))
    return folder.parent


def checked(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(word) for word in words]))


def gate(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return path


def facts(folder):
    return json.loads((folder / "check.json").read_text())


def test_a_model_that_meets_its_gate_exits_with_0_and_leaves_its_report(bundle, scenes, tmp_path, capsys):
    passing = gate(tmp_path, "max_p99_ms: 60000\nmin_psnr_db: 30\nmax_psnr_loss_db: 0.02\nno_fallback: true\n")
    assert checked(bundle, "-o", tmp_path / "out", "--data", scenes, "--gate", passing, "--frames", 12) == 0
    out = capsys.readouterr().out
    assert "Passed: tiny-x2" in out
    assert "check.html" in out
    found = facts(tmp_path / "out")
    assert found["passed"] is True
    (engine,) = found["engines"]
    assert [scene["scene"] for scene in engine["accuracy"]] == ["golden pair", "field"]
    assert engine["accuracy"][1]["to_truth"]["psnr_db"] == pytest.approx(40, abs=1)
    assert len(engine["run"]["latencies_ms"]) == 12
    assert engine["frames"].startswith("LR-HSI of 10 × 9 × 5")
    assert engine["opening"]["open_ms"] > 0
    assert engine["memory"]["peak_bytes"] > 0
    assert set(engine["latency"]["stages_ms"]) >= {"prepare", "tiles", "total"}
    suite = ElementTree.parse(tmp_path / "out" / "check.junit.xml").getroot()
    assert suite.get("failures") == "0"


def test_a_model_that_misses_its_gate_exits_with_1_and_still_leaves_its_report(bundle, scenes, tmp_path, capsys):
    failing = gate(tmp_path, "max_p50_ms: 0.000001\nmin_psnr_db: 99\n")
    assert checked(bundle, "-o", tmp_path / "out", "--data", scenes, "--gate", failing, "--frames", 10) == 1
    assert "Failed: tiny-x2" in capsys.readouterr().out
    outcomes = {verdict["gate"]: verdict["outcome"] for verdict in facts(tmp_path / "out")["verdicts"]}
    assert outcomes == {"no_lost_pixels": "passed", "max_p50_ms": "failed", "min_psnr_db": "failed"}


def test_a_frame_rate_a_size_and_a_soak(bundle, tmp_path):
    words = ("--fps", 200, "--frame", "12x8", "--soak", 0.005, "--frames", 10)
    checked(bundle, "-o", tmp_path / "out", *words)
    (engine,) = facts(tmp_path / "out")["engines"]
    assert engine["frames"].startswith("LR-HSI of 12 × 8 × 5")
    assert engine["latency"]["fps"] == 200
    assert engine["latency"]["deadline_misses"] >= 0
    assert (engine["tile"], engine["n_tiles"]) == ([24, 16], 1)  # of the timed frame, not of the golden pair
    assert engine["soak"]["minutes"] >= 0.005
    assert {curve["unit"] for curve in engine["soak"]["curves"]} >= {"ms"}


def test_two_engines_are_compared_and_the_first_is_judged(bundle, tmp_path):
    other = "backend=onnxruntime,precision=fp32"
    words = ("--precision", "fp32", "--frame", "8x8", "--frames", 10)
    assert checked(bundle, "-o", tmp_path / "out", *words, "--against", other) == 0
    first, second = facts(tmp_path / "out")["engines"]
    assert (first["backend"], second["backend"]) == ("openvino", "onnxruntime")
    assert len(second["run"]["latencies_ms"]) == 10
    assert len(second["run"]["starts_s"]) == 10
    assert second["memory"]["peak_bytes"] is None


def test_an_engine_against_itself_is_told_apart(bundle, tmp_path):
    checked(bundle, "-o", tmp_path / "out", "--frame", "8x8", "--frames", 10, "--against", bundle)
    labels = [engine["label"] for engine in facts(tmp_path / "out")["engines"]]
    assert [label.split()[-1] for label in labels] == ["(checked)", "(against)"]


def test_a_model_without_a_graph_is_checked_on_a_synthetic_frame(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "regression", regression_manifest()).store.path
    assert checked(bundle, "-o", tmp_path / "out", "--frame", "20x20", "--frames", 10) == 0
    found = facts(tmp_path / "out")
    (engine,) = found["engines"]
    assert any("nothing judges its accuracy" in doubt for doubt in found["conditions"]["doubts"])
    assert (engine["backend"], engine["accuracy"][0]["to_fp32"]["psnr_db"]) == ("numpy", "infinite")


def test_a_model_of_the_spectral_frame_alone_is_checked_too(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "single", lr_manifest(("lr_hsi", "base"))).store.path
    assert checked(bundle, "-o", tmp_path / "out", "--frame", "12x12", "--frames", 10) == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--gate", "nowhere.yaml"),
        ("--data", "nowhere"),
        ("--backend", "none such"),
        ("--precision", "fp3"),
        ("--against", "colour=red"),
        ("--against", "precision="),
        ("--against", "memory-mb=much"),
    ],
)
def test_wrong_use_is_an_input_error_and_leaves_no_folder(words, bundle, tmp_path):
    with pytest.raises(InputError):
        checked(bundle, "-o", tmp_path / "out", "--frames", 10, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--frame", "64"),
        ("--frame", "0x64"),
        ("--frames", "9"),
        ("--frames", "many"),
        ("--fps", "0"),
        ("--fps", "nan"),
        ("--soak", "-1"),
        ("--memory-mb", "0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_the_parser(words, capsys):
    with pytest.raises(SystemExit) as stop:
        checked("bundle", "-o", "out", *words)
    assert stop.value.code == 2
    assert "wanted" in capsys.readouterr().err


def test_an_interrupted_check_leaves_nothing_of_its_own_and_everything_of_others(bundle, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(check_module, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checked(bundle, "-o", tmp_path / "deep" / "out", "--frame", "8x8", "--frames", 10)
    assert not (tmp_path / "deep" / "out").exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "check.json").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        checked(bundle, "-o", tmp_path / "kept", "--frame", "8x8", "--frames", 10)
    assert [path.read_text() for path in (tmp_path / "kept").iterdir()] == ["old"]


def test_an_output_that_is_a_file_is_told_before_the_work(bundle, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot make"):
        checked(bundle, "-o", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("other", {"bundle": "other"}),
        ("precision=int8", {"bundle": "mine", "precision": "int8"}),
        ("other,backend=onnxruntime,memory-mb=64", {"bundle": "other", "backend": "onnxruntime", "memory_mb": 64}),
    ],
)
def test_the_other_engine_is_a_bundle_or_settings_or_both(text, settings, tmp_path):
    wanted = Settings(**(settings | {"bundle": tmp_path / settings["bundle"]}))
    assert against(text if "=" in text.split(",")[0] else str(tmp_path / text), tmp_path / "mine") == wanted
