"""Score every method on the test scenes, through the runtime that ships."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.accuracy import METRICS, Comparison, Score, mean_score
from export.data.degradation import REALISTIC, Degradation, simulate_pair
from export.data.responses import Response, measured_cameras, narrow_camera, nikon_d700, on_bands, unseen_cameras
from export.data.scenes import Scene, load_native_scenes, load_scenes
from export.methods import Method, open_methods
from export.speed import measure_costs
from hsi_edge.quality import compare

Float = NDArray[np.float32]
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
    Setting(name="realistic, unseen camera", degradation=REALISTIC, cameras=unseen_cameras),
    Setting(name="realistic, narrow bands", degradation=REALISTIC, cameras=lambda _: [narrow_camera()]),
    Setting(name="realistic, shift 0.1", degradation=replace(REALISTIC, misregistration_lr=0.1)),
)
NATIVE_SETTINGS = SETTINGS[:2]
"""The kinds of pairs for scenes with other bands."""


def compare_bundles(bundles: Sequence[Path], data: Path, settings: Sequence[Setting] = SETTINGS) -> Comparison:
    """Score and time bicubic, regression and every bundle, at each ratio that the bundles have.

    Args:
        bundles: Of models on the vis31 grid, or for any bands; the latter are also scored on scenes with other bands.
        data: The research data folder.
        settings: The kinds of pairs.

    Raises:
        InputError: A file of the research data is missing.
        ManifestError: A bundle is damaged.
    """
    scenes, native_scenes = load_scenes(data, "test"), load_native_scenes(data)
    scores: list[Score] = []
    native: list[Score] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        by_ratio = open_methods(bundles, folder, stack)
        for ratio, methods in by_ratio.items():
            free = {name: method for name, method in methods.items() if method.any_bands}
            for setting in settings:
                scores += _scores(methods, ratio, setting, scenes, data)
            for setting in NATIVE_SETTINGS:
                native += _scores(free, ratio, setting, native_scenes, data)
        costs = [cost for ratio, methods in by_ratio.items() for cost in measure_costs(ratio, methods)]
    return Comparison(scores=scores, native=native, costs=costs)


def _scores(
    methods: Mapping[str, Method], ratio: int, setting: Setting, scenes: Sequence[Scene], data: Path
) -> Iterator[Score]:
    for whole in scenes:
        scene = cropped(whole, ratio)
        draws: dict[str, list[Score]] = {name: [] for name in methods}
        for lr_hsi, hr_msi in pairs(scene, ratio, setting, setting.cameras(data)):
            for name, method in methods.items():
                quality = compare(method.run(lr_hsi, hr_msi), scene.cube, ratio=ratio)
                metrics = {metric: getattr(quality, metric) for metric in METRICS}
                draws[name].append(Score(ratio=ratio, pair=setting.name, scene=scene.name, method=name, **metrics))
        yield from (mean_score(found, scene.name) for found in draws.values())


def cropped(scene: Scene, ratio: int) -> Scene:
    """The scene without the last rows and columns that fill no LR pixel."""
    rows, cols = (side // ratio * ratio for side in scene.cube.shape[:2])
    return replace(scene, cube=scene.cube[:rows, :cols])


def pairs(scene: Scene, ratio: int, setting: Setting, cameras: Sequence[Response]) -> Iterator[tuple[Float, Float]]:
    """The frame pairs of a scene, `(rows, cols, bands)` each, always the same ones.

    Args:
        scene: With sides that are multiples of the ratio.
        ratio: HR pixels per LR pixel.
        setting: Which kind, and how many.
        cameras: To draw from, on the vis31 grid.
    """
    if scene.wavelengths_nm is not None:
        cameras = [on_bands(camera, scene.wavelengths_nm) for camera in cameras]
    truth = np.ascontiguousarray(np.moveaxis(scene.cube, 2, 0))
    for draw in range(setting.draws):
        # Seeded by its name, a scene keeps its pairs whatever other scenes there are.
        rng = np.random.default_rng((zlib.crc32(scene.name.encode()), draw))
        pair = simulate_pair(truth, ratio, setting.degradation, cameras, rng)
        yield np.moveaxis(pair.lr_hsi, 0, 2), np.moveaxis(pair.hr_msi, 0, 2)
