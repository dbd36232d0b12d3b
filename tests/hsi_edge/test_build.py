"""The command `hsi-edge build`, against a stand-in for TensorRT-RTX."""

from __future__ import annotations

import argparse
import sys

import pytest

from hsi_edge import build
from hsi_edge.engine_store import device_engines, stored_engines
from hsi_edge.errors import EngineLoadError, InputError, MissingPackageError, OutputError
from hsi_edge.gpu import DeviceFacts, this_platform
from tests.hsi_edge.backends.fake_tensorrt import install
from tests.tiny_bundles import fusion_manifest, plain_manifest, regression_manifest, write_tiny_bundle

RTX_3080 = DeviceFacts(
    name="NVIDIA GeForce RTX 3080",
    compute_capability="8.6",
    driver="driver 580.65.06 (CUDA 13.0)",
    platform=this_platform(),
    versions={"tensorrt-rtx": "1.7.1.116"},
)


@pytest.fixture(autouse=True)
def trt(monkeypatch, tmp_path):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "find_device", lambda: (None, "there is no NVIDIA driver here"))
    return install(monkeypatch, "rtx", gpu=False)


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle", plain_manifest())


def run(*arguments):
    parser = argparse.ArgumentParser(exit_on_error=False)
    build.add_arguments(parser)
    build.run(parser.parse_args([str(argument) for argument in arguments]))


def test_for_targets_it_builds_into_the_bundle_and_says_where(bundle, capsys):
    run(bundle.path, "--target", "sm_120", "8.9", "SM89", "--tile", 8)
    engines, unreadable = stored_engines(bundle.path / "engines")
    assert unreadable == []
    assert [engine.facts.compute_capabilities for engine in engines] == [("8.9", "12.0")]
    assert engines[0].facts.device == ""
    assert engines[0].facts.tile_lr == (8, 8)
    out, err = capsys.readouterr()
    assert out == (
        f"engine: {engines[0].folder} (fp32, tiles of 8 x 8 LR pixels, compute capability 8.9, 12.0, "
        f"{engines[0].facts.plans['whole'].size_bytes / 1e6:.1f} MB, precision of its layers checked)\n"
    )
    assert "tiny-x2 fp32 whole: 1000 of 1000" in err


def test_a_bundle_with_engines_still_opens(bundle):
    run(bundle.path, "--target", "sm_86")
    assert type(bundle).open(bundle.path).fingerprint == bundle.fingerprint


def test_for_this_device_it_builds_into_the_devices_cache(bundle, trt, monkeypatch, tmp_path):
    trt.fake.gpu = True
    monkeypatch.setattr(build, "find_device", lambda: (RTX_3080, ""))
    run(bundle.path, "--frame", "20x30")
    assert not (bundle.path / "engines").exists()
    (root,) = (tmp_path / "cache" / "engines").iterdir()
    engines, _ = stored_engines(root)
    assert [engine.facts.device for engine in engines] == [RTX_3080.name]
    assert engines[0].facts.tile_lr == (20, 30)


def test_a_network_with_statistics_gets_both_forms(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "statistics", fusion_manifest())
    run(bundle.path, "--target", "sm_86", "-o", tmp_path / "out")
    engines, _ = stored_engines(tmp_path / "out")
    assert set(engines[0].facts.plans) == {"whole", "given"}


def test_layers_that_the_build_could_not_check_are_said_to_be_left_to_the_device(bundle, trt, capsys):
    trt.fake.lists_layers = False
    run(bundle.path, "--target", "sm_86")
    assert "layers to be checked on the device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ["--target", "8.7"],
            InputError,
            r"for compute capability 8\.7 \(Jetson Orin\).*on the device itself with hsi",
        ),
        (["--target", "sm_90"], InputError, r"for compute capability 9\.0 \(H100 and H200\), only for 7\.5, 8\.0"),
        (["--target", "6.1"], InputError, r"for compute capability 6\.1, only for 7\.5"),
        (["--target", "8.6", "--backend", "tensorrt"], InputError, "TensorRT builds only for the GPU that it runs on"),
        (
            ["--target", "8.6", "--precision", "int8"],
            InputError,
            "has no int8 graph, only fp32; make one with python -m",
        ),
        (["--target", "8.6", "--tile", "2"], InputError, "a tile of 2 LR pixels does not suit tiny-x2"),
        ([], EngineLoadError, "no GPU here to build for: there is no NVIDIA driver here. Build ahead of time .*sm_86"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_way_out(bundle, arguments, error, message):
    with pytest.raises(error, match=message):
        run(bundle.path, *arguments)
    assert not (bundle.path / "engines").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--target", "ampere"], ["--tile", "0"], ["--frame", "64"], ["--frame", "0x3"], ["--precision", "fp8"]],
)
def test_arguments_that_make_no_sense_are_wrong_use(bundle, arguments):
    with pytest.raises(argparse.ArgumentError):
        run(bundle.path, *arguments)


