"""NVRTC compiles the kernels on any machine for the GPUs that there are, and what it made is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsi_edge.cuda.compiler import compiled_kernels
from hsi_edge.cuda.driver import kernel_names
from hsi_edge.errors import EngineLoadError

pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
SOURCE = (Path(__file__).parents[3] / "hsi_edge" / "cuda" / "kernels.cu").read_text()
ELF = b"\x7fELF"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path))


@pytest.mark.parametrize("capability", [(7, 5), (8, 6), (8, 7), (8, 9), (9, 0), (11, 0), (12, 0), (12, 1)])
def test_the_kernels_compile_for_every_gpu(capability):
    image = compiled_kernels(SOURCE, capability)
    assert image.startswith(ELF)
    assert all(name.encode() in image for name in kernel_names(SOURCE))


def test_for_a_gpu_newer_than_nvrtc_they_become_ptx_that_its_driver_compiles():
    image = compiled_kernels(SOURCE, (99, 0))
    assert b".target sm_" in image
    assert all(f".entry {name}".encode() in image for name in kernel_names(SOURCE))


def test_a_gpu_older_than_nvrtc_knows_is_refused():
    with pytest.raises(
        EngineLoadError, match=r"a GPU of compute capability 5.0 is older than what NVRTC .* compiles for"
    ):
        compiled_kernels(SOURCE, (5, 0))


def test_they_are_compiled_once_and_again_where_the_file_was_damaged(tmp_path):
    first = compiled_kernels(SOURCE, (8, 6))
    (path,) = (tmp_path / "kernels").iterdir()
    written = path.stat().st_mtime_ns
    assert compiled_kernels(SOURCE, (8, 6)) == first
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:-100])
    assert compiled_kernels(SOURCE, (8, 6)) == first
    assert path.stat().st_mtime_ns > written


def test_where_nothing_can_be_written_they_are_compiled_all_the_same(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "file" / "cache"))
    assert compiled_kernels(SOURCE, (8, 6)).startswith(ELF)
    assert "compiled at each start" in caplog.text


def test_without_nvrtc_the_package_that_suits_cuda_bindings_is_named(monkeypatch):
    def missing():
        raise RuntimeError("Failure finding libnvrtc.so")

    monkeypatch.setattr("cuda.bindings.nvrtc.nvrtcVersion", missing)
    with pytest.raises(EngineLoadError, match=r"not here .*install nvidia-cuda-nvrtc .*12: nvidia-cuda-nvrtc-cu12"):
        compiled_kernels(SOURCE, (8, 6))


def test_a_source_that_does_not_compile_is_refused_with_the_compilers_words():
    with pytest.raises(
        EngineLoadError, match=r'cannot compile the kernels for sm_86: .* identifier "nothing" is undefined'
    ):
        compiled_kernels('extern "C" __global__ void broken() { nothing; }', (8, 6))
