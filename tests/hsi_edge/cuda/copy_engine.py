"""An engine that any GPU can run without TensorRT: it hands on what it is given, by copies that can be captured."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hsi_edge.network import image_shapes
from hsi_edge.subspace import CHANNELS, GUIDES


class CopyEngine:
    """A `DeviceEngine` whose output is the base image, or the guides over and over."""

    workspace_bytes = 0

    def __init__(self, cuda, manifest, tile_lr, bands) -> None:
        given = image_shapes(manifest.input.images, tile_lr, manifest.ratio, (bands, manifest.msi.bands))
        self._source = "guide" if "guide" in given else "base"
        rows, cols = given[self._source][1:]
        self._cuda = cuda
        channels = CHANNELS if self._source == "guide" else bands
        self.shapes = {name: (1, *shape) for name, shape in given.items()} | {"hr_hsi": (1, channels, rows, cols)}

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """See `hsi_edge.cuda.engine.DeviceEngine`."""
        given, wanted = (4 * math.prod(self.shapes[name]) for name in (self._source, "hr_hsi"))
        for start in range(0, wanted, given):
            nbytes = min(given, wanted - start)
            self._cuda.copy(addresses["hr_hsi"] + start, addresses[self._source], nbytes, stream)


class CopyNetwork:
    """The same for the loop on the CPU."""

    def refine(self, images, statistics):
        if "guide" not in images:
            return images["base"]
        return np.concatenate([images["guide"]] * (CHANNELS // GUIDES + 1))[:CHANNELS]
