"""A bundle on the CPU and on a GPU (the host's stand-in, or a real one), to compare the two."""

from __future__ import annotations

import numpy as np

from hsi_edge.backends import open_backend
from hsi_edge.bundle import Bundle
from hsi_edge.cuda.pipeline import DevicePipeline
from hsi_edge.inputs import check_inputs
from hsi_edge.network import Network, image_shapes
from hsi_edge.preparation import prepare_frame
from hsi_edge.tile_loop import run_tiles
from hsi_edge.tiling.geometry import plan_tiles
from tests.hsi_edge.cuda.host_cuda import HostEngine

CLOSE = 1e-5
"""Largest difference between the two, in parts of the result's largest value: FP32 sums in another order."""


class Rig:
    """A bundle's pipeline, beside the loop that `HSIEngine` runs on the CPU, for the same tiles.

    Args:
        bundle: The bundle.
        cuda: The GPU.
        tile: Rows and columns in LR pixels.
        budget_bytes: Of the pipeline.
    """

    def __init__(self, bundle: Bundle, cuda, tile: tuple[int, int], budget_bytes: int | None = None) -> None:
        self.manifest = bundle.manifest
        self.cuda = cuda
        self.pipeline: DevicePipeline | None = None
        self.frame = None
        self.tiles = ()
        self.statistics = None
        self._bundle = bundle
        self._tile = tile
        self._budget = budget_bytes
        self.backend = open_backend("openvino", "fp32", ("fp32",))
        self.network = Network(bundle, self.backend)

    def prepare(self, lr_hsi, hr_msi) -> None:
        """Take a pair: its frame, its tiles, and its statistics, which a single tile measures itself."""
        manifest = self.manifest
        frame = prepare_frame(manifest, check_inputs(manifest, lr_hsi, hr_msi, resample=False))
        tiling = manifest.tiling
        self.tiles = plan_tiles(frame.grid.shape, self._tile, halo=tiling.halo_lr, alignment=tiling.alignment_lr)
        self.frame, self.statistics = frame, None
        if manifest.statistics is not None and len(self.tiles) > 1:
            self.statistics = self.network.measure(frame.window(frame.grid).images)

    def on_cpu(self):
        """The result and its correction, as the CPU computes them."""
        result = self._empty()
        return result, run_tiles(self.frame, self.tiles, self.network, self.statistics, result, None)

    def on_gpu(self, result=None, *, msi=None, progress=None):
        """The same by the pipeline, written to `result` where it is given."""
        result, pipeline = self._empty() if result is None else result, self.pipeline_for_frame()
        slot = pipeline.start(self.frame, self.tiles, self.statistics, msi=msi)
        return result, pipeline.finish(slot, result, progress=progress)

    def pipeline_for_frame(self) -> DevicePipeline:
        """The pipeline, opened for the first frame's tiles."""
        if self.pipeline is None:
            self.pipeline = DevicePipeline(self.engine(), self.cuda, self.manifest, self._budget)
        return self.pipeline

    def engine(self) -> HostEngine:
        """The graph, compiled for a tile."""
        manifest, given = self.manifest, self.statistics is not None
        bands = (len(self.frame.dead_bands), manifest.msi.bands)
        shapes = image_shapes(manifest.input.images, self.tiles[0].read.shape, manifest.ratio, bands)
        inputs = {name: (1, *shape) for name, shape in shapes.items()}
        if given:
            inputs["statistics"] = self.statistics.shape
        graph = manifest.graphs["fp32"]
        session = self.backend.compile(self._bundle.read_bytes(graph.given if given else graph.whole), inputs)
        outputs = session.run({name: np.zeros(shape, np.float32) for name, shape in inputs.items()})
        return HostEngine(
            self.cuda, session, inputs | {name: array.shape for name, array in outputs.items()}, list(outputs)
        )

    def _empty(self):
        rows, cols = (side * self.manifest.ratio for side in self.frame.lr_shape)
        return np.full((rows, cols, len(self.frame.dead_bands)), 7, np.float32)


def assert_same(one, other) -> None:
    """The same numbers, NaN at the same places, and the same correction."""
    (got, correction), (wanted, wanted_correction) = one, other
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    off = np.nanmax(np.abs(got - wanted)) / np.nanmax(np.abs(wanted))
    assert off <= CLOSE, f"off by {off:.2g} of the largest value"
    np.testing.assert_allclose(
        [0 if value is None else value for value in (correction,)],
        [0 if value is None else value for value in (wanted_correction,)],
        rtol=1e-4,
    )
