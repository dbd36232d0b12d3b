"""What two simulated sensors see: where they look, how they blur, shade and count, and what disturbs their pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import require
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.rig import Rig
from hsi_edge.resampling import Float
from hsi_edge.sensors.simulated_faults import Script
from hsi_edge.sensors.simulated_settings import SimulationSettings
from hsi_edge.sensors.simulated_world import World

SPECTRAL_WHITE_DN = 40000.0
RGB_MARGIN_LR = 1.0
"""The RGB camera sees so much more than the spectral sensor on every side, before it is misaligned."""
NOISE_ROOM_PX = 64
"""Noise is drawn once, on a field so much larger than the frame, and each frame gets a part of it."""
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
RGB_STREAM, SPECTRAL_STREAM, VIBRATION_STREAM = 2, 3, 4
"""Seeds beside the settings' one, so that what is random does not depend on each other."""


class Optics:
    """Makes both sensors' pictures of a moment.

    The spectral frame lies at whole HR pixels whenever one is taken, and in between the sensors move evenly. So the
    truth of a pair is exact.

    Args:
        cube: The world.
        settings: The flight.
        script: What goes wrong.
        srf: `(3, S)` of the RGB camera; None for Gaussians.

    Attributes:
        rig: Where on the RGB each spectral pixel is.
        dn_per_unit: Spectral numbers per unit of the world.
    """

    def __init__(self, cube: Cube, settings: SimulationSettings, script: Script, srf: Float | None = None) -> None:
        self._settings = settings
        self._script = script
        self._world = World(
            cube,
            ratio=settings.ratio,
            lr_shape=(settings.lr_rows, settings.lr_cols),
            psf_fwhm_px=settings.psf_fwhm_lr * settings.ratio,
            srf=srf,
        )
        self.rig = _rig(settings)
        self._hr_from_msi = (np.diag([settings.ratio, settings.ratio, 1.0]) @ np.linalg.inv(self.rig.msi_from_lr))[:2]
        self.dn_per_unit = (
            SPECTRAL_WHITE_DN / self._world.white if settings.dn_per_unit is None else settings.dn_per_unit
        )
        spectral_noise = settings.spectral_noise * self._world.white * self.dn_per_unit
        lr_shape = (*self.rig.lr_shape, cube.n_bands)
        self._spectral_noise = _NoiseField(lr_shape, spectral_noise, (settings.seed, SPECTRAL_STREAM))
        self._rgb_noise = _NoiseField((*self.rig.msi_shape, 3), settings.rgb_noise_dn, (settings.seed, RGB_STREAM))
        self._light = _light(self.rig.msi_shape, settings.vignetting)

    def spectral(self, sequence: int, taken_s: float) -> NDArray[Any]:
        """`(h, w, S)`, the spectral sensor's raw frame: uint16, or float32 where it has NaN."""
        right_px, down_px = (round(position) for position in self._position_px(taken_s))
        counts = self._world.spectral(right_px, down_px)
        counts *= np.float32(self.dn_per_unit)
        counts += self._spectral_noise.part(sequence)
        if fault := self._script.active("spectral_saturated", taken_s):
            counts[: math.ceil(fault.strength * len(counts))] = np.inf
        frame = _counted(counts, np.uint16)
        if fault := self._script.active("spectral_nan", taken_s):
            frame = frame.astype(np.float32)
            frame[: math.ceil(fault.strength * len(frame))] = np.nan
        if self._script.active("spectral_wrong_size", taken_s):
            frame = frame[: max(1, len(frame) // 2)].copy()
        return frame

    def rgb(self, sequence: int, taken_s: float) -> NDArray[np.uint8]:
        """`(H, W, 3)`, the camera's raw frame."""
        if fault := self._script.active("rgb_frozen", taken_s):
            # The picture of the moment at which the camera froze, noise and all.
            sequence = round((fault.at_s - self._settings.rgb.first_s) * self._settings.rgb.fps)
            taken_s = fault.at_s
        counts = self._seen_rgb(sequence, taken_s)
        counts += self._rgb_noise.part(sequence)
        frame = _counted(counts, np.uint8)
        return frame[: max(1, len(frame) // 2)].copy() if self._script.active("rgb_wrong_size", taken_s) else frame

    def _seen_rgb(self, sequence: int, taken_s: float) -> Float:
        if self._script.active("rgb_black", taken_s):
            return np.zeros((*self.rig.msi_shape, 3), np.float32)
        right_px, down_px = self._rgb_position_px(sequence, taken_s)
        seen = self._world.rgb(self._hr_from_msi, right_px, down_px, self.rig.msi_shape)
        if fault := self._script.active("rgb_blurred", taken_s):
            cv2 = require("cv2", feature="the simulated RGB camera", extra="opencv")
            sigma = fault.strength * self.rig.msi_px_per_lr_px / FWHM_PER_SIGMA
            seen = cv2.GaussianBlur(seen, (0, 0), sigma)
        if self._light is not None:
            seen *= self._light
        return seen

    def true_refinement(self, spectral_s: float, rgb_sequence: int, rgb_s: float) -> Refinement:
        """What is to be added to the rig for a pair of frames, given by their moments and the RGB's count."""
        at_spectral = self._position_px(spectral_s)
        at_rgb = self._rgb_position_px(rgb_sequence, rgb_s)
        dx_lr, dy_lr = ((s - r) / self._settings.ratio for s, r in zip(at_spectral, at_rgb, strict=True))
        return Refinement(dx_lr=dx_lr, dy_lr=dy_lr)

    def _position_px(self, at_s: float) -> tuple[float, float]:
        """Right and down, in HR pixels: whole ones at the spectral exposures, and evenly from one to the next."""
        timing = self._settings.spectral
        passed = (at_s - timing.first_s) * timing.fps
        before = math.floor(passed + 1e-6)
        part = max(0.0, passed - before)
        first, then = self._whole_px(before), self._whole_px(before + 1)
        return (first[0] + part * (then[0] - first[0]), first[1] + part * (then[1] - first[1]))

    def _whole_px(self, k: int) -> tuple[int, int]:
        px_per_frame = self._settings.ratio / self._settings.spectral.fps
        return (
            round(k * self._settings.right_lr_per_s * px_per_frame),
            round(k * self._settings.down_lr_per_s * px_per_frame),
        )

    def _rgb_position_px(self, sequence: int, taken_s: float) -> tuple[float, float]:
        right_px, down_px = self._position_px(taken_s)
        shaken = np.random.default_rng((self._settings.seed, VIBRATION_STREAM, sequence)).standard_normal(2)
        shaken *= self._settings.vibration_lr * self._settings.ratio
        if fault := self._script.active("rgb_shifted", taken_s):
            right_px -= fault.strength * self._settings.ratio
        return right_px - float(shaken[0]), down_px - float(shaken[1])


class _NoiseField:
    """White noise, a part of which is each frame's."""

    def __init__(self, shape: tuple[int, int, int], std: float, seed: tuple[int, int]) -> None:
        rows, cols, channels = shape
        self._seed = seed
        self._shape = (rows, cols)
        field = np.random.default_rng(seed).standard_normal(
            (rows + NOISE_ROOM_PX, cols + NOISE_ROOM_PX, channels), np.float32
        )
        self._field = field * np.float32(std)

    def part(self, sequence: int) -> Float:
        """The noise of a frame: not to be written to."""
        top, left = np.random.default_rng((*self._seed, sequence)).integers(0, NOISE_ROOM_PX + 1, 2)
        part: Float = self._field[top : top + self._shape[0], left : left + self._shape[1]]
        return part


def _rig(settings: SimulationSettings) -> Rig:
    """The RGB's middle looks where the spectral frame's does, but for the misalignment."""
    mount = settings.misalignment
    px_per_lr = settings.ratio * settings.rgb_px_per_hr_px
    lr_shape = (settings.lr_rows, settings.lr_cols)
    msi_shape = [math.ceil(px_per_lr * (side + 2 * RGB_MARGIN_LR)) for side in lr_shape]
    turn = math.radians(mount.rotation_deg)
    matrix = np.eye(3)
    matrix[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    matrix[:2, :2] *= px_per_lr * mount.scale
    lr_middle = np.array([lr_shape[1], lr_shape[0]]) / 2
    msi_middle = np.array([msi_shape[1], msi_shape[0]]) / 2
    moved = px_per_lr * np.array([mount.right_lr, mount.down_lr])
    matrix[:2, 2] = msi_middle + moved - matrix[:2, :2] @ lr_middle
    return Rig(
        lr_shape=lr_shape,
        msi_shape=(msi_shape[0], msi_shape[1]),
        msi_from_lr=matrix,
        psf_fwhm_lr=settings.psf_fwhm_lr,
    )


def _light(shape: tuple[int, int], vignetting: float) -> Float | None:
    """`(rows, cols, 1)`: the part of the light that arrives, falling with the distance from the middle squared."""
    if vignetting == 0:
        return None
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    light: Float = 1 - np.float32(vignetting / 2) * (y[:, None] ** 2 + x**2)
    return light[:, :, None]


def _counted(counts: Float, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Rounded and clipped to what the sensor can count, in place."""
    np.rint(counts, out=counts)
    np.clip(counts, 0, np.iinfo(dtype).max, out=counts)
    return counts.astype(dtype)
