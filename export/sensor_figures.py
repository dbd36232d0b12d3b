"""Figures and a page of the real sensors that demosaicing, radiometry and registration were tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from export.drawing import LINES, new_figure, save_figure
from export.sensor_trials import (
    BLACK_DN,
    PANEL_REFLECTANCE,
    REFERENCE_NM,
    MosaicTrial,
    RedEdgeTrial,
    mosaic_trials,
    rededge_trial,
)
from hsi_edge.io.atomic import atomic_path
from hsi_edge.report.measured import facts, table
from hsi_edge.report.pictures import false_colour

Patch = tuple[slice, slice]

REFERENCE_PATCHES: Mapping[str, Patch] = {
    "mei_shanghai_5_0": (slice(0, 80), slice(300, 500)),
    "room_scene_colorchecker_testborad_prefix_6": (slice(120, 160), slice(60, 100)),
}
"""Something white in each frame, in macro-pixels: clouds, and the chart's paper."""
PATCHES: Mapping[str, Mapping[str, Patch]] = {
    "mei_shanghai_5_0": {
        "tree": (slice(150, 190), slice(118, 132)),
        "grass": (slice(232, 240), slice(100, 300)),
        "road": (slice(208, 222), slice(160, 280)),
    },
    "room_scene_colorchecker_testborad_prefix_6": {
        "grey field": (slice(178, 184), slice(150, 180)),
        "black bar": (slice(190, 200), slice(270, 320)),
        "dark board": (slice(150, 170), slice(4, 20)),
    },
}
INFRARED_NM = (840.0, 668.0, 560.0)
RAW_CROP: Patch = (slice(520, 568), slice(1000, 1048))
REDEDGE_CROP: Patch = (slice(20, 260), slice(560, 880))
REDEDGE_PATCHES: Mapping[str, Patch] = {
    "vines": (slice(520, 560), slice(300, 340)),
    "track": (slice(660, 700), slice(1015, 1040)),
    "dry ground": (slice(520, 580), slice(1140, 1200)),
}

MOSAIC_NOTES = """\
Raw frames of 4 x 4 snapshot mosaic sensors (1024 x 2048 pixels, 8 bit), through `hsi_edge.sensors.mosaic` with
[the sample calibration](../apps/samples/imec4x4/mosaic.yaml), as cubes of 256 x 512 pixels with 16 bands.

The calibration's filter curves are measured ones; **which filter lies on which pixel is not documented with the frames
and was inferred**. Neighbours in wavelength should see nearly the same light, so the 128 arrangements that mirroring,
turning and shifting give to the order of the curves were compared by the roughness of the frame's mean spectrum (root
mean square of the second difference of its logarithm). In both frames the smoothest is the order of the curves' table
itself, row by row from the first pixel. One rival is exactly as smooth, as it only turns the spectrum round, short for
long. Against it stand the fits of white areas by smooth light through the curves: of 16 such models (two frames, four
of the light, two black levels) the table's order was better in 12, the rival slightly in 4. These fits are not part of
this command.

The camera's band-pass filter is not documented either. Light of 450 to 650 nm alone leaves 3.5 and 2.5 percent of the
two frames' signals unexplained, light of 400 to 650 nm 1.2 and 1.1, light of 400 to 1000 nm 0.5 and 0.8. The correction
assumes 400 to 650 nm; infrared light besides cannot be ruled out. Spectra are relative to something white in the frame
(clouds, paper); without the correction they are flat, as each filter lets other light through besides its own band."""
REDEDGE_NOTES = f"""\
Five cameras of a MicaSense RedEdge on a drone. Reflectance is by the panel, which was found in each band's frame
(outlined below). Then every band was brought onto the grid of {REFERENCE_NM:.0f} nm: by the turn of its camera
(RigRelatives, focal length, principal point) and by one translation, as the cameras are apart. What is left is measured
as the translation is: by phase correlation of edges, here in 3 x 3 windows, root mean square.

Not in these files, and what was taken instead:

- the panel's certificate: {100 * PANEL_REFLECTANCE:.0f} percent in every band;
- exposures and gains: the same for the panel and for the flight, though each camera chooses its own. **So the level of
  each band, and with it the value of NDVI, is not to be relied on**; patterns within a band are;
- vignetting and lens distortion: neither was undone;
- the black level: {BLACK_DN:.0f} DN of 12 bits, MicaSense's usual 4800 of 16 bits. The data do not contradict it: the
  darkest pixel of both frames has 350."""


