"""The report of a calibration: what was estimated, and pictures that show whether it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import OutputError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.registration.calibrate import Calibration
from hsi_edge.registration.rig import Rig
from hsi_edge.registration.warp import GridWarp
from hsi_edge.report import page
from hsi_edge.report.pictures import Rgb, false_colour, fit_to_page, magnified, stretch_limits

SHOWN_RATIO = 8
SQUARES = 6
"""Of the checkerboard, along the frame's longer side."""
ARROWS = 14
LARGEST_RESIDUAL = 4.0
"""Shown as full red or blue, in root mean squares of the residual."""


def write_registration_report(folder: Path, calibration: Calibration, lr_hsi: Cube, hr_msi: Cube) -> Path:
    """Write `registration.html` for a calibration and one of its pairs into a folder, which is made if need be.

    Raises:
        OutputError: If the folder cannot be written.
    """
    rig = calibration.rig
    photo, _ = GridWarp(rig, SHOWN_RATIO).on_grid(_eight_bits(hr_msi))
    frame = _frame_colours(lr_hsi)
    matched = _matched(photo, frame)
    left = [_residual(matched, frame, calibration)]
    if rig.bend is not None:
        left.append(_bend(rig, photo))
    sections = [
        page.facts(in_words(calibration)),
        page.section(
            "On each other",
            "Lines must go on from square to square.",
            page.pictures(_overlays(rig, hr_msi, frame, photo)),
        ),
        page.section("What is left", "Where the RGB does not explain the frame.", page.pictures(left)),
    ]
    rows, cols = rig.lr_shape
    title = f"{rows} x {cols} spectral pixels on {rig.msi_shape[0]} x {rig.msi_shape[1]} RGB pixels"
    return _written(folder, page.page("Registration of a rig", title, sections))


def in_words(calibration: Calibration) -> Mapping[str, str]:
    """The estimate for people, by what it is."""
    rig = calibration.rig
    rows, cols = rig.lr_shape
    middle = np.array([cols, rows]) / 2
    # Of the whole frame: in the middle, a bend may turn and stretch it.
    centre, right, down = replace(rig, bend=None).msi_points(middle + np.array([[0, 0], [0.5, 0], [0, 0.5]]))
    across, along = (right - centre) * 2, (down - centre) * 2
    off = centre - np.array(rig.msi_shape[::-1]) / 2
    values = {
        "model": calibration.model,
        "RGB pixels per LR pixel": f"{np.hypot(*across):.3f} across, {np.hypot(*along):.3f} down",
        "rotation": f"{np.rad2deg(np.arctan2(across[1], across[0])):+.2f} degrees",
        "frame's middle on the RGB": f"{off[0]:+.1f} right, {off[1]:+.1f} down of its middle, in RGB pixels",
        "PSF": f"{rig.psf_fwhm_lr:.2f} LR pixels (FWHM)",
        "standard error": f"{rig.std_lr:.3f} LR pixels",
        "explained": f"{calibration.explained:.1%} of the frame's variance in the RGB's range",
        "overlap": f"{calibration.overlap:.0%} of the frame",
    }
    if rig.lens is not None:
        values["lens"] = f"k1 = {rig.lens.k1:+.4f} at {rig.lens.radius_px:.0f} RGB pixels from the middle"
    if rig.bend is not None:
        values["bend"] = f"up to {np.hypot(*np.moveaxis(rig.bend, 2, 0)).max():.1f} LR pixels"
    return values


def _eight_bits(image: Cube) -> Rgb:
    values = np.asarray(image.data[...])
    three = image.n_bands == 3
    if three and values.dtype == np.uint8:
        return values
    wavelengths_nm = np.array([650.0, 550.0, 450.0]) if three and image.wavelengths_nm is None else image.wavelengths_nm
    return false_colour(image.physical(), wavelengths_nm)


def _frame_colours(lr_hsi: Cube) -> Rgb:
    values = lr_hsi.physical()
    limits = stretch_limits(values, lr_hsi.wavelengths_nm, lr_hsi.bad_bands)
    return false_colour(values, lr_hsi.wavelengths_nm, limits, bad_bands=lr_hsi.bad_bands)


def _lr_means(photo: Rgb) -> NDArray[np.float64]:
    rows, cols = photo.shape[0] // SHOWN_RATIO, photo.shape[1] // SHOWN_RATIO
    return np.asarray(photo.reshape(rows, SHOWN_RATIO, cols, SHOWN_RATIO, 3).mean(axis=(1, 3)))


