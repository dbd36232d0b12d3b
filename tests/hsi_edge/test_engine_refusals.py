"""What is refused is refused before TensorRT sees any of it: nothing is deserialised, and no graph parsed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from engines.sign import make_keys, sign_bundle
from hsi_edge.engine import HSIEngine
from hsi_edge.engine_store import stored_engines
from hsi_edge.errors import SignatureError
from hsi_edge.signing import KEY_VARIABLE
from tests.hsi_edge.machine_with_gpu import CLOSE, built, damage, make_machine, ran
from tests.tiny_bundles import fusion_manifest, plain_manifest, write_tiny_bundle


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Where the runtime's own kernels are compiled to, once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def machine(monkeypatch, tmp_path, kernels):
    return make_machine(monkeypatch, tmp_path, kernels)


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_bundle(tmp_path / "tiny", plain_manifest())


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return [make_keys(tmp_path_factory.mktemp(name)) for name in ("ours", "theirs")]


@pytest.fixture
def signed(machine, tiny, keys, monkeypatch):
    """A signed bundle with an engine, on a device that trusts its key."""
    built(machine, tiny, tiny.path / "engines")
    sign_bundle(tiny.path, keys[0][0])
    monkeypatch.setenv(KEY_VARIABLE, str(keys[0][1]))
    machine.seen.clear()
    return tiny


def test_what_is_signed_and_fits_is_deserialised(machine, signed, rng):
    (engine,), _ = stored_engines(signed.path / "engines")
    report, off = ran(signed, rng)
    assert (report.backend, report.fallback) == (machine.kind, None)
    assert off < CLOSE
    assert machine.seen == [engine.read_plan("whole")]


@pytest.mark.parametrize("file", ["manifest.yaml", "fp32.onnx", "golden.npz", "engine.yaml", "whole.plan"])
def test_a_bundle_altered_after_signing_is_refused_first(machine, signed, file):
    (path,) = signed.path.rglob(file)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(SignatureError, match=f"{file} was altered after the bundle was signed"):
        HSIEngine(signed.path)
    assert machine.seen == []


def test_a_wrong_key_is_refused_first(machine, signed, keys, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, str(keys[1][1]))
    with pytest.raises(SignatureError, match="was not made with the private key to"):
        HSIEngine(signed.path)
    assert machine.seen == []


def test_an_engine_that_the_signature_does_not_cover_is_left_alone(machine, signed, rng):
    added = built(machine, signed, signed.path / "engines", tile_lr=(20, 20))
    machine.seen.clear()
    report, _ = ran(signed, rng)
    assert (report.backend, report.tile) == (machine.kind, (20, 24))
    assert report.fallback == (
        f"tiny-x2 runs on the next best engine, in fp32: {added.folder.name}: the bundle's signature does not "
        "cover it; sign the bundle anew"
    )
    assert added.read_plan("whole") not in machine.seen


def test_facts_that_the_signature_does_not_cover_are_not_even_parsed(signed, rng):
    """Not YAML, and more of it than is ever read."""
    (signed.path / "engines" / "junk").mkdir()
    (signed.path / "engines" / "junk" / "engine.yaml").write_bytes(b"[" * 100_000)
    assert ran(signed, rng)[0].fallback.endswith("junk: the bundle's signature does not cover it; sign the bundle anew")


def test_what_this_device_built_for_itself_needs_no_signature(machine, signed, rng):
    own = built(machine, signed, tile_lr=(20, 20))
    machine.seen.clear()
    report, _ = ran(signed, rng)
    assert (report.tile, report.fallback) == ((40, 40), None)
    assert machine.seen == [own.read_plan("whole")]


FOREIGN = {
    "GPU": ({"compute_capability": "8.6"}, "it was built for compute capability 8.7, host; this is a host with"),
    "version": ({"versions": {"tensorrt-rtx": "1.8.0.1"}}, "it was built with tensorrt-rtx 1.7.1.116; here is 1.8"),
    "platform": ({"platform": "linux-riscv64"}, "this is linux-riscv64"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_an_engine_of_another_device_is_left_alone(machine, signed, rng, what):
    changes, reason = FOREIGN[what]
    machine.device = replace(machine.device, **changes)
    report, _ = ran(signed, rng)
    assert report.backend == "openvino"
    assert reason in report.fallback
    assert machine.seen == []


def test_an_engine_of_another_graph_is_left_alone(machine, tiny, tmp_path, rng):
    other = write_tiny_bundle(tmp_path / "other", fusion_manifest())
    shutil.copytree(built(machine, tiny).folder, other.path / "engines" / "foreign")
    machine.seen.clear()
    assert "foreign: it was built of another fp32 graph than the model has now" in ran(other, rng)[0].fallback
    assert machine.seen == []


@pytest.mark.parametrize("spoil", [damage, lambda engine: (engine.folder / "whole.plan").write_bytes(b"{")])
def test_an_altered_or_truncated_plan_is_left_alone_without_a_key_too(machine, tiny, rng, spoil):
    spoil(built(machine, tiny))
    machine.seen.clear()
    assert "whole.plan is not the one that was built: it" in ran(tiny, rng)[0].fallback
    assert machine.seen == []
