"""Engines on the disk: written whole, read strictly, no plan handed out unchecked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.engine_store import (
    FACTS,
    MAX_FACTS_BYTES,
    EngineFacts,
    PlanFile,
    device_engines,
    plan_file,
    save_engine,
    stored_engines,
)
from hsi_edge.errors import EngineLoadError, ManifestError, OutputError
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain
from tests.tiny_bundles import plain_manifest, write_tiny_bundle

PLAN = b"a plan"
SHAPES = {"base": (1, 5, 8, 12), "hr_msi": (1, 3, 8, 12)}


def facts(**changes):
    made = EngineFacts(
        backend="tensorrt-rtx",
        version="1.7.1.116",
        platform="linux-x86_64",
        device="",
        compute_capabilities=("8.6", "12.0"),
        driver="",
        precision="fp32",
        tile_lr=(4, 6),
        flags={"tf32": False},
        layers_checked=True,
        built="2026-01-01",
        plans={"whole": plan_file("whole", PLAN, graph=b"a graph", shapes=SHAPES)},
    )
    return replace(made, **changes)


def test_an_engine_comes_back_as_it_was_saved(tmp_path):
    given_plan = plan_file("given", b"another", graph=b"given", shapes={**SHAPES, "statistics": (1, 12)})
    wanted = facts(plans={**facts().plans, "given": given_plan})
    save_engine(tmp_path / "engines", wanted, {"whole": PLAN, "given": b"another"})
    engines, unreadable = stored_engines(tmp_path / "engines")
    assert unreadable == []
    assert [engine.facts for engine in engines] == [wanted]
    assert engines[0].read_plan("whole") == PLAN
    assert engines[0].read_plan("given") == b"another"


def test_an_engine_is_named_by_what_it_is_valid_for(tmp_path):
    assert facts().engine_id == "tensorrt-rtx-1.7.1.116-linux-x86_64-sm86-sm120-fp32-4x6"
    on_device = facts(backend="tensorrt", version="10.3.0", device="Orin (nvgpu)", compute_capabilities=("8.7",))
    assert on_device.engine_id == "tensorrt-10.3.0-linux-x86_64-orin-nvgpu-fp32-4x6"


def test_an_engine_of_the_same_identity_is_replaced_as_a_whole(tmp_path):
    save_engine(tmp_path, facts(), {"whole": PLAN})
    newer = facts(plans={"whole": plan_file("whole", b"newer", graph=b"a graph", shapes=SHAPES)})
    engine = save_engine(tmp_path, newer, {"whole": b"newer"})
    assert engine.read_plan("whole") == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == [facts().engine_id]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A plan", "its bytes were altered; build the engine anew"),
        (b"a pla", "has 5 bytes, its facts say 6"),
        (b"a plan and more", "has 15 bytes, its facts say 6"),
        (None, r"cannot be read \(No such file or directory\)"),
    ],
)
def test_a_plan_that_is_not_the_one_built_is_never_handed_out(tmp_path, data, message):
    engine = save_engine(tmp_path, facts(), {"whole": PLAN})
    file = engine.folder / "whole.plan"
    file.unlink() if data is None else file.write_bytes(data)
    with pytest.raises(EngineLoadError, match=message):
        engine.read_plan("whole")


def test_a_form_that_was_not_built_is_named(tmp_path):
    engine = save_engine(tmp_path, facts(), {"whole": PLAN})
    with pytest.raises(EngineLoadError, match="has no plan for the form given; it has whole"):
        engine.read_plan("given")


def test_a_root_that_is_not_there_holds_no_engines(tmp_path):
    assert stored_engines(tmp_path / "none") == ([], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"backend: tensorrt\n", "version is missing"),
        (b"backend: [", "not readable YAML"),
        (b"x" * (MAX_FACTS_BYTES + 1), f"wanted at most {MAX_FACTS_BYTES}"),
        (None, "No such file"),
    ],
)
def test_an_unreadable_engine_is_reported_and_the_others_are_still_found(tmp_path, text, message):
    save_engine(tmp_path, facts(), {"whole": PLAN})
    broken = tmp_path / "broken"
    broken.mkdir()
    if text is not None:
        (broken / FACTS).write_bytes(text)
    engines, unreadable = stored_engines(tmp_path)
    assert [engine.facts for engine in engines] == [facts()]
    assert len(unreadable) == 1
    assert "the engine broken cannot be read" in unreadable[0]
    assert message in unreadable[0]


def test_a_key_that_is_not_known_makes_an_engine_unreadable(tmp_path):
    engine = save_engine(tmp_path, facts(), {"whole": PLAN})
    with (engine.folder / FACTS).open("a") as stream:
        stream.write("precisions: fp16\n")
    _, unreadable = stored_engines(tmp_path)
    assert "unknown key precisions (did you mean precision?)" in unreadable[0]


def test_what_a_killed_build_left_is_no_engine(tmp_path):
    (tmp_path / ".part-0011aabb-engine").mkdir()
    (tmp_path / "a file").write_text("of the user")
    assert stored_engines(tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compute_capabilities": ()}, "compute_capabilities is .*wanted such as"),
        ({"compute_capabilities": ("sm_86",)}, "compute_capabilities is .*sm_86"),
        ({"tile_lr": (4,)}, "tile_lr is .*wanted rows and columns"),
        ({"tile_lr": (0, 4)}, "tile_lr is .*wanted rows and columns"),
        ({"plans": {}}, "plans is .*wanted a plan for the form whole"),
    ],
)
def test_facts_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        facts(**changes)


@pytest.mark.parametrize("file", ["../whole.plan", "/etc/whole.plan", "a/b.plan", ".plan", "whole.so", "..plan\n"])
def test_a_plan_lies_in_its_engines_folder(file):
    good = facts().plans["whole"]
    with pytest.raises(ManifestError, match=r"file is .*wanted the name of a \.plan file, no path"):
        replace(good, file=file)


@given(
    backend=st.sampled_from(["tensorrt", "tensorrt-rtx"]),
    precision=st.sampled_from(["fp32", "fp16", "int8"]),
    device=st.text(max_size=30),
    tile=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    flags=st.dictionaries(st.text(min_size=1, max_size=8), st.booleans() | st.integers(-5, 5) | st.text(max_size=5)),
)
def test_facts_survive_the_file(backend, precision, device, tile, flags):
    made = facts(backend=backend, precision=precision, device=device, tile_lr=tile, flags=flags)
    data = yaml_from_plain(plain_from_record(made))
    assert record_from_plain(EngineFacts, plain_from_yaml(data, MAX_FACTS_BYTES)) == made
    assert made.engine_id.strip(".-") == made.engine_id
    assert "/" not in made.engine_id


def test_where_nothing_can_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot make the folder"):
        save_engine(tmp_path / "file" / "engines", facts(), {"whole": PLAN})


def test_a_devices_engines_are_told_apart_by_model_and_graph(tmp_path, monkeypatch):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    bundle = write_tiny_bundle(tmp_path / "bundle", plain_manifest())
    graph = bundle.manifest.files["fp32.onnx"].sha256
    assert device_engines(bundle) == tmp_path / "cache" / "engines" / f"tiny-x2-{graph[:12]}"


def test_a_plan_file_holds_what_it_is_checked_by():
    plan = plan_file("whole", PLAN, graph=b"a graph", shapes=SHAPES)
    assert isinstance(plan, PlanFile)
    assert (plan.size_bytes, plan.shapes) == (len(PLAN), SHAPES)
    assert plan.sha256 != plan.graph_sha256
