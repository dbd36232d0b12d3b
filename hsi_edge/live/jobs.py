"""From a pair of raw frames to the engine's input: radiometry, the RGB camera's health, registration, the mode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import SensorError
from hsi_edge.live.correction import Correction
from hsi_edge.live.modes import ModeChoice
from hsi_edge.live.pair import Pair
from hsi_edge.live.result import Mode
from hsi_edge.live.rgb_health import RgbHealth
from hsi_edge.registration.refine import Refinement, combined
from hsi_edge.registration.refiner import Refiner
from hsi_edge.registration.warp import GridWarp, measured_values
from hsi_edge.sensors.frame import SensorFrame

NEGLIGIBLE_LR = 0.02
"""LR pixels that a frame may lie off without being resampled once more: less costs no accuracy (DESIGN)."""
LOST_FRAMES = 5
"""After so many frames that could not be registered from where the last good one lay, the rig's calibration is the
start again: a wrong registration must not be carried on for ever."""
UNMEASURED = "no pixel of the RGB frame was measured: all are saturated, dead or masked"


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One frame for the engine.

    Attributes:
        pair: The raw frames.
        lr_hsi: `(h, w, S)`, after radiometry.
        hr_msi: `(H, W, 3)` on the HR grid; a Cube, as parts of it may hold no measurement. None in the mode single.
        mode: Which bundle runs it.
        reason: Why not the fusion.
        refinement: How the RGB frame lay, relative to the rig's calibration; None where it was not looked at.
        timings_ms: `radiometry` and `registration`.
    """

    pair: Pair
    lr_hsi: Cube
    hr_msi: Cube | None
    mode: Mode
    reason: str
    refinement: Refinement | None
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Optics:
    """What is known of the two sensors before the flight; nothing in it changes.

    Attributes:
        spectral, rgb: From the sensors' raw frames to cubes.
        warp: Puts the RGB onto the HR grid.
        refiner: Finds what is left of a displacement.
        lr_shape: Rows and columns of the spectral frames that the rig was calibrated for.
    """

    spectral: Correction
    rgb: Correction
    warp: GridWarp
    refiner: Refiner
    lr_shape: tuple[int, int]


class Jobs:
    """Makes jobs of pairs, in their order. All that a job depends on is its pair, those before it, and the optics.

    Args:
        optics: Of the rig.
        health: Looks at the RGB frames.
        modes: Chooses the mode.
    """

    def __init__(self, optics: Optics, health: RgbHealth, modes: ModeChoice) -> None:
        self._optics = optics
        self._health = health
        self._modes = modes
        self._prior = Refinement()
        self._lost = 0

    def job(self, pair: Pair) -> Job:
        """The job of a pair.

        Raises:
            SensorError: The spectral frame is not one of this rig's, or there is no way to make a result of it.
        """
        start = time.perf_counter()
        lr_hsi = self._corrected(pair.spectral)
        radiometry_ms = _ms_since(start)
        start = time.perf_counter()
        doubts = () if pair.rgb is None else self._health.judge(pair.rgb)
        hr_msi, refinement = None, None
        if pair.rgb is not None and not doubts:
            colours, mask = measured_values(self._optics.rgb.apply(pair.rgb))
            if mask is None or mask.any():
                hr_msi, refinement = self._registered(lr_hsi, colours, mask)
            else:
                doubts = (UNMEASURED,)
        mode, reason = self._modes.choose(pair.lack, doubts, refinement)
        if mode is None:
            raise SensorError(f"no result without the RGB camera, as the flight names no single_bundle: {reason}")
        return Job(
            pair=pair,
            lr_hsi=lr_hsi,
            hr_msi=hr_msi if mode == "fusion" else None,
            mode=mode,
            reason=reason,
            refinement=refinement,
            timings_ms={"radiometry": radiometry_ms, "registration": _ms_since(start)},
        )

    def _corrected(self, frame: SensorFrame) -> Cube:
        lr_hsi, (rows, cols) = self._optics.spectral.apply(frame), self._optics.lr_shape
        if (lr_hsi.rows, lr_hsi.cols) != (rows, cols):
            raise SensorError(
                f"the spectral frame has {lr_hsi.rows} x {lr_hsi.cols} pixels; the rig was calibrated for {rows} x "
                f"{cols}: set the sensor's window back, or calibrate anew"
            )
        return lr_hsi

    def _registered(
        self, lr_hsi: Cube, colours: NDArray[Any], mask: NDArray[np.bool_] | None
    ) -> tuple[Cube, Refinement]:
        """The RGB on the HR grid, and how it lay: from where the frame before lay, what is left is estimated."""
        spectra = lr_hsi.physical()
        on_grid, valid = self._optics.warp.on_grid(colours, self._prior, mask)
        left = self._optics.refiner.refine(spectra, on_grid, valid)
        total = combined(self._prior, left)
        if left.trusted:
            if left.largest_move_lr(self._optics.lr_shape) > NEGLIGIBLE_LR:
                on_grid, valid = self._optics.warp.on_grid(colours, total, mask)
            self._prior, self._lost = total, 0
        else:
            self._lost += 1
            if self._lost >= LOST_FRAMES:
                self._prior = Refinement()
        return Cube(data=on_grid, mask=valid), total


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
