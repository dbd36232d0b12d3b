"""Score every method on the test scenes, through the runtime that ships."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.accuracy import METRICS, Score, label, mean_score
from export.data.degradation import Degradation, simulate_pair
from export.data.responses import Response, measured_cameras, nikon_d700
from export.data.scenes import Scene, load_scenes
from export.pack import pack_regression
from export.train import REALISTIC
from hsi_edge import HSIEngine
from hsi_edge.quality import compare
from hsi_edge.resampling import upsample

Float = NDArray[np.float32]
Method = Callable[[Float, Float], Float]
DRAWS = 5
"""Random cameras, noises and shifts per scene; its score is their mean."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One kind of pairs.

    Attributes:
        name: As the tables call it.
        degradation: What the sensors do.
        cameras: The responses to draw from, given the data folder.
        draws: Pairs per scene.
    """

    name: str
    degradation: Degradation
    cameras: Callable[[Path], list[Response]] = measured_cameras
    draws: int = DRAWS


SETTINGS = (
    Setting(name="clean", degradation=Degradation(), cameras=lambda data: [nikon_d700(data)], draws=1),
    Setting(name="realistic", degradation=REALISTIC),
    Setting(name="realistic, shift 0.1", degradation=replace(REALISTIC, misregistration_lr=0.1)),
    Setting(name="realistic, shift 0.25", degradation=replace(REALISTIC, misregistration_lr=0.25)),
)
NOTES = f"""\
PSNR is the mean over the bands; SSIM has the Gaussian window. FP32 throughout. Scenes are small crops on the vis31
grid, scaled to a largest value of 1: these are scores on small scenes, not to be put beside published ones.

Clean pairs: Gaussian PSF with FWHM = ratio, the Nikon D700 response, no noise. Realistic pairs: the same PSF, LR-HSI
noise 0.004, RGB noise 0.005 and 8 bits, a random measured camera, the RGB shifted along each axis by up to 0.02 LR
pixels, or as far as the pairs' name says; the mean of {DRAWS} draws per scene, the same for every method and shift."""


def evaluate(bundles: Sequence[Path], data: Path, settings: Sequence[Setting] = SETTINGS) -> list[Score]:
    """Score bicubic, regression and every bundle on the test scenes, at each ratio that the bundles have.

    Args:
        bundles: Of fusion models on the vis31 grid, or without a graph.
        data: The research data folder.
        settings: The kinds of pairs.

    Raises:
        InputError: A file of the research data is missing.
        ManifestError: A bundle is damaged.
    """
    scenes = load_scenes(data, "test")
    scores: list[Score] = []
    with ExitStack() as stack:
        engines = [stack.enter_context(HSIEngine(path, precision="fp32")) for path in bundles]
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for ratio in sorted({engine.manifest.ratio for engine in engines}):
            regression = HSIEngine(pack_regression(ratio, folder / f"x{ratio}").path)
            fitting = [engine for engine in engines if engine.manifest.ratio == ratio]
            methods = _methods(ratio, [stack.enter_context(regression), *fitting])
            for setting in settings:
                scores += _scores(methods, ratio, setting, scenes, setting.cameras(data))
    return scores


def _methods(ratio: int, engines: Sequence[HSIEngine]) -> dict[str, Method]:
    # A bundle of the regression alone is the row that is there anyway.
    return {"bicubic": lambda lr, _: _bicubic(lr, ratio)} | {label(engine.manifest): engine.run for engine in engines}


def _bicubic(lr_hsi: Float, ratio: int) -> Float:
    return np.moveaxis(upsample(np.moveaxis(lr_hsi, 2, 0), ratio, "bicubic"), 0, 2)


def _scores(
    methods: dict[str, Method], ratio: int, setting: Setting, scenes: Sequence[Scene], cameras: Sequence[Response]
) -> Iterator[Score]:
    for scene in scenes:
        draws: dict[str, list[Score]] = {name: [] for name in methods}
        for lr_hsi, hr_msi in _pairs(scene, ratio, setting, cameras):
            for name, method in methods.items():
                quality = compare(method(lr_hsi, hr_msi), scene.cube, ratio=ratio)
                metrics = {metric: getattr(quality, metric) for metric in METRICS}
                draws[name].append(Score(ratio=ratio, pair=setting.name, scene=scene.name, method=name, **metrics))
        yield from (mean_score(found, scene.name) for found in draws.values())


def _pairs(scene: Scene, ratio: int, setting: Setting, cameras: Sequence[Response]) -> Iterator[tuple[Float, Float]]:
    truth = np.ascontiguousarray(np.moveaxis(scene.cube, 2, 0))
    for draw in range(setting.draws):
        # Seeded by its name, a scene keeps its pairs whatever other scenes there are.
        rng = np.random.default_rng((zlib.crc32(scene.name.encode()), draw))
        pair = simulate_pair(truth, ratio, setting.degradation, cameras, rng)
        yield np.moveaxis(pair.lr_hsi, 0, 2), np.moveaxis(pair.hr_msi, 0, 2)