def _matched(photo: Rgb, frame: Rgb) -> NDArray[np.float64]:
    """The photo's LR means in the frame's colours, by a linear regression, `(rows, cols, 3)`."""
    means = _lr_means(photo)
    guide = np.concatenate([means, np.ones((*means.shape[:2], 1))], axis=2).reshape(-1, 4)
    weights = np.linalg.lstsq(guide, frame.reshape(-1, 3).astype(np.float64), rcond=None)[0]
    return np.asarray((guide @ weights).reshape(frame.shape))


def _overlays(rig: Rig, hr_msi: Cube, frame: Rgb, photo: Rgb) -> list[page.Picture]:
    large = magnified(frame, SHOWN_RATIO)
    stretched = _plainly_stretched(rig, _eight_bits(hr_msi))
    pictures = {
        "Before": (
            "The RGB as if both showed the same ground, in squares with the frame.",
            _checkered(large, stretched),
        ),
        "After": ("The RGB on the frame's grid, in squares with the frame.", _checkered(large, photo)),
    }
    return [page.Picture(title=title, note=note, rgb=fit_to_page(rgb)) for title, (note, rgb) in pictures.items()]


def _plainly_stretched(rig: Rig, photo: Rgb) -> Rgb:
    (rows, cols), (msi_rows, msi_cols) = rig.lr_shape, rig.msi_shape
    matrix = np.diag([msi_cols / cols, msi_rows / rows, 1.0])
    plain = Rig(lr_shape=rig.lr_shape, msi_shape=rig.msi_shape, msi_from_lr=matrix)
    return GridWarp(plain, SHOWN_RATIO).on_grid(photo)[0]


def _checkered(frame: Rgb, photo: Rgb) -> Rgb:
    side = max(SHOWN_RATIO, max(frame.shape[:2]) // SQUARES)
    y, x = np.indices(frame.shape[:2]) // side
    return np.where(((x + y) % 2 == 0)[:, :, None], frame, photo)


def _residual(matched: NDArray[np.float64], frame: Rgb, calibration: Calibration) -> page.Picture:
    """Brighter than explained in red, darker in blue, on white."""
    left = (frame - matched).mean(axis=2)
    strength = np.clip(left / max(LARGEST_RESIDUAL * float(np.sqrt(np.mean(left**2))), 1e-9), -1, 1)[:, :, None]
    colour = np.where(strength > 0, np.array([200.0, 30, 30]), np.array([30.0, 60, 200]))
    rgb = np.rint(255 + np.abs(strength) * (colour - 255)).astype(np.uint8)
    note = f"Red: the frame is brighter than the RGB explains; blue: darker. Explained: {calibration.explained:.1%}."
    return page.Picture(title="Residual", note=note, rgb=fit_to_page(magnified(rgb, SHOWN_RATIO)))


def _bend(rig: Rig, photo: Rgb) -> page.Picture:
    """Arrows from the pixel to what it shows, in their true length, on the RGB."""
    assert rig.bend is not None
    rgb: NDArray[Any] = fit_to_page(photo // 2).copy()
    scale = rgb.shape[0] / rig.lr_shape[0]
    spacing = max(1, max(rig.lr_shape) // ARROWS)
    for row in range(spacing // 2, rig.lr_shape[0], spacing):
        for col in range(spacing // 2, rig.lr_shape[1], spacing):
            start = (np.array([col, row]) + 0.5) * scale
            _draw(rgb, start, start + rig.bend[row, col] * scale)
    note = f"From each LR pixel (dot) to what it shows, in true length; up to {np.abs(rig.bend).max():.1f} LR pixels."
    return page.Picture(title="Bend", note=note, rgb=rgb)


def _draw(rgb: Rgb, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    steps = int(np.abs(end - start).max()) + 1
    for part in np.linspace(0, 1, steps + 1):
        _dot(rgb, start + part * (end - start), 1, (255, 210, 60))
    _dot(rgb, start, 2, (255, 255, 255))


def _dot(rgb: Rgb, at: NDArray[np.float64], radius: int, colour: tuple[int, int, int]) -> None:
    x, y = np.rint(at).astype(int)
    rgb[max(0, y - radius) : max(0, y + radius + 1), max(0, x - radius) : max(0, x + radius + 1)] = colour


def _written(folder: Path, html: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the report's folder {folder} ({err}); choose another place") from err
    path = folder / "registration.html"
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path
