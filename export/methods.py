"""What is compared: interpolation, the regression, and models as the runtime runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.accuracy import BICUBIC, label
from export.pack import pack_graphless
from hsi_edge import HSIEngine
from hsi_edge.manifest import Manifest
from hsi_edge.resampling import upsample

Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to make an HR-HSI.

    Attributes:
        run: From `(h, w, bands)` and `(h * ratio, w * ratio, 3)` to `(h * ratio, w * ratio, bands)`. A single-image
            method does not look at the second one.
        manifest: Of the model; None for bicubic interpolation.
    """

    run: Callable[[Float, Float], Float]
    manifest: Manifest | None = None

    @classmethod
    def of_engine(cls, engine: HSIEngine) -> Method:
        """A model as the runtime runs it; the engine must stay open."""
        if engine.manifest.task == "single":
            return cls(run=lambda lr_hsi, _: engine.run(lr_hsi), manifest=engine.manifest)
        return cls(run=engine.run, manifest=engine.manifest)

    @property
    def any_bands(self) -> bool:
        """Whether it takes any number of bands."""
        return self.manifest is None or self.manifest.n_bands == 0


def open_methods(bundles: Sequence[Path], folder: Path, stack: ExitStack) -> dict[int, dict[str, Method]]:
    """By ratio, the methods by name: bicubic and the regression first, then the bundles, all in FP32.

    Args:
        bundles: Folders or zip files.
        folder: For the regression's own bundles; must stay until `stack` closes.
        stack: Closes the engines.

    Raises:
        ManifestError: A bundle is damaged.
    """
    engines = [stack.enter_context(HSIEngine(path, precision="fp32")) for path in bundles]
    by_ratio = {}
    for ratio in sorted({engine.manifest.ratio for engine in engines}):
        regression = stack.enter_context(HSIEngine(pack_graphless("regression", ratio, folder / f"x{ratio}").path))
        fitting = [engine for engine in engines if engine.manifest.ratio == ratio]
        # A bundle without a graph is a row that is there anyway.
        models = {label(engine.manifest): Method.of_engine(engine) for engine in [regression, *fitting]}
        by_ratio[ratio] = {BICUBIC: Method(run=_bicubic(ratio))} | models
    return by_ratio


def _bicubic(ratio: int) -> Callable[[Float, Float], Float]:
    return lambda lr_hsi, _: np.moveaxis(upsample(np.moveaxis(lr_hsi, 2, 0), ratio, "bicubic"), 0, 2)
