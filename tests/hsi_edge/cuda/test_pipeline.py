"""A frame's way through the GPU gives what the CPU gives, by the same kernels on a host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_edge.bundle import Bundle
from hsi_edge.cuda.arrays import taken_output, taken_to_host
from hsi_edge.cuda.driver import DEFAULT_STREAM
from hsi_edge.errors import DeviceLostError, EngineLoadError, TilingError
from tests.hsi_edge.cuda.host_cuda import HostCuda, HostEngine, OnDevice, nothing
from tests.hsi_edge.cuda.pairs import KINDS, changed, displaced_pair, pair_of
from tests.hsi_edge.cuda.rig import Rig, assert_same

BUNDLES = Path(__file__).parents[3] / "engines" / "bundles"


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_gives_what_the_cpu_gives(rig, rng, kind, integrated):
    manifest = KINDS[kind]
    # LR frames of uneven sides; with alignment 2, tiles reach beyond them.
    one = rig(manifest, integrated=integrated)
    for _ in range(3):
        one.prepare(*pair_of(rng, manifest))
        assert_same(one.on_gpu(), one.on_cpu())
    assert len(one.tiles) > 4
    assert one.pipeline.warnings == ()
    assert one.cuda.graph_launches == 2 * one.cuda.captures > 0
    assert one.pipeline.device_ms > 0


def test_a_frame_of_one_tile_measures_its_own_statistics(rig, rng):
    one = rig(KINDS["statistics"], (19, 23))
    for _ in range(2):
        one.prepare(*pair_of(rng, one.manifest))
        assert_same(one.on_gpu(), one.on_cpu())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("fieldfuse-x4", 22),
        ("fieldfuse-x8", 12),
        ("fieldfuse-x16", 8),
        ("pzres-vis31-x4", 14),
        ("pzres-vis31-x8", 10),
        ("msssf-vis31-x8", 14),
        ("ssrnet-vis31-x4", 25),
    ],
)
def test_every_shipped_model_gives_what_the_cpu_gives(kernels, name, side):
    bundle = Bundle.open(BUNDLES / name)
    golden = bundle.golden()
    # Small as golden pairs are, only side by side do they fill more than one tile.
    times = -(-(side + 2) // golden["lr_hsi"].shape[0])
    pair = [np.tile(golden[name], (1, times, 1)) if name in golden else None for name in ("lr_hsi", "hr_msi")]
    one = Rig(bundle, HostCuda(kernels), (side, side))
    one.prepare(*pair)
    for _ in range(2):
        assert_same(one.on_gpu(), one.on_cpu())
    assert len(one.tiles) > 1


def test_a_displacement_is_undone_as_on_the_cpu(rig, rng):
    one = rig(KINDS["components"])
    one.prepare(*displaced_pair(rng, one.manifest.ratio))
    assert not one.frame.guide.translation.is_zero
    assert_same(one.on_gpu(), one.on_cpu())


@pytest.mark.parametrize("kind", ["regression base", "components", "all images"])
@pytest.mark.parametrize(
    "how", ["invalid pixels", "a mask", "views", "uint8", "uint16", "int16", "float16", "float64", ">u2", ">f4"]
)
def test_frames_of_every_type_and_order_are_read_as_on_the_cpu(rig, rng, kind, how):
    one = rig(KINDS[kind])
    one.prepare(*changed(pair_of(rng, one.manifest), how, rng))
    result = one.on_gpu()
    assert_same(result, one.on_cpu())
    assert np.isnan(result[0]).any() == (how in ("invalid pixels", "a mask"))


def test_dead_bands_and_lost_pixels_come_out_as_on_the_cpu(rig, rng):
    one = rig(KINDS["components"])
    lr_hsi, hr_msi = displaced_pair(rng, one.manifest.ratio)
    lr_hsi[:, :, 2] = np.nan
    lr_hsi[3:9, 4:6] = np.nan
    hr_msi[30:34, 10:50] = np.nan
    one.prepare(lr_hsi, hr_msi)
    assert_same(one.on_gpu(), one.on_cpu())


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_read_before_it_is_there_in_whatever_order_streams_run(rig, rng, seed):
    one = rig(KINDS["components"] if seed % 2 else KINDS["statistics"], seed=seed, integrated=seed > 3)
    for lr_shape in ((19, 23), (19, 23), (19, 23), (31, 14), (19, 23)):
        one.prepare(*pair_of(rng, one.manifest, lr_shape))
        assert_same(one.on_gpu(), one.on_cpu())


@pytest.mark.parametrize("seed", range(4))
def test_two_frames_are_under_way_at_a_time_and_each_comes_out_right(rig, rng, seed):
    one = rig(KINDS["components"] if seed % 2 else KINDS["statistics"], seed=seed)
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()
    before = None
    for _ in range(5):
        one.prepare(*pair_of(rng, one.manifest))
        wanted, slot = one.on_cpu(), one.pipeline.start(one.frame, one.tiles, one.statistics)
        if before is not None:
            result = np.empty_like(wanted[0])
            assert_same((result, one.pipeline.finish(before[0], result)), before[1])
        before = slot, wanted
    other = one.pipeline.start(one.frame, one.tiles, one.statistics)
    assert other is not before[0]
    with pytest.raises(TilingError, match="2 frames are under way on the GPU already; finish one first"):
        one.pipeline.start(one.frame, one.tiles, one.statistics)
    one.pipeline.abandon(before[0])
    assert_same((result, one.pipeline.finish(other, result)), one.on_cpu())
    # Whoever stops in the middle can still close.
    one.pipeline.start(one.frame, one.tiles, one.statistics)
    one.pipeline.close()


def test_there_is_room_for_a_second_frame_where_the_memory_holds_it(rig, rng):
    one = rig(KINDS["components"])
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()
    assert one.pipeline.has_room
    needed = one.pipeline.planned_bytes
    short = rig(KINDS["components"], free=needed * 3 // 2)
    short.prepare(*pair_of(rng, one.manifest))
    slot = short.pipeline_for_frame().start(short.frame, short.tiles, None)
    assert not short.pipeline.has_room
    with pytest.raises(TilingError, match=r"needs \d\.\d MB on the GPU"):
        short.pipeline.start(short.frame, short.tiles, None)
    result, wanted = np.empty_like(short.on_cpu()[0]), short.on_cpu()
    assert_same((result, short.pipeline.finish(slot, result)), wanted)
    one.pipeline.start(one.frame, one.tiles, None)
    one.pipeline.start(one.frame, one.tiles, None)
    assert one.pipeline.has_room, "the memory for two is kept"


def test_after_a_failure_in_the_middle_the_next_frame_comes_out_right(rig, rng, monkeypatch):
    one = rig(KINDS["components"])
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.on_gpu(progress=fail)
    with monkeypatch.context() as patch:
        patch.setattr(HostEngine, "enqueue", lambda *_: (_ for _ in ()).throw(EngineLoadError("it fails")))
        one.pipeline.close()
        one.pipeline = None
        with pytest.raises(EngineLoadError, match="it fails"):
            one.on_gpu()
    assert_same(one.on_gpu(), one.on_cpu())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_result_is_written_to_a_callers_array_of_any_strides(rig, rng, dtype):
    one = rig(KINDS["regression base"])
    one.prepare(*pair_of(rng, one.manifest))
    wanted, _ = one.on_cpu()
    out = np.empty((2 * wanted.shape[2], *wanted.shape[:2]), dtype)[::2].transpose(1, 2, 0)
    one.on_gpu(out)
    np.testing.assert_allclose(out, wanted, atol=1e-3 if dtype == "float16" else 1e-5)


def test_a_long_result_comes_down_in_many_strips(rig, rng, monkeypatch):
    monkeypatch.setattr("hsi_edge.cuda.pipeline.STRIP_SIZES", (4000,))
    one = rig(KINDS["components"])
    told = []
    one.prepare(*pair_of(rng, one.manifest))
    assert_same(one.on_gpu(progress=lambda done, total: told.append((done, total))), one.on_cpu())
    assert told == [(len(one.tiles),) * 2]
    assert max(one.cuda.copies[1:]) <= 4000


def test_progress_is_told_row_of_tiles_by_row(rig, rng):
    one = rig(KINDS["regression base"])
    one.prepare(*pair_of(rng, one.manifest))
    told = []
    one.on_gpu(progress=lambda done, total: told.append((done, total)))
    total = len(one.tiles)
    assert told == [(done, total) for done in range(total // len(told), total + 1, total // len(told))]
    assert len(told) > 1


def test_an_integrated_gpu_writes_the_result_to_the_host_without_a_copy(rig, rng):
    one = rig(KINDS["components"], integrated=True)
    one.prepare(*changed(pair_of(rng, one.manifest), "uint8", rng))
    result, _ = one.on_gpu()
    (uploaded,) = one.cuda.copies
    assert uploaded < result.nbytes


def test_the_planned_memory_is_what_is_allocated(rig, rng):
    one = rig(KINDS["components"])
    before = one.cuda.free_bytes()
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()
    assert one.pipeline.planned_bytes == before - one.cuda.free_bytes() + one.engine().workspace_bytes
    free, held = one.cuda.free_bytes(), one.cuda.held
    for _ in range(3):
        one.on_gpu()
    assert one.cuda.free_bytes() == free
    assert one.cuda.held == held + 1, "but for the graph of the second frame"


def test_everything_is_given_back(rig, rng):
    one = rig(KINDS["regression base"])
    before = one.cuda.held
    for lr_shape in ((19, 23), (19, 23), (14, 30)):
        one.prepare(*pair_of(rng, one.manifest, lr_shape))
        one.on_gpu()
    one.pipeline.close()
    assert one.cuda.held == before


def test_with_little_memory_the_strips_shrink_and_with_less_the_error_says_what_is_needed(rig, rng, monkeypatch):
    monkeypatch.setattr("hsi_edge.cuda.pipeline.STRIP_SIZES", (200_000, 20_000))
    one = rig(KINDS["regression base"])
    one.prepare(*pair_of(rng, one.manifest, (60, 70)))
    one.on_gpu()
    needed = one.pipeline.planned_bytes
    short = rig(KINDS["regression base"], budget_bytes=needed - 100_000)
    short.prepare(*pair_of(rng, one.manifest, (60, 70)))
    assert_same(short.on_gpu(), short.on_cpu())
    assert short.pipeline.planned_bytes <= needed - 100_000
    tiny = rig(KINDS["regression base"], free=100_000)
    tiny.prepare(*pair_of(rng, one.manifest, (60, 70)))
    with pytest.raises(TilingError, match=r"needs \d\.\d MB on the GPU, where 0\.\d MB are free; .* smaller tile"):
        tiny.on_gpu()


def test_tiles_of_another_size_than_the_engines_are_refused(rig, rng):
    one = rig(KINDS["regression base"])
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()
    one.prepare(*pair_of(rng, one.manifest, (8, 9)))
    with pytest.raises(TilingError, match=r"tiles of 16 x 18 HR pixels, and the engine is for 20 x 24"):
        one.on_gpu()


def test_where_capture_is_refused_the_tiles_run_without_a_graph_and_it_says_so(rig, rng, caplog):
    one = rig(KINDS["components"])
    one.cuda.refuses_capture = True
    for _ in range(3):
        one.prepare(*pair_of(rng, one.manifest))
        assert_same(one.on_gpu(), one.on_cpu())
    assert one.cuda.graph_launches == 0
    assert "without a CUDA graph" in one.pipeline.warnings[0]
    assert len(caplog.records) == 1


def test_after_the_device_is_lost_the_next_call_says_so_and_closing_works(rig, rng):
    one = rig(KINDS["components"])
    one.prepare(*pair_of(rng, one.manifest))
    one.on_gpu()
    one.cuda.lost = True
    with pytest.raises(DeviceLostError, match="open it again"):
        one.on_gpu()
    one.pipeline.close()


@pytest.mark.parametrize("told", [True, False], ids=["told streams", "the default stream"])
@pytest.mark.parametrize("kind", ["regression base", "components"])
def test_arrays_on_the_gpu_are_read_and_written_in_place(rig, rng, kind, told):
    one = rig(KINDS[kind])
    lr_hsi, hr_msi = pair_of(rng, one.manifest)
    # Bands first in memory and upside down, as a camera's driver may leave them.
    given = np.ascontiguousarray((hr_msi * 255).astype(np.uint8).transpose(2, 0, 1)[:, ::-1]).transpose(1, 2, 0)[::-1]
    # PyCUDA and torch work in the default stream, and tell none.
    stream, readers = (one.cuda.new_stream() if told else DEFAULT_STREAM for _ in range(2))
    caught_up = one.cuda.new_event()
    msi = OnDevice(one.cuda, given, stream=stream if told else None)
    later = msi.array.copy()
    msi.array[:] = 0
    one.cuda.put(lambda: np.copyto(msi.array, later), stream)
    host, array = taken_to_host("hr_msi", msi, one.cuda)
    np.testing.assert_array_equal(host, given)
    one.prepare(lr_hsi, host)
    wanted = one.on_cpu()
    out = OnDevice(one.cuda, np.zeros((2, *wanted[0].shape), np.float32)[1], stream=readers if told else None)
    for _ in range(2):
        msi.array[:] = 0
        one.cuda.put(lambda: np.copyto(msi.array, later), stream)
        # What the caller's other stream still has to do with the array comes first, however long it takes.
        for _ in range(500):
            one.cuda.put(nothing, readers)
        one.cuda.put(lambda: out.array.fill(5), readers)
        one.cuda.copies.clear()
        _, correction = one.on_gpu(taken_output(out, wanted[0].shape, one.cuda), msi=array)
        one.cuda.record(caught_up, readers)
        one.cuda.synchronize(caught_up)
        assert_same((out.array, correction), wanted)
        assert hr_msi.size not in one.cuda.copies
