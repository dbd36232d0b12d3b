from __future__ import annotations

import json

import pytest

from hsi_edge.errors import OutputError
from hsi_edge.report.measured import facts, table, write_measured


def test_table_aligns_words_to_the_left_and_numbers_to_the_right():
    assert table(["row", "seconds"], [["torch", "8.64"], ["engine, FP32", "2.1"]]).splitlines() == [
        "| row          | seconds |",
        "| ------------ | ------: |",
        "| torch        |    8.64 |",
        "| engine, FP32 |     2.1 |",
    ]


def test_table_without_rows_is_its_header():
    assert table(["a"], []).splitlines() == ["| a   |", "| --- |"]


def test_facts_leave_out_what_is_empty():
    assert facts({"cpu": "one", "threads": ""}) == "- cpu: one"


def test_both_files_are_written_into_a_new_folder(tmp_path):
    write_measured(tmp_path / "a" / "b", "speed", "# Speed", {"seconds": 1.5})
    assert (tmp_path / "a" / "b" / "speed.md").read_text() == "# Speed\n"
    assert json.loads((tmp_path / "a" / "b" / "speed.json").read_text()) == {"seconds": 1.5}


def test_file_in_the_folder_s_place_is_named(tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot make the folder .*report"):
        write_measured(tmp_path / "report", "speed", "", {})
    assert (tmp_path / "report").read_text() == "mine"
