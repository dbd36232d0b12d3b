"""From a true HR-HSI to the pair that two sensors would have delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift

from export.data.responses import Response
from hsi_edge.resampling import KEYS_A, Blur, degrade

Float = NDArray[np.float32]


def _pzres_code(ratio: int) -> Blur:
    """PZRes-Net's program at ratio 8: 7 taps, sigma 2, reflect-101, then every 8th pixel from the 4th on."""
    taps = np.exp(-0.5 * ((np.arange(7) - 3) / 2.0) ** 2)
    return Blur(tuple((taps / taps.sum()).tolist()), ratio // 2 - 4, "reflect")


def _pzres_paper(ratio: int) -> Blur:
    """PZRes-Net's text: an r x r Gaussian, then every r-th pixel; its width is not given and taken as r / 4."""
    taps = np.exp(-0.5 * ((np.arange(ratio) - (ratio - 1) / 2) / (ratio / 4)) ** 2)
    return Blur(tuple((taps / taps.sum()).tolist()), 0)


def _bicubic(ratio: int) -> Blur:
    """MATLAB's `imresize` with antialiasing, of SSRNet and GELIN: the Keys cubic stretched by the ratio."""
    offset = -(2 * ratio - ratio // 2)
    positions = np.arange(offset, offset + 4 * ratio + ratio % 2)
    x = np.abs(positions - (ratio - 1) / 2) / ratio
    near = ((KEYS_A + 2) * x - (KEYS_A + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * KEYS_A - 4 * KEYS_A
    taps = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return Blur(tuple((taps / taps.sum()).tolist()), offset)


BLURS: dict[str, Callable[[int], Blur]] = {
    "gaussian": lambda ratio: Blur.gaussian(ratio, ratio),
    "pzres-code": _pzres_code,
    "pzres-paper": _pzres_paper,
    "bicubic": _bicubic,
    "decimate": lambda ratio: Blur((1.0,), ratio // 2),
}
"""Spatial degradations by name; `gaussian` is the realistic one, FWHM = ratio."""


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What happens between the scene and the two frames; every pair of numbers is a range to draw from.

    Attributes:
        blur: A name in `BLURS`.
        psf_stretch: Factor on the Gaussian's width (for `gaussian` alone).
        lr_noise: Standard deviation of the LR-HSI's noise, in units of the scene's largest value.
        msi_noise: The same for the MSI.
        msi_bits: Bits that the MSI is quantised to; 0 for none.
        misregistration_lr: Largest shift of the MSI along each axis, in LR pixels.
        exposure: Factor on the MSI's bands, common to all; clips at 1.
    """

    blur: str = "gaussian"
    psf_stretch: tuple[float, float] = (1.0, 1.0)
    lr_noise: tuple[float, float] = (0.0, 0.0)
    msi_noise: tuple[float, float] = (0.0, 0.0)
    msi_bits: int = 0
    misregistration_lr: float = 0.0
    exposure: tuple[float, float] = (1.0, 1.0)


REALISTIC = Degradation(lr_noise=(0.004, 0.004), msi_noise=(0.005, 0.005), msi_bits=8, misregistration_lr=0.02)
"""The realistic pair that validation and the accuracy table use: noise as a small sensor's, an 8-bit camera, and the
misregistration that is left after a good registration (0.02 LR pixels)."""


@dataclass(frozen=True)
class Pair:
    """What the sensors deliver, `(channels, rows, cols)`: LR-HSI, HR-MSI and the truth on the HR grid."""

    lr_hsi: Float
    hr_msi: Float
    truth: Float


def simulate_pair(
    truth: Float, ratio: int, degradation: Degradation, responses: Sequence[Response], rng: np.random.Generator
) -> Pair:
    """Degrade `truth` `(bands, rows, cols)`, whose sides are multiples of the ratio, in [0, 1]."""
    lr_hsi = degrade(truth, ratio, _blur(degradation, ratio, rng))
    lr_hsi = lr_hsi + _noise(lr_hsi.shape, degradation.lr_noise, rng)
    response = responses[int(rng.integers(len(responses)))].astype(np.float32)
    msi = np.tensordot(response, truth, axes=1) * np.float32(rng.uniform(*degradation.exposure))
    if degradation.misregistration_lr:
        limit = degradation.misregistration_lr * ratio
        msi = translate(msi, rng.uniform(-limit, limit, 2))
    msi = np.clip(msi + _noise(msi.shape, degradation.msi_noise, rng), 0, 1)
    if degradation.msi_bits:
        steps = 2**degradation.msi_bits - 1
        msi = np.round(msi * steps) / steps
    return Pair(lr_hsi.astype(np.float32), msi.astype(np.float32), truth)


def translate(image: Float, shift_px: NDArray[np.float64]) -> Float:
    """Shift `(channels, rows, cols)` by a fraction of a pixel without blurring it (band-limited, mirrored borders)."""
    margin = int(np.ceil(np.abs(shift_px).max())) + 8
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    spectrum = np.fft.fft2(padded)
    moved = np.fft.ifft2([fourier_shift(channel, shift_px) for channel in spectrum]).real
    return moved[:, margin:-margin, margin:-margin].astype(np.float32)


def _blur(degradation: Degradation, ratio: int, rng: np.random.Generator) -> Blur:
    if degradation.blur == "gaussian":
        return Blur.gaussian(ratio * rng.uniform(*degradation.psf_stretch), ratio)
    return BLURS[degradation.blur](ratio)


def _noise(shape: tuple[int, ...], sigma: tuple[float, float], rng: np.random.Generator) -> Float:
    level = rng.uniform(*sigma)
    return (level * rng.standard_normal(shape)).astype(np.float32)
