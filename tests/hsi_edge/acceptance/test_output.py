"""The files of a check: strict JSON, and all three or none."""

from __future__ import annotations

import json

import pytest

from hsi_edge.acceptance import output
from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.output import json_of, write_check
from hsi_edge.errors import OutputError
from tests.hsi_edge.acceptance.checks import accuracy, check_of, engine_check, scores

CHECK = check_of(Gate(max_p50_ms=50.0), engine_check())


def strict(text):
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_json_holds_the_verdicts_every_frame_and_the_conditions():
    plain = strict(json_of(CHECK))
    assert plain["passed"] is True
    assert [verdict["gate"] for verdict in plain["verdicts"]] == ["no_lost_pixels", "max_p50_ms"]
    (engine,) = plain["engines"]
    assert len(engine["run"]["latencies_ms"]) == 100
    assert engine["run"]["starts_s"][:2] == [0, 0.1]
    assert engine["memory"]["gpu_bytes"] is None
    assert plain["conditions"]["untold"] == {"NVML": "no driver"}


def test_json_has_words_for_what_is_exact_and_null_for_what_is_no_number():
    odd = accuracy(to_fp32=scores(psnr_db=float("inf"), sam_deg=float("nan")))
    plain = strict(json_of(check_of(Gate(max_p50_ms=50.0), engine_check(accuracy=(odd,)))))
    told = plain["engines"][0]["accuracy"][0]["to_fp32"]
    assert (told["psnr_db"], told["sam_deg"]) == ("infinite", None)


def test_json_names_no_folder_of_the_machine(tmp_path):
    engine = engine_check()
    engine = engine_check(settings=type(engine.settings)(bundle=tmp_path / "tiny"))
    assert str(tmp_path) not in json_of(check_of(Gate(max_p50_ms=50.0), engine))


def test_three_files_are_written_and_replace_older_ones(tmp_path):
    (tmp_path / "check.json").write_text("old")
    paths = write_check(tmp_path, CHECK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.html", "check.json", "check.junit.xml"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_a_failure_in_between_leaves_the_old_files_whole(tmp_path, monkeypatch):
    write_check(tmp_path, CHECK)
    before = {path: path.read_text() for path in tmp_path.iterdir()}

    def interrupted(check):
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "page_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_check(tmp_path, check_of(Gate(max_p50_ms=1.0), engine_check()))
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_folder_that_went_away_is_told(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        write_check(tmp_path / "gone", CHECK)
