"""A result as pictures for a visitor: the sensor's frame and the fused one alike, and the self-check's map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import require
from hsi_edge.live.result import LiveResult
from hsi_edge.live.viewer.view import INDICES, Overlay, View, index_bands, shown_bands

LARGEST_PX = 1024
"""Longer side of a picture that is sent; larger frames are averaged down."""
_LOSSLESS_PX = 160
_QUALITY = 85
_PERCENTILES = (2.0, 98.0)
_SAMPLES = 128  # per side, from which a stretch is found
_DRIFT = 0.25  # of the way to a new frame's stretch that is gone at once: a bright roof must not make the rest flicker
_STRETCHES = 64
_NO_DATA = (70, 70, 70)

Colour = tuple[int, int, int]

INDEX_COLOURS: tuple[Colour, ...] = ((112, 60, 18), (196, 148, 82), (245, 235, 205), (98, 172, 96), (6, 82, 44))
"""Low to high as red, green, blue: brown, white, green; told apart by the colour-blind and in sunlight."""
RESIDUAL_COLOURS: tuple[Colour, ...] = ((40, 60, 160), (60, 170, 200), (255, 235, 90), (240, 110, 30), (150, 0, 40))
"""From nothing to `RESIDUAL_TOP` times the bound."""
RESIDUAL_TOP = 2.0
CONFIDENCE_COLOURS: tuple[tuple[float, Colour, str], ...] = (
    (0.5, (30, 130, 230), "agrees"),
    (1.0, (255, 205, 40), "near its bound"),
    (np.inf, (220, 20, 60), "doubtful"),
)
"""Up to which part of the bound, in which colour, in words."""
NO_MEASUREMENT: Colour = (120, 120, 120)

_OPACITY, _FAINT = 160, 60

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded picture: `image/png` or `image/jpeg`."""

    kind: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Painting:
    """What one view shows of one result.

    Attributes:
        sensor: The spectral frame, a pixel each.
        fused: The result, at most `LARGEST_PX` on its longer side.
        overlay: The self-check's map on the LR grid; None where none is wished for.
        legend: What the visitor is to be told: `bands` with their numbers, or `index` and its limits.
    """

    sensor: Picture
    fused: Picture
    overlay: Picture | None
    legend: dict[str, Any]