def test_a_model_without_a_graph_has_nothing_to_build(tmp_path):
    write_tiny_bundle(tmp_path / "regression", regression_manifest())
    with pytest.raises(InputError, match="has no graph, so there is nothing to build"):
        run(tmp_path / "regression", "--target", "sm_86")


def test_a_zip_file_takes_no_engines_but_a_folder_beside_it_does(tmp_path):
    write_tiny_bundle(tmp_path / "bundle.zip", plain_manifest())
    with pytest.raises(
        InputError, match=r"is a \.zip file, which takes no engines; unpack it, or name a folder with -o"
    ):
        run(tmp_path / "bundle.zip", "--target", "sm_86")
    run(tmp_path / "bundle.zip", "--target", "sm_86", "-o", tmp_path / "engines")
    assert len(stored_engines(tmp_path / "engines")[0]) == 1


def test_a_library_that_is_not_installed_is_named_before_anything_is_built(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'hsi-edge\[rtx\]'"):
        run(bundle.path, "--target", "sm_86")
    monkeypatch.setattr(build, "find_device", lambda: (RTX_3080, ""))
    with pytest.raises(MissingPackageError, match="JetPack brings it"):
        run(bundle.path, "--backend", "tensorrt")


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(bundle, trt, tmp_path):
    trt.fake.build_error = "not reached"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot be written into .*file/engines: .*name another with -o"):
        run(bundle.path, "--target", "sm_86", "-o", tmp_path / "file" / "engines")


@pytest.mark.parametrize("place", ["", "report", "engines/.."])
def test_engines_among_the_bundles_own_files_are_refused(bundle, trt, place):
    trt.fake.build_error = "not reached"
    with pytest.raises(InputError, match=r"would lie among the files of the bundle .*; leave -o out, or name"):
        run(bundle.path, "--target", "sm_86", "-o", bundle.path / place)
    assert type(bundle).open(bundle.path).fingerprint == bundle.fingerprint


def test_what_is_built_for_this_device_takes_the_place_of_what_was_built_before(bundle, trt, monkeypatch, capsys):
    trt.fake.gpu = True
    monkeypatch.setattr(build, "find_device", lambda: (RTX_3080, ""))
    for tile in (16, 8):
        run(bundle.path, "--tile", tile)
    (engine,), unreadable = stored_engines(device_engines(bundle))
    assert engine.facts.tile_lr == (8, 8)
    assert unreadable == []
    assert [path.name for path in device_engines(bundle).iterdir()] == [engine.folder.name]


def test_ahead_of_time_engines_of_several_tiles_stay(bundle):
    for tile in (16, 8):
        run(bundle.path, "--target", "8.6", "--tile", tile)
    assert len(stored_engines(bundle.path / "engines")[0]) == 2


def test_what_is_added_to_a_signed_bundle_is_said_to_be_unsigned(bundle, tmp_path, capsys):
    (bundle.path / "signature").write_bytes(b"of the bench")
    run(bundle.path, "--target", "8.6", "-o", tmp_path / "beside")
    assert "signed" not in capsys.readouterr().err
    run(bundle.path, "--target", "8.6")
    note = capsys.readouterr().err.splitlines()[-1]
    assert note == (
        f"note: {bundle.path} is signed, and its signature does not cover what was built; sign it anew with: "
        "python -m engines sign BUNDLE --key private.pem"
    )


def test_a_failed_build_leaves_nothing_behind(bundle, trt):
    trt.fake.build_error = "Error Code 2: OutOfMemory"
    with pytest.raises(EngineLoadError, match=r"cannot build the engine; it says: .*OutOfMemory"):
        run(bundle.path, "--target", "sm_86")
    assert not (bundle.path / "engines").exists()
