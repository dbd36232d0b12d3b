"""How a simulated flight goes."""

from __future__ import annotations

from dataclasses import dataclass

from hsi_edge.errors import InputError
from hsi_edge.sensors.simulated_faults import Fault
from hsi_edge.sensors.simulated_schedule import Timing


@dataclass(frozen=True, kw_only=True)
class Misalignment:
    """How the RGB camera is mounted beside the spectral sensor.

    Attributes:
        rotation_deg: Of the RGB's picture about its middle, clockwise.
        scale: How much larger the RGB shows things than its pixels alone would.
        right_lr, down_lr: How far the RGB's picture is moved, in LR pixels.
    """

    rotation_deg: float = 0.0
    scale: float = 1.0
    right_lr: float = 0.0
    down_lr: float = 0.0

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise InputError(f"the scale of the misalignment is {self.scale}; wanted a number above 0, 1 for none")


MISALIGNMENT = Misalignment(rotation_deg=0.6, scale=1.01, right_lr=0.4, down_lr=-0.3)
RGB_TIMING = Timing(fps=10.0, offset_s=1000.0, skew_ppm=40.0, latency_ms=20.0, jitter_ms=2.0)
SPECTRAL_TIMING = Timing(fps=2.0, first_s=0.01, offset_s=500.0, skew_ppm=-60.0, latency_ms=30.0, jitter_ms=3.0)


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """A simulated flight.

    Attributes:
        ratio: HR pixels (of the world) per LR pixel.
        lr_rows, lr_cols: Size of the spectral frame.
        psf_fwhm_lr: Full width at half maximum of the spectral sensor's blur, in LR pixels.
        right_lr_per_s, down_lr_per_s: How fast the sensors move over the world, in LR pixels.
        vibration_lr: Standard deviation of the RGB's own movement from frame to frame, per axis, in LR pixels.
        misalignment: How the RGB camera is mounted.
        rgb, spectral: Rates, clocks, transport.
        rgb_px_per_hr_px: How fine the RGB camera is; from 1 on it keeps all that the world shows.
        vignetting: Part of the light that the RGB camera loses in its corners.
        rgb_noise_dn: Standard deviation of the RGB's noise, in 8-bit numbers.
        spectral_noise: Standard deviation of the spectral noise, as a part of white.
        dn_per_unit: Spectral numbers per unit of the world; None puts the world's white at 40000.
        seconds: How long the flight lasts; None for ever.
        seed: Of all that is random.
        faults: What goes wrong.
    """

    ratio: int = 8
    lr_rows: int = 64
    lr_cols: int = 64
    psf_fwhm_lr: float = 1.0
    right_lr_per_s: float = 0.8
    down_lr_per_s: float = 0.5
    vibration_lr: float = 0.0
    misalignment: Misalignment = MISALIGNMENT
    rgb: Timing = RGB_TIMING
    spectral: Timing = SPECTRAL_TIMING
    rgb_px_per_hr_px: float = 1.2
    vignetting: float = 0.1
    rgb_noise_dn: float = 1.0
    spectral_noise: float = 0.002
    dn_per_unit: float | None = None
    seconds: float | None = None
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ratio", "lr_rows", "lr_cols"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; wanted 1 or more")
        for name in ("psf_fwhm_lr", "rgb_px_per_hr_px"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; wanted a number above 0")
        for name in ("vibration_lr", "rgb_noise_dn", "spectral_noise"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; wanted 0 or more")
        for name in ("dn_per_unit", "seconds"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise InputError(f"{name} is {value}; wanted a number above 0, or null")
        if not 0 <= self.vignetting < 1:
            raise InputError(f"vignetting is {self.vignetting}; wanted a part of the light, 0 to below 1")
