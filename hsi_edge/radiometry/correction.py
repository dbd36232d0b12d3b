"""From frames of DN to frames of reflectance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube, Quantity
from hsi_edge.errors import InputError
from hsi_edge.guide import every
from hsi_edge.radiometry.dark import Dark, Float, read_dark
from hsi_edge.radiometry.settings import PanelRegion, RadiometrySettings
from hsi_edge.radiometry.white import fitted, read_white, vignetting_factor
from hsi_edge.sensors.frame import SensorFrame

NAN = np.float32(np.nan)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is done to frames of one shape, as rows of all columns' bands: NumPy is slow on axes as short as three.

    Attributes:
        dark: The dark signal, its arrays `(rows or 1, cols * bands)`.
        factor: What is left is multiplied by, `(rows or 1, cols * bands)`, NaN for bad pixels; None for nothing.
        valid: `(rows, cols)`, False where all bands are bad; None if there are no such pixels.
    """

    dark: Dark
    factor: Float | None
    valid: NDArray[np.bool_] | None


class Radiometry:
    """Corrects the frames of one sensor: `(DN - dark) * vignetting * reflectance / white`, scaled by the exposures.

    Between the white reference and a frame, DN above the dark are taken to be linear in exposure and gain.

    Attributes:
        panel_regions: Where the panel is in its frame, as given or as found: one rectangle for all bands or one per
            band; empty without a panel.
    """

    def __init__(self, settings: RadiometrySettings) -> None:
        """Read the calibration frames.

        Raises:
            InputError: A file cannot be read or does not fit the others, the dark is brighter than the white, no panel
                is found in its frame, or it is saturated.
        """
        self._settings = settings
        self._passes = settings == RadiometrySettings()
        self._dark = read_dark(settings.dark)
        self._white = read_white(settings, self._dark)
        self._plans: dict[tuple[int, int, int], _Plan] = {}
        self.panel_regions: tuple[PanelRegion, ...] = () if self._white is None else self._white.regions

    def apply(self, frame: SensorFrame) -> Cube:
        """Correct a frame.

        Args:
            frame: In DN, as the sensor sends it.

        Returns:
            float32, reflectance if there is a white reference, else DN. Noise around the dark stays negative, and what
            is brighter than the white stays above 1: nothing is clipped. A saturated, dead or hot value is NaN; fusion
            then leaves out the pixel. The mask is False where a pixel has no valid band. Without settings the frame
            passes through: no copy, its own type.

        Raises:
            InputError: The frame is no DN, does not fit the calibration frames, or has no exposure or gain where they
                are needed.
        """
        if self._passes:
            return _cube(frame, frame.data, frame.mask, frame.quantity)
        if frame.quantity != "dn":
            raise InputError(f"the frame is {frame.quantity} already; radiometry takes DN: leave its settings out")
        plan = self._plan(frame)
        raw = frame.data.reshape(frame.data.shape[0], -1)
        values = np.subtract(raw, plan.dark.at(frame.exposure_us, "the frame"), dtype=np.float32)
        if plan.factor is not None:
            scale = np.float32(self._scale(frame))
            values *= plan.factor if scale == 1 else plan.factor * scale
        valid = _both(frame.mask, plan.valid)
        level = self._settings.saturation_level
        if level is not None and (saturated := raw >= level).any():
            np.copyto(values, NAN, where=saturated)
            valid = _both(valid, ~_in_all_bands(saturated, frame.data.shape[2]))
        return _cube(frame, values.reshape(frame.data.shape), valid, "dn" if self._white is None else "reflectance")

    def _scale(self, frame: SensorFrame) -> float:
        if self._white is None:
            return 1.0
        return _ratio("exposure_us", self._white.exposure_us, frame.exposure_us) * _ratio(
            "gain", self._white.gain, frame.gain
        )

    def _plan(self, frame: SensorFrame) -> _Plan:
        rows, cols, bands = frame.data.shape
        shape = (rows, cols, bands)
        if shape not in self._plans:
            # One shape at a time: a sensor keeps its own, and memory stays bounded where it does not.
            self._plans = {shape: self._made_plan(shape)}
        return self._plans[shape]

    def _made_plan(self, shape: tuple[int, int, int]) -> _Plan:
        offset = _rows(fitted(self._dark.offset, shape, "the dark signal"), shape)
        dark = Dark(offset, None if self._dark.per_us is None else _rows(self._dark.per_us, shape))
        factor = self._factor(shape)
        if factor is None:
            return _Plan(dark, None, None)
        bad = np.broadcast_to(every(np.isnan(factor), 2), shape[:2])
        return _Plan(dark, _rows(factor, shape), ~bad if bad.any() else None)

    def _factor(self, shape: tuple[int, int, int]) -> Float | None:
        parts = [vignetting_factor(self._settings.vignetting, self._dark, shape)]
        if self._white is not None:
            parts.append(fitted(self._white.factor, shape, "the white reference"))
        if self._dark.hot is not None:
            parts.append(np.where(self._dark.hot, NAN, np.float32(1)))
        if self._settings.bad_pixels:
            parts.append(_listed(self._settings.bad_pixels, shape))
        factor = None
        for part in parts:
            if part is not None:
                factor = part if factor is None else factor * part
        return factor


def _listed(pixels: tuple[tuple[int, ...], ...], shape: tuple[int, int, int]) -> Float:
    factor = np.ones(shape, np.float32)
    for pixel in pixels:
        if any(index >= length for index, length in zip(pixel, shape, strict=False)):
            raise InputError(
                f"bad_pixels names {list(pixel)}; the frame has {shape[0]} x {shape[1]} pixels with {shape[2]} bands"
            )
        factor[pixel] = NAN
    return factor


def _ratio(name: str, white: float | None, frame: float | None) -> float:
    if white is None and frame is None:
        return 1.0
    if frame is None:
        raise InputError(
            f"the frame's {name} is unknown and the white reference has {white:g}; have the source tell it, or leave "
            f"white.{name} out if both are always the same"
        )
    if white is None:
        raise InputError(
            f"the frame has {name} {frame:g} and the white reference's is unknown; give white.{name}: that with which "
            "it was recorded"
        )
    if not frame > 0:
        raise InputError(f"the frame has {name} {frame:g}; wanted a positive number: check the source")
    return white / frame


def _in_all_bands(flags: NDArray[np.bool_], bands: int) -> NDArray[np.bool_]:
    """Of flags `(rows, cols * bands)`; band by band, as reducing an axis as short as three takes five times as long."""
    found: NDArray[np.bool_] = flags[:, ::bands].copy()
    for band in range(1, bands):
        if not found.any():
            break
        found &= flags[:, band::bands]
    return found


def _rows(values: Float, shape: tuple[int, int, int]) -> Float:
    rows = len(values)
    return np.ascontiguousarray(np.broadcast_to(values, (rows, *shape[1:]))).reshape(rows, -1)


def _both(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _cube(frame: SensorFrame, data: NDArray[np.generic], mask: NDArray[np.bool_] | None, quantity: Quantity) -> Cube:
    return Cube(
        data=data,
        wavelengths_nm=frame.wavelengths_nm,
        quantity=quantity,
        mask=mask,
        timestamp_ns=frame.timestamp_ns,
    )
