"""Frame pairs to measure time and memory on, of any size: texture and noise as in a flight, but no place on earth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_edge.manifest import Manifest

PERIOD_PX = 512
"""A larger frame repeats what it shows, seamlessly: what is measured here does not look at the whole."""
COMPONENTS = 6
FALL = 1.3
"""Of the amplitude with spatial frequency; natural scenes have about 1."""
DISPLACED_PX = 0.3
"""Of the HR-MSI, along rows: a registered pair is never quite in place, and to undo that takes time."""
LR_NOISE, MSI_NOISE = 0.004, 0.005
ANY_BANDS, ANY_MSI_BANDS = 31, 3

Array = NDArray[np.float64]


def synthetic_pair(manifest: Manifest, side: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A pair that suits a model, `(side / ratio, side / ratio, bands)` and `(side, side, msi_bands)`, always the same.

    Preparation (noise, displacement, components) takes the time that it takes on frames of a flight; on random numbers
    it would not look for a displacement.
    """
    rng = np.random.default_rng(0)
    ratio, bands = manifest.ratio, manifest.n_bands or ANY_BANDS
    period = min(side, PERIOD_PX // ratio * ratio)
    spectrum = _texture(rng, period)
    strengths = 0.5 ** np.arange(COMPONENTS)
    mixing = rng.random((COMPONENTS, bands)) * strengths[:, None]
    response = rng.random((bands, manifest.msi.bands or ANY_MSI_BANDS)) / bands
    lr_maps, maps = _degraded(spectrum, period, ratio), np.fft.irfft2(spectrum, s=(period, period))
    lr_hsi = _repeated(_positive(np.moveaxis(lr_maps, 0, 2) @ mixing), side // ratio)
    msi = _repeated(_positive(np.moveaxis(maps, 0, 2) @ (mixing @ response)), side)
    lr_hsi += LR_NOISE * rng.standard_normal(lr_hsi.shape, np.float32)
    msi += MSI_NOISE * rng.standard_normal(msi.shape, np.float32)
    return lr_hsi, (msi.clip(0, 1) * 255).astype(np.uint8)


def _texture(rng: np.random.Generator, period: int) -> NDArray[np.complex128]:
    """The spectra of some maps without a mean, `(COMPONENTS, period, period // 2 + 1)`."""
    spectrum = np.fft.rfft2(rng.standard_normal((COMPONENTS, period, period)))
    frequency = np.hypot(np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None])
    frequency[0, 0] = np.inf
    return np.asarray(spectrum / (period * frequency) ** FALL)


def _degraded(spectrum: NDArray[np.complex128], period: int, ratio: int) -> Array:
    """The maps on the LR grid: blurred by a Gaussian of one LR pixel FWHM, and displaced."""
    rows, cols = np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None]
    sigma = ratio / np.sqrt(8 * np.log(2))
    blur = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + cols**2))
    centre = (ratio - 1) / 2
    moved = np.exp(2j * np.pi * (rows * (centre + DISPLACED_PX) + cols * centre))
    return np.fft.irfft2(spectrum * blur * moved, s=(period, period))[:, ::ratio, ::ratio]


def _positive(image: Array) -> Array:
    """From 0.1 to 0.9, as reflectance of bright ground."""
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    return np.asarray(0.1 + 0.8 * (image - low) / np.maximum(high - low, np.finfo(np.float64).tiny))


def _repeated(image: Array, side: int) -> NDArray[np.float32]:
    times = -(-side // len(image))
    return np.ascontiguousarray(np.tile(image.astype(np.float32), (times, times, 1))[:side, :side])
