"""Pictures, error maps and spectra of the test scenes, one figure per scene and ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from export.accuracy import BICUBIC
from export.compare import SETTINGS, cropped, pairs
from export.data.scenes import Scene, load_scenes, vis31_nm
from export.drawing import LINES, new_figure, save_figure
from export.methods import Float, Method, open_methods
from hsi_edge.cube import Cube
from hsi_edge.io.atomic import atomic_path
from hsi_edge.quality import compare
from hsi_edge.report.measured import facts
from hsi_edge.report.pictures import false_colour, magnified, stretch_limits
from hsi_edge.report.spectra import pixel_spectra

SETTING = next(setting for setting in SETTINGS if setting.name == "realistic")
SPECTRA = 3
PANEL_INCH = 1.55
ERROR_PERCENTILE = 99.0
NOTES = f"""\
The first {SETTING.name} pair of each test scene (see accuracy.md for what that is). Above, the results in one stretch;
below, the mean over the bands of their absolute error, on one scale per figure, which bicubic may exceed, with PSNR and
SAM; then the spectra of the pixels that are marked in the truth. Scenes are scaled to a largest value of 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneResult:
    """One scene as every method gives it.

    Attributes:
        scene: The truth.
        ratio: HR pixels per LR pixel.
        lr_hsi: What the methods saw, `(h, w, bands)`.
        results: By method, `(h * ratio, w * ratio, bands)`.
    """

    scene: Scene
    ratio: int
    lr_hsi: Float
    results: Mapping[str, Float]


def draw_scenes(bundles: Sequence[Path], data: Path, out: Path) -> list[Path]:
    """Draw every test scene at every ratio of the bundles, from its first realistic pair.

    Args:
        bundles: Of models on the vis31 grid, or for any bands.
        data: The research data folder.
        out: The folder for `figures/SCENE-xRATIO.png`; made where it is missing.

    Returns:
        The files.
    """
    (out / "figures").mkdir(parents=True, exist_ok=True)
    files = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for ratio, methods in open_methods(bundles, folder, stack).items():
            for scene in load_scenes(data, "test"):
                result = _result(cropped(scene, ratio), ratio, methods, data)
                files.append(out / "figures" / f"{scene.name}-x{ratio}.png")
                save_figure(scene_figure(result), files[-1])
    return files


def write_scenes(out: Path, files: Sequence[Path], machine: dict[str, str]) -> None:
    """Write `scenes.md`, a page that shows the figures of `draw_scenes`.

    Raises:
        OutputError: If the system refuses to write.
    """
    pictures = [f"![{file.stem}: results, errors and spectra](figures/{file.name})" for file in files]
    with atomic_path(out / "scenes.md") as partial:
        partial.write_text(
            "\n\n".join(["# The test scenes", NOTES, facts(machine), *pictures]) + "\n", encoding="utf-8"
        )


def _result(scene: Scene, ratio: int, methods: Mapping[str, Method], data: Path) -> SceneResult:
    lr_hsi, hr_msi = next(pairs(scene, ratio, SETTING, SETTING.cameras(data)))
    results = {name: method.run(lr_hsi, hr_msi) for name, method in methods.items()}
    return SceneResult(scene=scene, ratio=ratio, lr_hsi=lr_hsi, results=results)


def scene_figure(result: SceneResult) -> Figure:
    """Above the results in colour, below them their absolute errors, and spectra of a few pixels."""
    columns = 1 + len(result.results)
    width = PANEL_INCH * max(columns, 4)
    figure = new_figure(width, 2 * PANEL_INCH + 2.6)
    parts: Any = figure.subfigures(2, 1, height_ratios=(2 * PANEL_INCH + 0.5, 2.1))
    top, bottom = parts
    pixels = _pixels(result)
    _draw_pictures(top.subplots(2, columns, squeeze=False), result, pixels, top)
    _draw_spectra(bottom.subplots(1, SPECTRA, squeeze=False)[0], result, pixels, bottom)
    title = f"{result.scene.name}, ratio {result.ratio}, {SETTING.name} pair"
    figure.suptitle(title, fontsize=9)
    return figure


def _draw_pictures(axes: NDArray[Any], result: SceneResult, pixels: Sequence[tuple[int, int]], figure: Any) -> None:
    truth, wavelengths = result.scene.cube, vis31_nm()
    limits = stretch_limits(truth, wavelengths)
    errors = {name: np.abs(image - truth).mean(axis=2) for name, image in result.results.items()}
    # Bicubic's errors would leave all others dark.
    largest = max(np.percentile(error, ERROR_PERCENTILE) for name, error in errors.items() if name != BICUBIC)
    _picture(axes[0, 0], false_colour(truth, wavelengths, limits), "truth")
    _mark(axes[0, 0], pixels)
    lr_hsi = false_colour(result.lr_hsi, wavelengths, limits)
    _picture(axes[1, 0], magnified(lr_hsi, result.ratio), "LR-HSI")
    for column, (name, image) in enumerate(result.results.items(), 1):
        quality = compare(image, truth, ratio=result.ratio)
        _picture(axes[0, column], false_colour(image, wavelengths, limits), name)
        shown = axes[1, column].imshow(errors[name], vmin=0, vmax=largest, cmap="magma", interpolation="nearest")
        _bare(axes[1, column], f"{quality.psnr_db:.2f} dB, {quality.sam_deg:.2f}°")
    figure.colorbar(shown, ax=axes[1, :].tolist(), label="mean absolute error", shrink=0.85, pad=0.01)


def _picture(axes: Axes, rgb: NDArray[np.uint8], title: str) -> None:
    axes.imshow(rgb, interpolation="nearest")
    _bare(axes, title)


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_axis_off()


def _mark(axes: Axes, pixels: Sequence[tuple[int, int]]) -> None:
    for number, (row, col) in enumerate(pixels, 1):
        axes.plot(col, row, "o", markersize=4, markerfacecolor="none", markeredgecolor="white")
        # Towards the middle, as beyond the border nothing is drawn.
        left = col > np.mean(axes.get_xlim())
        below = row < np.mean(axes.get_ylim())
        offset = (-9 if left else 4, -9 if below else 4)
        axes.annotate(str(number), (col, row), offset, textcoords="offset points", color="white", weight="bold")


def _draw_spectra(axes: NDArray[Any], result: SceneResult, pixels: Sequence[tuple[int, int]], figure: Any) -> None:
    wavelengths = vis31_nm()
    for number, (place, (row, col)) in enumerate(zip(axes, pixels, strict=False), 1):
        place.plot(wavelengths, result.scene.cube[row, col], color="black", linewidth=2, label="truth")
        for colour, (name, image) in zip(LINES, result.results.items(), strict=False):
            place.plot(wavelengths, image[row, col], color=colour, linewidth=1, label=name)
        place.set_title(f"{number}: row {row}, column {col}")
        place.set_xlabel("nm")
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside right upper", frameon=False)


def _pixels(result: SceneResult) -> list[tuple[int, int]]:
    """HR pixels with spectra unlike each other."""
    middle, ratio = result.ratio // 2, result.ratio
    found = pixel_spectra(result.lr_hsi, Cube(data=result.scene.cube), ratio, SPECTRA)
    return [(pixel.row * ratio + middle, pixel.col * ratio + middle) for pixel in found]
