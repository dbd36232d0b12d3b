"""How noisy a frame is, and its spectra without most of that noise; from the frame alone, nothing is to be tuned."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.principal_axes import principal_axes
from hsi_edge.resampling import Float

Matrix = NDArray[np.float64]

TEXTURE = 0.02
"""Of the strongest texture's standard deviation, what also looks like noise: scenes seen through measured cameras
without any noise have 0.013 to 0.035 where they are rough. Without this, rough scenes are smoothed."""

SIGNAL = 7
"""The strongest singular values, which are never taken for noise: of few bands, a scene may fill more than half."""

FEWEST = 3
"""Of fewer singular values none can be spared to measure noise by: it is then not known, and taken for none."""

PART_PX = 1 << 14
STRIP_ROWS = 32
"""Of the MSI, whose differences then stay in the caches."""
ROUNDING = 1e-8
"""Of the strongest singular value, what is lost in any case."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Denoised spectra.

    Attributes:
        mean: `(bands,)`, the mean spectrum.
        centred: `(bands, pixels)`, the denoised spectra less their mean.
        components: `(rank, pixels)`, the same in components by falling strength.
        noise: Standard deviation of the noise in one band of one pixel.
    """

    mean: Matrix
    centred: Float
    components: Float
    noise: float


def denoise_spectra(spectra: Float, keep: NDArray[np.bool_] | None = None) -> Spectra:
    """Remove white noise from spectra by shrinking their singular values.

    A scene's spectra lie near a subspace of a few dimensions, noise in all of them. The noise level follows from the
    median singular value (Gavish, Donoho, "The Optimal Hard Threshold for Singular Values is 4/sqrt(3)", IEEE
    Transactions on Information Theory 2014, section III.E), the shrinkage is the one of least mean squared error (same
    authors, "Optimal Shrinkage of Singular Values", ibid. 2017, equation 7).

    Args:
        spectra: `(bands, pixels)`, finite.
        keep: `(pixels,)`, which of them were measured; None for all. The others are denoised with them.
    """
    measured = spectra if keep is None else spectra[:, keep]
    bands, count = measured.shape
    mean = measured.mean(axis=1, dtype=np.float64)
    # The eigenvectors of bands x bands: a frame may have millions of pixels.
    powers, axes = principal_axes(_gram(measured, mean))
    order = np.arange(bands)[::-1][: max(1, min(bands, count - 1))]
    values, axes = np.sqrt(np.maximum(powers[order], 0)), axes[:, order]
    noise, shrunk = _shrunk(values, max(bands, count - 1))
    rank = int(np.count_nonzero(shrunk))
    axes = axes[:, :rank]
    projection = (shrunk[:rank] / values[:rank])[:, None] * axes.T
    components = np.empty((rank, spectra.shape[1]), np.float32)
    for part in _parts(spectra):
        components[:, part] = projection @ (spectra[:, part] - mean[:, None])
    return Spectra(mean, axes.astype(np.float32) @ components, components, noise)


def _gram(spectra: Float, mean: Matrix) -> Matrix:
    """The products of the centred spectra, `(bands, bands)`, in double precision."""
    gram = np.zeros((len(spectra), len(spectra)))
    for part in _parts(spectra):
        centred = spectra[:, part] - mean[:, None]
        gram += centred @ centred.T
    return gram


def _parts(spectra: Float) -> Iterator[slice]:
    """Pixels of which copies in double precision are held at a time."""
    return (slice(first, first + PART_PX) for first in range(0, spectra.shape[1], PART_PX))


def _shrunk(values: Matrix, longer: int) -> tuple[float, Matrix]:
    """The noise level, and the singular values of the matrix without it."""
    beta = len(values) / longer
    count = len(values)
    if count < FEWEST:
        return 0.0, np.where(values > ROUNDING * values[0], values, 0)
    # The median, unless the strongest ones reach beyond it; counted from the strongest.
    place = max((count - 1) / 2, min(SIGNAL, count - 1))
    level = np.interp(place, np.arange(count), values)
    noise = float(level / np.sqrt(longer * _quantile_of_noise(beta, 1 - (place + 0.5) / count)))
    # Spectra without noise and of fewer dimensions than bands leave nothing, or rounding errors, to measure it by.
    unit = max(noise * np.sqrt(longer), ROUNDING * values[0], np.finfo(np.float64).tiny)
    y = values / unit
    above = y > 1 + np.sqrt(beta)
    shrunk = np.zeros_like(values)
    square = np.square(y[above])
    shrunk[above] = unit * np.sqrt((square - beta - 1) ** 2 - 4 * beta) / y[above]
    return noise, shrunk


@functools.lru_cache(maxsize=64)
def _quantile_of_noise(beta: float, quantile: float) -> float:
    """A quantile of the Marchenko-Pastur distribution, of squared singular values of unit noise."""
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2
    x = np.linspace(low, high, 4001)[1:-1]
    share = np.cumsum(np.sqrt((high - x) * (x - low)) / x)
    return float(x[np.searchsorted(share, share[-1] * quantile)])


def msi_noise(windows: Iterable[Float]) -> float:
    """The standard deviation of the MSI's noise in one pixel of one band.

    Noise differs from band to band, while texture is alike in all of them. So of the bands' Laplacians (Immerkaer,
    "Fast Noise Variance Estimation", CVIU 1996) the combination that moves least is taken: it holds the noise, and
    little else.

    Args:
        windows: Parts of the image, `(msi_bands, rows, cols)`, at least 3 x 3 pixels each; NaN where nothing was
            measured.
    """
    products: list[Matrix] = []
    count = 0
    for window in windows:
        for top in range(0, window.shape[1] - 2, STRIP_ROWS):
            product, pixels = _products(_laplacian(window[:, top : top + STRIP_ROWS + 2]))
            products.append(product)
            count += pixels
    powers = np.linalg.eigvalsh(sum(products) / max(1, count))
    return float(np.sqrt(max(0.0, powers[0] - TEXTURE**2 * powers[-1])))


def _products(image: Float) -> tuple[Matrix, int]:
    """Sums of products of the bands, `(bands, bands)`, over the pixels that are finite; and how many these are."""
    flat = image.reshape(len(image), -1).astype(np.float64)
    product = flat @ flat.T
    if np.isfinite(product).all():
        return product, flat.shape[1]
    flat = flat[:, np.isfinite(flat).all(axis=0)]
    return flat @ flat.T, flat.shape[1]


def _laplacian(image: Float) -> Float:
    """A difference of two discrete Laplacians, scaled to leave the noise level as it is."""
    rows = _second_difference(image)
    both: Float = _second_difference(rows.swapaxes(1, 2)).swapaxes(1, 2) / np.float32(6)
    return both


def _second_difference(image: Float) -> Float:
    """Along rows."""
    difference: Float = image[:, 1:-1] * np.float32(-2)
    difference += image[:, :-2]
    difference += image[:, 2:]
    return difference
