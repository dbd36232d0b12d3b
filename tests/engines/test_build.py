"""The build matrix makes what it can, proves it, packs and signs it, and says what must be made elsewhere."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import pytest

import engines.build
from engines.build import Order, build_bundle, prove_engine
from engines.cli import main
from engines.sign import make_keys, sign_bundle
from engines.targets import chosen_targets, read_target
from hsi_edge.bundle import Bundle
from hsi_edge.engine_build import plan_shapes
from hsi_edge.engine_store import EngineFacts, plan_file, save_engine, stored_engines
from hsi_edge.errors import EngineLoadError, InputError, MissingPackageError, OutputError
from hsi_edge.signing import KEY_VARIABLE, verify_bundle
from tests.tiny_bundles import plain_manifest, regression_manifest, write_tiny_bundle

VERSION = "1.7.1"


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "tiny", plain_manifest())


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def fake(monkeypatch):
    """An engine builder that compiles nothing; `changes` go into the facts that it stores."""
    changes = {}

    def build(bundle, order, root):
        ((form, shapes),) = plan_shapes(bundle.manifest, order.tile_lr, order.frame_lr).items()
        graph = bundle.read_bytes(bundle.manifest.graphs[order.precision].whole)
        facts = EngineFacts(
            backend=order.kind,
            version=VERSION,
            platform="linux-x86_64",
            device="",
            compute_capabilities=order.capabilities,
            driver="",
            precision=order.precision,
            tile_lr=order.tile_lr,
            flags={},
            layers_checked=True,
            built="2026-11-21",
            plans={form: plan_file(form, b"plan", graph=graph, shapes=shapes)},
        )
        return save_engine(root, replace(facts, **changes), {form: b"plan"})

    monkeypatch.setattr(engines.build, "build_engine", build)
    monkeypatch.setattr(engines.build, "load_tensorrt", lambda _: SimpleNamespace(__version__=VERSION))
    monkeypatch.setattr(engines.build, "this_platform", lambda: "linux-x86_64")
    return changes


def order(*names, **fields):
    return Order(targets=chosen_targets(names), **fields)


def silent(_):
    pass


def test_a_signed_zip_file_holds_the_engines_of_every_target_that_was_made(bundle, keys, fake, tmp_path):
    names = ("rtx-30", "rtx-50", "jetson-orin-nano", "cpu-x86-64")
    result = build_bundle(bundle.path, order(*names, key=keys[0]), tmp_path / "out.zip", silent)
    rows = result.rows
    assert [(row.target, row.status) for row in rows] == [
        ("rtx-30", "made and proved"),
        ("rtx-50", "made and proved"),
        ("jetson-orin-nano", "to be made there"),
        ("cpu-x86-64", "nothing to make"),
    ]
    assert rows[2].where == "on the device itself: hsi-edge build tiny-x2"
    covered = verify_bundle(result.path, keys[1])
    made = [row.where for row in rows if row.status == "made and proved"]
    assert all(f"{folder}/whole.plan" in covered and f"{folder}/engine.yaml" in covered for folder in made)
    with zipfile.ZipFile(result.path) as archive:
        assert json.loads(archive.read("report/engines.json"))["rows"][0]["target"] == "rtx-30"


def test_without_an_output_the_engines_go_into_the_bundle_itself(bundle, fake):
    build_bundle(bundle.path, order("rtx-40"), None, silent)
    (engine,), unreadable = stored_engines(bundle.path / "engines")
    assert engine.facts.compute_capabilities == ("8.9",)
    assert unreadable == []
    assert "rtx-40" in (bundle.path / "report" / "engines.md").read_text()


def test_the_bundle_that_is_copied_stays_as_it_was(bundle, fake, tmp_path):
    build_bundle(bundle.path, order("rtx-40"), tmp_path / "out", silent)
    assert not (bundle.path / "engines").exists()
    assert Bundle.open(tmp_path / "out").fingerprint == bundle.fingerprint


def test_a_zipped_bundle_keeps_the_engines_that_it_had(bundle, fake, tmp_path):
    build_bundle(bundle.path, order("rtx-20"), tmp_path / "first.zip", silent)
    build_bundle(tmp_path / "first.zip", order("rtx-30"), tmp_path / "second", silent)
    capabilities = {one.facts.compute_capabilities for one in stored_engines(tmp_path / "second" / "engines")[0]}
    assert capabilities == {("7.5",), ("8.6",)}


def test_a_zipped_bundle_needs_a_place_for_the_result(bundle, fake, tmp_path):
    build_bundle(bundle.path, order("rtx-20"), tmp_path / "first.zip", silent)
    with pytest.raises(InputError, match="name a place for the result with -o"):
        build_bundle(tmp_path / "first.zip", order("rtx-30"), None, silent)


def test_targets_that_are_all_built_elsewhere_are_refused_with_the_commands(bundle, tmp_path):
    with pytest.raises(InputError, match=r"cannot build for any.*jetson-orin-nx on the device itself: hsi-edge build"):
        build_bundle(bundle.path, order("jetson-orin-nx", "h200"), tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_on_another_processor_rtx_engines_are_to_be_made_elsewhere(bundle, fake, monkeypatch):
    monkeypatch.setattr(engines.build, "this_platform", lambda: "linux-aarch64")
    rows = build_bundle(bundle.path, order("rtx-30", "cpu-aarch64"), None, silent).rows
    assert rows[0].status == "to be made there"
    assert rows[0].where.startswith("on a linux-x86_64 machine: python -m engines build")


def test_a_precision_that_the_bundle_lacks_is_wrong_use(bundle):
    with pytest.raises(InputError, match="no graph in int8, only in fp32; make one with python -m calib"):
        build_bundle(bundle.path, order("rtx-30", precisions=["int8"]), None, silent)


def test_a_model_without_a_graph_needs_no_engine(tmp_path, fake):
    regression = write_tiny_bundle(tmp_path / "regression", regression_manifest())
    result = build_bundle(regression.path, order("rtx-30"), None, silent)
    assert [row.status for row in result.rows] == ["nothing to make"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"compute_capabilities": ("8.9",)}, "built for compute capability 8.9"),
        ({"version": "1.6.0"}, "built with tensorrt-rtx 1.6.0; here is 1.7.1"),
        ({"tile_lr": (4, 4)}, "its tile of 4 x 4"),
    ],
)
def test_an_engine_that_its_device_would_refuse_is_not_delivered(bundle, fake, tmp_path, change, reason):
    fake.update(change)
    with pytest.raises(EngineLoadError, match=f"rtx-30 would not take the engine made for it: .*{reason}"):
        build_bundle(bundle.path, order("rtx-30"), tmp_path / "out.zip", silent)
    assert not (tmp_path / "out.zip").exists()
    assert list(tmp_path.iterdir()) == [bundle.path]


def test_an_engine_whose_layers_nobody_saw_is_not_delivered(bundle, fake):
    fake["layers_checked"] = False
    with pytest.raises(EngineLoadError, match="layers could not be checked"):
        build_bundle(bundle.path, order("rtx-30"), None, silent)


def test_an_altered_plan_is_not_proved(bundle, fake):
    build_bundle(bundle.path, order("rtx-30"), None, silent)
    (engine,), _ = stored_engines(bundle.path / "engines")
    prove_engine(bundle, read_target("rtx-30"), engine)
    (engine.folder / "whole.plan").write_bytes(b"palm")
    with pytest.raises(EngineLoadError, match="altered"):
        prove_engine(bundle, read_target("rtx-30"), engine)


def test_an_old_signature_that_does_not_cover_the_new_engines_is_pointed_out(bundle, keys, fake):
    build_bundle(bundle.path, order("rtx-30", key=keys[0]), None, silent)
    said = []
    build_bundle(bundle.path, order("rtx-40"), None, said.append)
    assert "does not cover what was made here" in said[-1]
    assert not any("sm89" in name for name in verify_bundle(bundle.path, keys[1]))


def test_a_key_that_is_none_stops_the_build_before_it_begins(bundle, fake, tmp_path):
    with pytest.raises(InputError, match="private key"):
        build_bundle(bundle.path, order("rtx-30", key=tmp_path / "nowhere.pem"), None, silent)
    assert not (bundle.path / "engines").exists()


def test_an_output_that_cannot_be_written_is_named(bundle, fake, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        build_bundle(bundle.path, order("rtx-30"), tmp_path / "missing" / "out", silent)


def test_a_folder_that_is_no_bundle_is_not_replaced(bundle, fake, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("a year's")
    with pytest.raises(OutputError, match="is no bundle, so it is not replaced"):
        build_bundle(bundle.path, order("rtx-30"), tmp_path / "mine", silent)
    assert (tmp_path / "mine" / "work.txt").read_text() == "a year's"


def test_a_bench_that_trusts_a_key_builds_and_signs(bundle, keys, fake, tmp_path, monkeypatch):
    sign_bundle(bundle.path, keys[0])
    monkeypatch.setenv(KEY_VARIABLE, str(keys[1]))
    result = build_bundle(bundle.path, order("rtx-30", key=keys[0]), tmp_path / "out.zip", silent)
    assert Bundle.open(result.path).covered.keys() > bundle.manifest.files.keys()


def test_without_the_library_the_build_says_how_to_get_it(bundle, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorrt_rtx_bindings", None)
    monkeypatch.setattr(engines.build, "this_platform", lambda: "linux-x86_64")
    with pytest.raises(MissingPackageError, match="tensorrt_rtx_bindings"):
        build_bundle(bundle.path, order("rtx-30"), None, silent)


def test_the_real_compiler_builds_for_the_cards_of_four_series(bundle, tmp_path):
    """NVIDIA's own, which needs no GPU; nothing of it is run here."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    names = ("rtx-20", "rtx-30", "rtx-40", "rtx-50")
    result = build_bundle(bundle.path, order(*names, frame_lr=(24, 24)), tmp_path / "out", silent)
    assert [row.status for row in result.rows] == ["made and proved"] * 4
    made, _ = stored_engines(result.path / "engines")
    assert {one.facts.compute_capabilities for one in made} == {("7.5",), ("8.6",), ("8.9",), ("12.0",)}


def test_the_command_prints_the_table_and_signs(bundle, keys, fake, tmp_path, capsys):
    command = ["build", str(bundle.path), "--targets", "rtx-30", "gb10", "--key", str(keys[0])]
    assert main([*command, "-o", str(tmp_path / "out.zip")]) == 0
    printed = capsys.readouterr().out
    assert "made and proved" in printed
    assert "on the device itself: hsi-edge build tiny-x2" in printed
    assert printed.endswith("out.zip, signed\n")


def test_an_unknown_target_is_wrong_use_for_the_command(bundle, capsys):
    assert main(["build", str(bundle.path), "--targets", "rtx-60"]) == 2
    assert "there is no target 'rtx-60'; there are" in capsys.readouterr().err
