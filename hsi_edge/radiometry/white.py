"""What a sensor counts of a known reflectance, and how its lens darkens towards the edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.radiometry.dark import Dark, Float, read_frames
from hsi_edge.radiometry.panel import find_panel
from hsi_edge.radiometry.settings import (
    FlatField,
    LensShading,
    Panel,
    PanelRegion,
    PolynomialVignetting,
    RadiometrySettings,
    WhiteFrames,
)

SATURATED_PART = 0.01
"""Of a panel: with more saturated pixels its mean is too low."""


@dataclass(frozen=True, eq=False)
class White:
    """The reference.

    Attributes:
        factor: Reflectance per DN above the dark, `(rows, cols, bands)` with 1 for an axis along which it does not
            change; NaN where a pixel is dead.
        exposure_us, gain: With which it was recorded; None for those of the frames.
        regions: Where the panel was, one for all bands or one per band; empty for white frames.
    """

    factor: Float
    exposure_us: float | None
    gain: float | None
    regions: tuple[PanelRegion, ...] = ()


def read_white(settings: RadiometrySettings, dark: Dark) -> White | None:
    """The reference that settings describe, or None.

    Raises:
        InputError: A file cannot be read or does not fit, the dark is brighter than the white, or no panel is found.
    """
    white = settings.white
    if white is None:
        return None
    frames = read_frames(white.files)
    mean = frames.mean(axis=0)
    signal = mean - fitted(dark.at(white.exposure_us, "the white reference"), mean.shape, "the dark signal")
    if settings.saturation_level is not None:
        saturated = frames.max(axis=0) >= settings.saturation_level
        _check_measured(saturated.mean(axis=(0, 1)))
        signal[saturated] = np.nan
    reflectance = fitted(
        np.array(white.reflectance, np.float32).reshape(1, 1, -1), mean.shape, "the list white.reflectance"
    )
    if isinstance(white, WhiteFrames):
        return White(_factor(white, signal, reflectance), white.exposure_us, white.gain)
    shading = vignetting_factor(settings.vignetting, dark, mean.shape)
    if shading is not None:
        signal *= shading
    return _panel(white, signal, reflectance)


def _factor(white: WhiteFrames, signal: Float, reflectance: Float) -> Float:
    usual = np.nanmedian(signal, axis=(0, 1))
    _check_brighter(usual)
    dead = ~(signal >= white.dead_fraction * usual)
    with np.errstate(divide="ignore"):
        return np.where(dead, np.float32(np.nan), reflectance / signal)


def _panel(white: Panel, signal: Float, reflectance: Float) -> White:
    bands = signal.shape[2]
    regions = white.regions or _found(white, signal)
    if len(regions) not in (1, bands):
        raise InputError(f"white.regions has {len(regions)} rectangles; wanted 1, or one for each of {bands} bands")
    levels = np.array([_level(signal, band, regions[band % len(regions)]) for band in range(bands)], np.float32)
    _check_brighter(levels)
    return White(reflectance[:1, :1] / levels, white.exposure_us, white.gain, tuple(regions))


def _found(white: Panel, signal: Float) -> tuple[PanelRegion, ...]:
    if white.registered:
        return (find_panel(signal),)
    return tuple(find_panel(signal[:, :, band : band + 1]) for band in range(signal.shape[2]))


def _level(signal: Float, band: int, region: PanelRegion) -> float:
    inside = signal[region.first_row : region.end_row, region.first_col : region.end_col, band]
    wanted = (region.end_row - region.first_row, region.end_col - region.first_col)
    if inside.shape != wanted or 0 in inside.shape:
        raise InputError(
            f"{region} is empty or beyond the panel frame of {signal.shape[0]} x {signal.shape[1]} pixels; correct "
            "white.regions"
        )
    if np.isnan(inside).mean() > SATURATED_PART:
        raise InputError(
            f"the panel is saturated or invalid in band {band} (counted from 0); record it with a shorter exposure"
        )
    return float(np.nanmean(inside))


def _check_measured(saturated_part: NDArray[np.floating[Any]]) -> None:
    if (saturated_part == 1).any():
        raise InputError(
            f"all of the white reference is saturated in band {int(saturated_part.argmax())} (counted from 0); record "
            "it with a shorter exposure, or correct saturation_level"
        )


def _check_brighter(levels: NDArray[np.float32]) -> None:
    if not (levels > 0).all():
        band = int(np.argmin(np.nan_to_num(levels, nan=-np.inf)))
        raise InputError(
            f"the dark signal is brighter than the white in band {band} (counted from 0); "
            "check that the files are not swapped and are of one exposure and gain"
        )


def vignetting_factor(
    vignetting: PolynomialVignetting | FlatField | None, dark: Dark, shape: tuple[int, int, int]
) -> Float | None:
    """What frames of a shape are multiplied by, `(rows, cols, bands or 1)`; None for nothing.

    Raises:
        InputError: There are not as many lenses as bands, or the flat field does not fit.
    """
    if vignetting is None:
        return None
    if isinstance(vignetting, FlatField):
        mean = read_frames(vignetting.files).mean(axis=0)
        flat = mean - fitted(dark.at(vignetting.exposure_us, "the flat field"), mean.shape, "the dark signal")
        _check_brighter(np.asarray(np.median(flat, axis=(0, 1))))
        return fitted(flat.mean(axis=(0, 1)) / np.where(flat > 0, flat, np.float32(np.nan)), shape, "the flat field")
    lenses = vignetting.lenses
    if len(lenses) not in (1, shape[2]):
        raise InputError(f"vignetting.lenses has {len(lenses)} lenses; wanted 1, or one for each of {shape[2]} bands")
    return np.stack([_shading(lens, shape) for lens in lenses], axis=2)


def _shading(lens: LensShading, shape: tuple[int, int, int]) -> Float:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    radius = np.hypot(rows - lens.centre_y_px, cols - lens.centre_x_px)
    brightness = np.polynomial.Polynomial((1.0, *lens.coefficients))(radius)
    if not (brightness > 0).all():
        raise InputError(
            "the vignetting polynomial falls to zero within the frame; check vignetting.lenses: their centre and "
            "radius are in pixels"
        )
    return (1 / brightness).astype(np.float32)


def fitted(values: Float, shape: tuple[int, int, int], what: str) -> Float:
    """The same values, if each axis has the length of the frame's or 1.

    Raises:
        InputError: It has not; `what` says what does not fit.
    """
    if any(length not in (1, wanted) for length, wanted in zip(values.shape, shape, strict=True)):
        raise InputError(
            f"{what} is for {_words(values.shape)}; the frame has {_words(shape)}: record both with the same window "
            "and binning"
        )
    return values


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} pixels with {shape[2]} bands"
