"""`HSIEngine` on a GPU: the public calls, from the host's arrays and from those on the GPU."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.backends import FixedSizes
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.opening import Opened
from tests.hsi_edge.cuda.host_cuda import OnDevice
from tests.hsi_edge.cuda.pairs import KINDS, displaced_pair
from tests.hsi_edge.cuda.rig import CLOSE
from tests.tiny_bundles import write_tiny_bundle

TILE = (10, 12)


@pytest.fixture
def engines(rig, rng, tmp_path, monkeypatch):
    """The same model on the CPU and on the GPU's stand-in, by the same tiles, and a pair for it."""
    one = rig(KINDS["components"], TILE)
    pair = displaced_pair(rng, one.manifest.ratio)
    one.prepare(*pair)
    one.backend.fixed = FixedSizes(tile_lr=TILE)
    bundle = write_tiny_bundle(tmp_path / "bundle", one.manifest)
    opened = Opened(one.network, {max(TILE): 1.0})
    monkeypatch.setattr("hsi_edge.engine.open_network", lambda *_, **__: opened)
    on_cpu = HSIEngine(bundle.path)
    pipeline = DevicePipeline(one.engine(), one.cuda, one.manifest)
    opened = Opened(one.network, {max(TILE): 1.0}, pipeline, one.cuda)
    # They share the network, so one of them closes it.
    with HSIEngine(bundle.path) as on_gpu:
        yield on_cpu, on_gpu, pair


def assert_close(got, wanted):
    np.testing.assert_allclose(got, wanted, atol=CLOSE * np.abs(wanted).max())


def test_run_and_stream_give_what_the_cpu_gives_and_report_the_gpus_memory(engines):
    on_cpu, on_gpu, pair = engines
    wanted = on_cpu.run(*pair)
    assert_close(on_gpu.run(*pair), wanted)
    results = list(on_gpu.stream([pair] * 4))
    for result in results:
        assert_close(result, wanted)
    assert len({result.ctypes.data for result in results}) == 4, "every result is the caller's own"
    assert on_gpu.report.planned_gpu_bytes > 0
    assert on_gpu.report.correction == pytest.approx(on_cpu.report.correction, rel=1e-4)


def test_arrays_on_the_gpu_go_in_and_out(engines):
    on_cpu, on_gpu, (lr_hsi, hr_msi) = engines
    wanted = on_cpu.run(lr_hsi, hr_msi)
    cuda = on_gpu._cuda
    out = OnDevice(cuda, np.zeros_like(wanted))
    assert on_gpu.run(OnDevice(cuda, lr_hsi), OnDevice(cuda, hr_msi), out=out) is out
    assert_close(out.array, wanted)


def test_on_the_cpu_arrays_on_the_gpu_are_refused(engines):
    on_cpu, on_gpu, (lr_hsi, hr_msi) = engines
    there = OnDevice(on_gpu._cuda, hr_msi)
    with pytest.raises(InputError, match="hr_msi lies on a GPU, and this engine runs on the CPU"):
        on_cpu.run(lr_hsi, there)
    with pytest.raises(InputError, match="out lies on a GPU, and this engine runs on the CPU"):
        on_cpu.run(lr_hsi, hr_msi, out=there)
