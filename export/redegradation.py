"""Does an output, seen through the sensor again, give what the sensor measured? On real pairs, beside their noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.data.real_pairs import RealPair, real_pairs
from export.methods import Float, Method, open_methods
from hsi_edge.errors import InputError
from hsi_edge.quality import psnr_db
from hsi_edge.resampling import Blur, degrade
from hsi_edge.spectral import resample_cube, resampling_matrix

NORMAL_MEDIAN = 0.6745
"""Of the absolute value of a normal variable with standard deviation 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Redegradation:
    """What one method's output says of the measurement that it was made from.

    Attributes:
        pair: The pair's name.
        ratio: HR pixels per LR pixel.
        method: As the tables call it.
        wavelengths_nm: `(bands,)`; None where they are not known.
        peak: The frame's largest value, for percentages.
        error: `(h, w, bands)`, output degraded again less the measurement, without the pair's border.
        noise: `(bands,)`, standard deviation of the measurement's noise.
        psnr_db: Against the truth; None where there is none.
    """

    pair: str
    ratio: int
    method: str
    wavelengths_nm: NDArray[np.float64] | None
    peak: float
    error: Float
    noise: NDArray[np.float64]
    psnr_db: float | None

    @property
    def error_per_band(self) -> NDArray[np.float64]:
        """Root mean square of each band's error, `(bands,)`."""
        rms: NDArray[np.float64] = np.sqrt(np.mean(self.error.astype(np.float64) ** 2, axis=(0, 1)))
        return rms

    @property
    def map_in_noise(self) -> Float:
        """Each pixel's error as a multiple of the noise, `(h, w)`: the median over the bands.

        Not the mean: bands that were interpolated between their neighbours have next to no noise of their own.
        """
        multiples: Float = (np.median(np.abs(self.error) / self.noise, axis=2) / NORMAL_MEDIAN).astype(np.float32)
        return multiples


def redegrade(bundles: Sequence[Path], data: Path) -> Iterator[tuple[RealPair, list[Redegradation]]]:
    """Run every method on every real pair that it takes, at each ratio of the bundles.

    Args:
        bundles: For any bands, or for bands that a pair can be resampled to.
        data: The research data folder.

    Raises:
        InputError: A file of the research data is missing.
        ManifestError: A bundle is damaged.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for ratio, methods in open_methods(bundles, folder, stack).items():
            for pair in real_pairs(data, ratio):
                noise = _noise(pair)
                found = [_measured(pair, name, method, noise) for name, method in methods.items()]
                yield pair, [one for one in found if one is not None]


def noise_per_band(cube: Float) -> NDArray[np.float64]:
    """Standard deviation of what the other bands do not explain of each band, `(bands,)`.

    Every band is fitted as a linear combination of all others (Bioucas-Dias, Nascimento, "Hyperspectral Subspace
    Identification", IEEE TGRS 2008). Spectral detail of a single band counts as noise, so this is an upper bound.

    Args:
        cube: `(rows, cols, bands)`, with more pixels than bands.
    """
    spectra = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    centred = spectra - spectra.mean(axis=0)
    # The residual of regressing one variable on all others is read off the inverse of their scatter matrix.
    precision = np.linalg.inv(centred.T @ centred)
    degrees = len(spectra) - spectra.shape[1]
    noise: NDArray[np.float64] = np.sqrt(1 / (np.diag(precision) * degrees))
    return noise


def _noise(pair: RealPair) -> NDArray[np.float64]:
    """From the known truth where there is one, else from the bands."""
    measured = np.asarray(pair.lr_hsi.data)
    if pair.truth is None or pair.degrade is None:
        return noise_per_band(measured)
    seen = np.moveaxis(pair.degrade(np.moveaxis(pair.truth, 2, 0)), 0, 2)
    return np.asarray(_inner(seen - measured, pair.border_lr).std(axis=(0, 1)), np.float64)


def _measured(pair: RealPair, name: str, method: Method, noise: NDArray[np.float64]) -> Redegradation | None:
    """None where the method does not take the pair's bands."""
    lr_hsi, wavelengths_nm = np.asarray(pair.lr_hsi.data, np.float32), pair.lr_hsi.wavelengths_nm
    if method.manifest is not None and not method.any_bands:
        model_nm = np.asarray(method.manifest.bands.wavelengths_nm)
        try:
            lr_hsi = np.asarray(resample_cube(pair.lr_hsi, model_nm).data)
        except InputError:
            return None
        assert wavelengths_nm is not None
        noise = np.sqrt(resampling_matrix(wavelengths_nm, model_nm) ** 2 @ noise**2)
        wavelengths_nm = model_nm
    hr_hsi = method.run(lr_hsi, pair.hr_msi)
    seen = np.moveaxis(_degraded(pair, method, np.moveaxis(hr_hsi, 2, 0)), 0, 2)
    return Redegradation(
        pair=pair.name,
        ratio=pair.ratio,
        method=name,
        wavelengths_nm=wavelengths_nm,
        peak=float(lr_hsi.max()),
        error=_inner(seen - lr_hsi, pair.border_lr),
        noise=noise,
        psnr_db=None if pair.truth is None else _psnr(hr_hsi, pair),
    )


def _degraded(pair: RealPair, method: Method, hr_hsi: Float) -> Float:
    if pair.degrade is not None:
        return pair.degrade(hr_hsi)
    fwhm_px = pair.ratio if method.manifest is None else method.manifest.psf_fwhm_px
    return degrade(hr_hsi, pair.ratio, Blur.gaussian(fwhm_px, pair.ratio))


def _psnr(hr_hsi: Float, pair: RealPair) -> float:
    assert pair.truth is not None
    border = pair.border_lr * pair.ratio
    return psnr_db(_inner(hr_hsi, border), _inner(pair.truth, border))


def _inner(image: Float, border: int) -> Float:
    return image[border : image.shape[0] - border, border : image.shape[1] - border]
