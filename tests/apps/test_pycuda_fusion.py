"""The runtime beside PyCUDA: in its context, from and to its arrays."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hsi_edge.backends import FixedSizes
from hsi_edge.backends.tensorrt_library import MODULES
from hsi_edge.bundle import Bundle
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.engine_build import chosen_tile
from hsi_edge.golden import TOLERANCE
from hsi_edge.opening import BUILD_MEMORY_BYTES, Opened, open_network
from tests.hsi_edge.backends.gpu_libraries import why_not
from tests.hsi_edge.cuda.host_cuda import HostCuda, OnDevice
from tests.hsi_edge.cuda.pairs import KINDS
from tests.hsi_edge.cuda.rig import Rig
from tests.tiny_bundles import write_tiny_bundle

TILE = (10, 12)
PROGRAM = Path(__file__).parents[2] / "apps" / "pycuda_fusion.py"


def off_by(told):
    assert "ms per frame" in told
    return float(told.split("by at most ")[1].split()[0])


class GPUArray(OnDevice):
    """As PyCUDA's, which names no stream."""

    def get(self):
        return self.array.copy()


@pytest.fixture
def cuda(tmp_path, monkeypatch):
    """A stand-in for a GPU, and PyCUDA on it."""
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path / "cache"))
    gpu = HostCuda(tmp_path)
    context = SimpleNamespace(push=lambda: None, pop=lambda: None)
    driver = SimpleNamespace(
        init=lambda: None, Device=lambda _: SimpleNamespace(retain_primary_context=lambda: context)
    )
    arrays = SimpleNamespace(
        to_gpu=lambda array: GPUArray(gpu, array), empty=lambda shape, dtype: GPUArray(gpu, np.zeros(shape, dtype))
    )
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=driver, gpuarray=arrays))
    return gpu


@pytest.fixture
def app(cuda):
    """The program, on the stand-in, and under a name of its own."""
    spec = importlib.util.spec_from_file_location("pycuda_fusion_on_the_stand_in", PROGRAM)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def test_the_pair_fills_the_tiles_of_an_engine_that_is_built_for_any_frame(app):
    tile = chosen_tile(Bundle.open(app.BUNDLE).manifest, None, None, BUILD_MEMORY_BYTES)
    lr_hsi, hr_msi = app.sample_pair(app.BUNDLE)
    assert min(lr_hsi.shape[:2]) >= max(tile)
    assert hr_msi.shape[:2] == tuple(8 * length for length in lr_hsi.shape[:2])


def test_without_an_engine_for_this_gpu_one_is_built(app, cuda, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(app, "FRAMES", 2)
    monkeypatch.setattr(app, "TIMES", 2)
    one = Rig(write_tiny_bundle(tmp_path / "bundle", KINDS["components"]), cuda, TILE)
    one.prepare(*app.sample_pair(tmp_path / "bundle"))
    one.backend.fixed = FixedSizes(tile_lr=TILE)

    def opened(bundle, backend, *settings, build=False):
        if backend is not None or not build:
            return open_network(bundle, backend, *settings, build=build)
        return Opened(one.network, {max(TILE): 1.0}, DevicePipeline(one.engine(), cuda, one.manifest), cuda)

    monkeypatch.setattr("hsi_edge.engine.open_network", opened)
    app.main(tmp_path / "bundle")
    assert off_by(capsys.readouterr().out) < TOLERANCE["fp32"]


@pytest.mark.gpu
def test_a_pair_on_the_gpu_is_fused_into_an_array_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path))
    pytest.importorskip("pycuda", reason="PyCUDA is not installed")
    reasons = [why_not(kind) for kind in MODULES]
    if None not in reasons:
        pytest.skip("; ".join(reasons))
    from apps import pycuda_fusion

    pycuda_fusion.main(pycuda_fusion.BUNDLE)
    told = capsys.readouterr().out
    assert off_by(told) < TOLERANCE[told.split()[1]]