def draw_sensors(data: Path, out: Path, machine: dict[str, str]) -> list[Path]:
    """Write `sensors-tried.md` and its figures; returns the figures.

    Args:
        data: The research data folder.
        out: The folder for the page and `figures/`; made where it is missing.
        machine: What the page says of the run.

    Raises:
        OutputError: If the system refuses to write.
    """
    (out / "figures").mkdir(parents=True, exist_ok=True)
    trials, rededge = list(mosaic_trials(data)), rededge_trial(data)
    figures = {f"mosaic-{number}": mosaic_figure(trial) for number, trial in enumerate(trials, 1)}
    figures |= {"rededge-panel": panel_figure(rededge), "rededge-bands": bands_figure(rededge)}
    figures["rededge-ndvi"] = ndvi_figure(rededge)
    files = {name: out / "figures" / f"sensors-{name}.png" for name in figures}
    for name, figure in figures.items():
        save_figure(figure, files[name])
    with atomic_path(out / "sensors-tried.md") as partial:
        partial.write_text(_page(trials, rededge, files, machine) + "\n", encoding="utf-8")
    return list(files.values())


def _page(
    trials: Sequence[MosaicTrial], rededge: RedEdgeTrial, files: Mapping[str, Path], machine: dict[str, str]
) -> str:
    pictures = {name: f"![{name}](figures/{file.name})" for name, file in files.items()}
    mosaics = [pictures[f"mosaic-{number}"] for number in range(1, len(trials) + 1)]
    parts = ["# Sensors that were tried", facts(machine), "## Snapshot mosaic", MOSAIC_NOTES, _roughness(trials)]
    parts += [*mosaics, "## RedEdge", REDEDGE_NOTES, pictures["rededge-panel"], _offsets(rededge)]
    parts.append(_instead(rededge))
    return "\n\n".join([*parts, pictures["rededge-bands"], pictures["rededge-ndvi"]])


def _roughness(trials: Sequence[MosaicTrial]) -> str:
    header = ["frame", "inferred order", "turned round", "next", "median of all"]
    rows = [
        [
            trial.name,
            *(f"{value:.4f}" for value in (trial.roughness, trial.rivals[0], trial.rivals[1])),
            f"{np.median(trial.rivals):.4f}",
        ]
        for trial in trials
    ]
    return table(header, rows, words=1)


def _offsets(trial: RedEdgeTrial) -> str:
    header = ["offset from the reference [px]", *(f"{nm:.0f} nm" for nm in trial.wavelengths_nm)]
    steps = ("as the bands come", "turned by RigRelatives", "and moved (shown below)", "registered instead")
    rows = [
        [step, *("refused" if np.isnan(value) else f"{value:.2f}" for value in row)]
        for step, row in zip(steps, trial.offsets_px, strict=True)
    ]
    return table(header, rows, words=1)


def _instead(trial: RedEdgeTrial) -> str:
    moved, registered = trial.offsets_px[2:]
    others = np.isfinite(registered) & (trial.wavelengths_nm != REFERENCE_NM)
    refused = ", ".join(f"{nm:.0f} nm" for nm in trial.wavelengths_nm[np.isnan(registered)])
    return (
        "Each band registered on the reference by `hsi-edge register` instead, begun at RigRelatives, leaves "
        f"{registered[others].mean():.2f} pixels on average where the translation leaves {moved[others].mean():.2f} "
        f"(refused: {refused or 'none'}): it averages so large a frame over blocks first, as it is made for a spectral "
        "frame of far fewer pixels than the RGB. The pictures show the translation."
    )


def mosaic_figure(trial: MosaicTrial) -> Figure:
    """The raw pixels, the cube without and with the correction, and spectra."""
    figure = new_figure(9.0, 5.2)
    axes = figure.subplots(2, 2, width_ratios=(1.0, 1.0))
    white, patches = REFERENCE_PATCHES[trial.name], PATCHES[trial.name]
    axes[0, 0].imshow(trial.raw[RAW_CROP], cmap="gray", interpolation="nearest")
    _bare(
        axes[0, 0],
        f"raw: rows {RAW_CROP[0].start} to {RAW_CROP[0].stop}, columns {RAW_CROP[1].start} to {RAW_CROP[1].stop}",
    )
    plain, corrected = (
        frame.data / np.nanmedian(frame.data[white], axis=(0, 1)) for frame in (trial.plain, trial.corrected)
    )
    for place, cube, frame, title in (
        (axes[0, 1], plain, trial.plain, "filters as they are"),
        (axes[1, 0], corrected, trial.corrected, "corrected by the filter curves"),
    ):
        place.imshow(false_colour(cube, frame.wavelengths_nm), interpolation="nearest")
        _bare(place, f"{title}, false colour")
    for number, (colour, (name, patch)) in enumerate(zip(LINES, patches.items(), strict=False), 1):
        _outline(axes[1, 0], patch, colour, str(number))
        for cube, frame, style, label in (
            (plain, trial.plain, "--", None),
            (corrected, trial.corrected, "-", f"{number}: {name}"),
        ):
            spectrum = np.nanmedian(cube[patch], axis=(0, 1))
            axes[1, 1].plot(frame.wavelengths_nm, spectrum, style, color=colour, label=label)
    axes[1, 1].set_title("relative to white; dashed: filters as they are")
    axes[1, 1].set_xlabel("nm")
    axes[1, 1].set_ylim(bottom=0)
    axes[1, 1].legend(frameon=False, fontsize=7)
    return figure


