"""What a GPU gives is what the CPU gives: the driver, the real kernels, CUDA graphs. `test_driver.py` runs these tests
on a stand-in for the driver, too."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.cuda.arrays import taken_output, taken_to_host
from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.cuda.session import DeviceSession
from hsi_edge.inputs import check_inputs
from hsi_edge.preparation import prepare_frame
from hsi_edge.tile_loop import run_tiles
from hsi_edge.tiling.geometry import plan_tiles
from tests.hsi_edge.cuda.copy_engine import CopyEngine, CopyNetwork
from tests.hsi_edge.cuda.pairs import KINDS, changed, displaced_pair, pair_of
from tests.hsi_edge.cuda.rig import assert_same

pytestmark = pytest.mark.gpu
TILE = (10, 12)


@pytest.fixture
def cuda():
    gpu = Cuda()
    yield gpu
    gpu.close()


def prepared(manifest, pair):
    frame = prepare_frame(manifest, check_inputs(manifest, *pair, resample=False))
    tiling = manifest.tiling
    return frame, plan_tiles(frame.grid.shape, TILE, halo=tiling.halo_lr, alignment=tiling.alignment_lr)


def on_cpu(frame, tiles):
    rows, cols = (side * frame.ratio for side in frame.lr_shape)
    result = np.empty((rows, cols, len(frame.dead_bands)), np.float32)
    return result, run_tiles(frame, tiles, CopyNetwork(), None, result, None)


def on_gpu(pipeline, frame, tiles):
    rows, cols = (side * frame.ratio for side in frame.lr_shape)
    result = np.full((rows, cols, len(frame.dead_bands)), 7, np.float32)
    return result, pipeline.finish(pipeline.start(frame, tiles, None), result)


@pytest.mark.parametrize("how", ["float32", "uint8", "uint16", "int16", "invalid pixels", "a mask"])
@pytest.mark.parametrize("kind", ["bilinear base", "bicubic base", "regression base", "components"])
def test_a_frame_comes_out_as_on_the_cpu_with_and_without_a_graph(cuda, rng, kind, how):
    manifest = KINDS[kind]
    pipeline = None
    for _ in range(3):
        pair = pair_of(rng, manifest)
        frame, tiles = prepared(manifest, changed(pair, how, rng))
        pipeline = pipeline or DevicePipeline(CopyEngine(cuda, manifest, TILE, pair[0].shape[2]), cuda, manifest)
        assert_same(on_gpu(pipeline, frame, tiles), on_cpu(frame, tiles))
    assert pipeline.warnings == ()
    pipeline.close()


def test_a_displacement_is_undone(cuda, rng):
    manifest = KINDS["components"]
    frame, tiles = prepared(manifest, displaced_pair(rng, manifest.ratio))
    assert not frame.guide.translation.is_zero
    pipeline = DevicePipeline(CopyEngine(cuda, manifest, TILE, 5), cuda, manifest)
    for _ in range(2):
        assert_same(on_gpu(pipeline, frame, tiles), on_cpu(frame, tiles))


class OnGpu:
    """An array that lies on the GPU, as CuPy tells of its own, or, with no stream, PyCUDA and torch."""

    def __init__(self, cuda, array, *, told=True) -> None:
        self._cuda = cuda
        self.nbytes = array.nbytes
        self.address = cuda.allocate(array.nbytes)
        self._pinned, self._done = cuda.allocate_pinned(array.nbytes), cuda.new_event()
        self._pinned.host[:] = np.frombuffer(array.tobytes(), np.uint8)
        cuda.copy(self.address, self._pinned.address, array.nbytes, cuda.stream)
        cuda.record(self._done, cuda.stream)
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "stream": cuda.stream if told else None,
        }
        if not told:
            cuda.synchronize(self._done)

    def get(self, dtype):
        self._cuda.copy(self._pinned.address, self.address, self.nbytes, self._cuda.stream)
        self._cuda.record(self._done, self._cuda.stream)
        self._cuda.synchronize(self._done)
        return self._pinned.host.view(dtype).reshape(self.__cuda_array_interface__["shape"]).copy()


@pytest.mark.parametrize("told", [True, False], ids=["told streams", "no streams"])
def test_arrays_on_the_gpu_are_read_and_written_in_place(cuda, rng, told):
    manifest = KINDS["components"]
    lr_hsi, hr_msi = pair_of(rng, manifest)
    with cuda.active():
        given = OnGpu(cuda, (hr_msi * 255).astype(np.uint8), told=told)
        out = OnGpu(cuda, np.zeros((*hr_msi.shape[:2], lr_hsi.shape[2]), np.float32), told=told)
    host, msi = taken_to_host("hr_msi", given, cuda)
    np.testing.assert_array_equal(host, (hr_msi * 255).astype(np.uint8))
    frame, tiles = prepared(manifest, (lr_hsi, host))
    pipeline = DevicePipeline(CopyEngine(cuda, manifest, TILE, lr_hsi.shape[2]), cuda, manifest)
    for _ in range(2):
        wanted = on_cpu(frame, tiles)
        slot = pipeline.start(frame, tiles, None, msi=msi)
        correction = pipeline.finish(slot, taken_output(out, wanted[0].shape, cuda))
        with cuda.active():
            assert_same((out.get(np.float32), correction), wanted)


def test_a_session_runs_images_of_the_host(cuda, rng):
    manifest = KINDS["regression base"]
    session = DeviceSession(CopyEngine(cuda, manifest, TILE, 5), cuda)
    base = rng.random((1, 5, 20, 24), np.float32)
    outputs = session.run({"base": base, "hr_msi": rng.random((1, 3, 20, 24), np.float32)})
    np.testing.assert_array_equal(outputs["hr_hsi"], base)
    session.close()


def test_the_callers_context_is_used_and_left_as_it_was(cuda):
    with cuda.active():
        second = Cuda(stream=cuda.stream)
        assert second.stream == cuda.stream
        with second.active():
            second.release(second.allocate(1000))
        second.close()
        cuda.release(cuda.allocate(1000))


def test_what_was_planned_is_what_the_gpu_has_less_of(cuda, rng):
    manifest = KINDS["components"]
    frame, tiles = prepared(manifest, pair_of(rng, manifest, (120, 130)))
    pipeline = DevicePipeline(CopyEngine(cuda, manifest, TILE, 5), cuda, manifest)
    with cuda.active():
        before = cuda.free_bytes()
    on_gpu(pipeline, frame, tiles)
    with cuda.active():
        taken = before - cuda.free_bytes()
    # Drivers hand memory out in pieces of 2 MB.
    assert abs(pipeline.planned_bytes - taken) <= 3 << 21
