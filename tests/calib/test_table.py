from __future__ import annotations

import json

import pytest

from calib.calibrate import calibrate
from calib.gate import DEFAULT_GATES
from calib.table import tabulate
from hsi_edge.errors import OutputError
from tests.calib.chain import chain, write_chain, write_scenes
from tests.tiny_bundles import regression_manifest, write_tiny_bundle

MACHINE = {"cpu": "test", "date": "today"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    write_chain(folder / "chain", chain(1000.0))
    scenes = write_scenes(folder / "train")
    calibrate(folder / "chain", "int8", scenes, DEFAULT_GATES["int8"], say=lambda _: None)
    return folder / "chain"


@pytest.fixture
def scenes(tmp_path):
    return write_scenes(tmp_path / "test", 2)


def test_every_precision_is_told_with_what_was_put_back(bundle, scenes, tmp_path):
    write_tiny_bundle(tmp_path / "regression", regression_manifest(2))
    text = tabulate([bundle, tmp_path / "regression"], scenes, tmp_path / "docs", MACHINE, lambda _: None)
    assert "## chain-x2" in text
    assert "INT8 (minmax): put back to FP16, as it failed without: third." in text
    assert "not offered" in text
    assert (tmp_path / "docs" / "precision.md").read_text() == f"{text}\n"
    known = json.loads((tmp_path / "docs" / "precision.json").read_text())
    assert [row["precision"] for row in known["chain-x2"]["rows"]][:3] == ["fp32", "fp16", "int8"]
    assert known.keys() == {"chain-x2"}


def test_a_bundle_is_measured_once_until_it_or_the_scenes_change(bundle, scenes, tmp_path):
    lines: list[str] = []
    for _ in range(2):
        tabulate([bundle], scenes, tmp_path / "docs", MACHINE, lines.append)
    assert lines[-1] == "chain-x2 is in the table already"
    write_scenes(tmp_path / "more", 3)
    tabulate([bundle], tmp_path / "more", tmp_path / "docs", MACHINE, lines.append)
    assert lines[-1].startswith("chain-x2, INT8")


def test_the_rows_of_other_bundles_stay(bundle, scenes, tmp_path):
    (tmp_path / "docs").mkdir()
    other = {"key": "k", "scenes": ["s"], "machine": MACHINE, "rows": []}
    (tmp_path / "docs" / "precision.json").write_text(json.dumps({"zebra": other}))
    text = tabulate([bundle], scenes, tmp_path / "docs", MACHINE, lambda _: None)
    assert text.index("## chain-x2") < text.index("## zebra")


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": {"b": 1}}', '{"a": 3}'])
def test_another_file_of_that_name_is_left_alone(bundle, scenes, tmp_path, text):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "precision.json").write_text(text)
    with pytest.raises(OutputError, match=r"precision\.json"):
        tabulate([bundle], scenes, tmp_path / "docs", MACHINE, lambda _: None)
    assert (tmp_path / "docs" / "precision.json").read_text() == text