def panel_figure(trial: RedEdgeTrial) -> Figure:
    """The panel's frame in every band, with the region that was found."""
    figure = new_figure(9.0, 1.75)
    for band, place in enumerate(figure.subplots(1, len(trial.wavelengths_nm))):
        shown = trial.panel[:, :, band]
        place.imshow(shown[::2, ::2], cmap="gray", vmax=float(np.percentile(shown, 99.5)))
        region = trial.regions[band % len(trial.regions)]
        half = (slice(region.first_row // 2, region.end_row // 2), slice(region.first_col // 2, region.end_col // 2))
        _outline(place, half, LINES[1], "")
        _bare(place, f"{trial.wavelengths_nm[band]:.0f} nm")
    return figure


def bands_figure(trial: RedEdgeTrial) -> Figure:
    """Infrared false colour: a crop before and after registration, and the whole frame."""
    figure = new_figure(9.0, 2.7)
    bands = [_band(trial, nm) for nm in INFRARED_NM]
    limits = np.stack([np.nanpercentile(trial.registered[:, :, band], (1, 99)) for band in bands]).astype(np.float64)
    places = figure.subplots(1, 3)
    for place, cube, title in (
        (places[0], trial.stacked[REDEDGE_CROP], "bands as they come (crop)"),
        (places[1], trial.registered[REDEDGE_CROP], "registered (the same crop)"),
        (places[2], trial.registered[::2, ::2], "registered, whole frame"),
    ):
        shown = cube[:, :, bands[::-1]]  # without wavelengths, false colour shows the last band as red
        whole = np.where(np.isnan(shown).any(axis=2, keepdims=True), np.float32(np.nan), shown)
        place.imshow(false_colour(whole, None, limits), interpolation="nearest")
        _bare(place, title)
    figure.suptitle("red, green, blue: " + ", ".join(f"{nm:.0f}" for nm in INFRARED_NM) + " nm", fontsize=8)
    return figure


def ndvi_figure(trial: RedEdgeTrial) -> Figure:
    """The vegetation index of the registered frame, and spectra."""
    figure = new_figure(9.0, 3.0)
    left, right = figure.subplots(1, 2)
    nir, red = (trial.registered[:, :, _band(trial, nm)] for nm in INFRARED_NM[:2])
    image = left.imshow(((nir - red) / (nir + red))[::2, ::2], cmap="RdYlGn", vmin=-0.4, vmax=1)
    _bare(left, "NDVI")
    figure.colorbar(image, ax=left, shrink=0.8)
    for number, (colour, (name, patch)) in enumerate(zip(LINES, REDEDGE_PATCHES.items(), strict=False), 1):
        half = (slice(patch[0].start // 2, patch[0].stop // 2), slice(patch[1].start // 2, patch[1].stop // 2))
        _outline(left, half, "black", str(number))
        spectrum = np.nanmedian(trial.registered[patch], axis=(0, 1))
        right.plot(trial.wavelengths_nm, spectrum, "o-", color=colour, label=f"{number}: {name}")
    right.set_xlabel("nm")
    right.set_title("reflectance by the panel, level of each band uncertain")
    right.set_ylim(bottom=0)
    right.legend(frameon=False, fontsize=7)
    return figure


def _band(trial: RedEdgeTrial, nm: float) -> int:
    return int(np.abs(trial.wavelengths_nm - nm).argmin())


def _bare(place: Axes, title: str) -> None:
    place.set_title(title)
    place.set_axis_off()


def _outline(place: Axes, patch: Patch, colour: str, label: str) -> None:
    rows, cols = patch
    place.add_patch(
        Rectangle(
            (cols.start, rows.start), cols.stop - cols.start, rows.stop - rows.start, fill=False, edgecolor=colour
        )
    )
    place.text(cols.stop + 3, rows.start, label, color=colour, weight="bold", va="top")