class Painter:
    """Paints results; remembers each view's stretch, so that a picture does not flicker. Used by one thread."""

    def __init__(self) -> None:
        self._limits: dict[tuple[int, ...], tuple[float, float]] = {}

    def paint(self, result: LiveResult, view: View) -> Painting:
        """Return the pictures of a result.

        Raises:
            MissingPackageError: OpenCV is not installed.
        """
        bands = index_bands(view, result.hr_hsi)
        if bands is not None:
            low, high = INDICES[view.show].limits
            sensor, fused = (_index_rgb(cube, bands, (low, high)) for cube in (result.lr_hsi, result.hr_hsi))
            legend: dict[str, Any] = {"index": view.show, "limits": [low, high]}
        else:
            shown = shown_bands(view, result.hr_hsi)
            limits = self._stretch(result.lr_hsi, shown)
            sensor, fused = (_bands_rgb(cube, shown, limits) for cube in (result.lr_hsi, result.hr_hsi))
            legend = {"bands": list(shown), "limits": list(limits)}
        return Painting(
            sensor=_encoded(sensor), fused=_encoded(fused), overlay=_overlay(result, view.overlay), legend=legend
        )

    def _stretch(self, cube: Cube, bands: tuple[int, ...]) -> tuple[float, float]:
        step = max(1, -(-max(cube.rows, cube.cols) // _SAMPLES))
        values = _physical(cube, bands, step)
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, _PERCENTILES).tolist() if values.size else (0.0, 1.0)
        if bands in self._limits:
            before = self._limits.pop(bands)
            low, high = (old + _DRIFT * (new - old) for old, new in zip(before, (low, high), strict=True))
        self._limits[bands] = (low, high)
        if len(self._limits) > _STRETCHES:
            del self._limits[next(iter(self._limits))]
        return low, high


def _physical(cube: Cube, bands: tuple[int, ...], step: int = 1) -> NDArray[np.float32]:
    mask = None if cube.mask is None else cube.mask[::step, ::step]
    gain, offset = (None if v is None else v[list(bands)] for v in (cube.gain, cube.offset))
    part = np.stack([cube.data[::step, ::step, band] for band in bands], axis=-1)
    return Cube(
        data=part, mask=mask, gain=gain, offset=offset, scale_factor=cube.scale_factor, nodata=cube.nodata
    ).physical()


def _bands_rgb(cube: Cube, bands: tuple[int, int, int], limits: tuple[float, float]) -> Rgb:
    values = _reduced(_physical(cube, bands))
    low, high = limits
    scale = 255.0 / max(high - low, 1e-30)
    cv2 = _opencv()
    cv2.patchNaNs(values, low)
    # One pass that scales, rounds and clips.
    rgb: Rgb = cv2.addWeighted(values, scale, values, 0.0, -low * scale, dtype=cv2.CV_8U)
    return rgb


def _index_rgb(cube: Cube, bands: tuple[int, int], limits: tuple[float, float]) -> Rgb:
    values = _reduced(_physical(cube, bands))
    upper, lower = values[:, :, 0], values[:, :, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        index = (upper - lower) / (upper + lower)
    return _coloured(index, limits, INDEX_COLOURS)


def _coloured(values: NDArray[np.float32], limits: tuple[float, float], colours: tuple[Colour, ...]) -> Rgb:
    low, high = limits
    level = np.nan_to_num((values - low) * np.float32(255 / (high - low)), nan=0.0, posinf=255.0, neginf=0.0)
    rgb: Rgb = _table(colours)[np.clip(level, 0, 255).astype(np.uint8)]
    rgb[np.isnan(values)] = _NO_DATA
    return rgb


def _table(colours: tuple[Colour, ...]) -> Rgb:
    places = np.linspace(0, 255, len(colours))
    channels = [np.interp(np.arange(256), places, channel) for channel in zip(*colours, strict=True)]
    table: Rgb = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return table


def _reduced(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, cols = values.shape[:2]
    longer = max(rows, cols)
    if longer <= LARGEST_PX:
        return values
    size = (max(1, cols * LARGEST_PX // longer), max(1, rows * LARGEST_PX // longer))
    cv2 = _opencv()
    small: NDArray[np.float32] = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return small


def _overlay(result: LiveResult, overlay: Overlay) -> Picture | None:
    if overlay == "none":
        return None
    found = result.check.map
    opacity = np.full(found.shape, _OPACITY, np.uint8)
    if overlay == "residual":
        rgb = _coloured(found, (0.0, RESIDUAL_TOP), RESIDUAL_COLOURS)
    else:
        bounds = [bound for bound, _, _ in CONFIDENCE_COLOURS[:-1]]
        rgb = np.array([colour for _, colour, _ in CONFIDENCE_COLOURS], np.uint8)[np.digitize(found, bounds)]
        opacity[found < bounds[0]] = _FAINT
    rgb[np.isnan(found)] = NO_MEASUREMENT
    return _encoded(np.dstack([rgb, opacity]))


def _encoded(rgb: Rgb) -> Picture:
    """Small pictures and transparent ones without a loss."""
    cv2 = _opencv()
    lossless = rgb.shape[2] == 4 or max(rgb.shape[:2]) <= _LOSSLESS_PX
    order = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    kind, options = (
        ("png", [cv2.IMWRITE_PNG_COMPRESSION, 1]) if lossless else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    )
    _, data = cv2.imencode(f".{kind}", cv2.cvtColor(rgb, order), options)
    return Picture(kind=f"image/{kind}", data=data.tobytes())


def _opencv() -> Any:
    return require("cv2", feature="the viewer's pictures", extra="opencv")
