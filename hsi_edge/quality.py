"""How near an estimate comes to the truth.

Arrays are `(rows, cols, bands)` of real numbers in the same unit, `estimate` first. Nothing is clipped, and no border
is cut off unless a definition says so. Sums are taken in float64, over one band or one row at a time.

A pixel that is NaN in any band of either array was not measured: it is left out of every metric, and so is each SSIM
window that touches it. Every function raises `InputError` where the two arrays differ in shape, hold infinite values,
or share no measured pixel.

Papers differ in what they call by one name; where they do, both forms are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError

Real = NDArray[Any]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """All metrics of one estimate; each is defined at the function of the same name.

    Attributes:
        psnr_db: Mean over the bands' PSNR, in decibels.
        psnr_cube_db: PSNR of the whole cube, in decibels.
        ssim_gaussian: Structural similarity, Gaussian window, at most 1.
        ssim_uniform: Structural similarity, uniform window, at most 1.
        sam_deg: Mean spectral angle, 0 to 180 degrees.
        sam_p95_deg: Spectral angle that 95 percent of the pixels do not pass, 0 to 180 degrees.
        ergas: Relative global error, 0 and up.
        cc: Mean correlation of the bands, -1 to 1.
        rmse: Root mean square error, in the unit of the arrays.
        psnr_per_band_db: PSNR of each band, in decibels.
    """

    psnr_db: float
    psnr_cube_db: float
    ssim_gaussian: float
    ssim_uniform: float
    sam_deg: float
    sam_p95_deg: float
    ergas: float
    cc: float
    rmse: float
    psnr_per_band_db: tuple[float, ...]

    def as_dict(self) -> dict[str, float | list[float]]:
        """The metrics by name, in plain types that YAML and JSON writers take."""
        return {**asdict(self), "psnr_per_band_db": list(self.psnr_per_band_db)}


def compare(estimate: Real, truth: Real, *, ratio: int, peak: float = 1.0) -> Quality:
    """Compute every metric of this module for one pair.

    Args:
        estimate: `(rows, cols, bands)`, at least 11 by 11 pixels.
        truth: Of the same shape, in the same unit.
        ratio: LR GSD / HR GSD, for ERGAS.
        peak: The range of the data, for PSNR and SSIM: 1 for reflectance, 255 for 8 bit.
    """
    per_band = psnr_per_band_db(estimate, truth, peak=peak)
    angles = sam_map_deg(estimate, truth)
    return Quality(
        psnr_db=float(per_band.mean()),
        psnr_cube_db=psnr_cube_db(estimate, truth, peak=peak),
        ssim_gaussian=ssim_gaussian(estimate, truth, peak=peak),
        ssim_uniform=ssim_uniform(estimate, truth, peak=peak),
        sam_deg=_mean(angles),
        sam_p95_deg=_p95(angles),
        ergas=ergas(estimate, truth, ratio=ratio),
        cc=cc(estimate, truth),
        rmse=rmse(estimate, truth),
        psnr_per_band_db=tuple(per_band.tolist()),
    )


def psnr_per_band_db(estimate: Real, truth: Real, *, peak: float = 1.0) -> Float64:
    """Peak signal-to-noise ratio of each band: `10 log10(peak^2 / MSE_k)`.

    Returns:
        `(bands,)` in decibels; infinite where a band is met exactly.
    """
    return _psnr_db(_mse_per_band(estimate, truth), peak)


def psnr_db(estimate: Real, truth: Real, *, peak: float = 1.0) -> float:
    """Mean over the bands' PSNR, in decibels (GELIN, PZRes-Net, MS-SSFNet); infinite if any band is met exactly."""
    return float(psnr_per_band_db(estimate, truth, peak=peak).mean())


def psnr_cube_db(estimate: Real, truth: Real, *, peak: float = 1.0) -> float:
    """PSNR from one MSE over the whole cube, in decibels (the code of SSRNet); never above `psnr_db`."""
    return float(_psnr_db(_mse_per_band(estimate, truth).mean(), peak))


def rmse(estimate: Real, truth: Real) -> float:
    """Root of the mean squared error over all pixels and bands, 0 and up, in the unit of the arrays."""
    return float(np.sqrt(_mse_per_band(estimate, truth).mean()))


def ergas(estimate: Real, truth: Real, *, ratio: int) -> float:
    """Relative global error (Wald 2000): `100 / ratio * sqrt(mean_k(MSE_k / mu_k^2))`, `mu_k` the mean of truth band k.

    0 is perfect. A truth band whose mean is zero makes it infinite unless that band is met exactly: choose the bands
    before. PZRes-Net's paper takes `mu_k` from the estimate instead; GELIN's published x8 rows use ratio 4.
    """
    if ratio < 1:
        raise InputError(f"ratio is {ratio}; it is LR GSD / HR GSD, 1 or more")
    mse = _mse_per_band(estimate, truth)
    means = np.array([t.mean() for _, t in _measured_bands(estimate, truth)])
    with np.errstate(divide="ignore"):
        relative = np.divide(mse, means**2, out=np.zeros_like(mse), where=mse > 0)
    return float(100 / ratio * np.sqrt(relative.mean()))


def cc(estimate: Real, truth: Real) -> float:
    """Mean over bands of Pearson's correlation, -1 to 1.

    Bands that are constant in the truth have none and are left out (NaN if all are); a band that is constant in the
    estimate alone counts as 0.
    """
    bands = _measured_bands(estimate, truth)
    return _mean(np.array([_correlation(e, t) for e, t in bands]))


def sam_map_deg(estimate: Real, truth: Real) -> Float64:
    """Spectral angle of each pixel, 0 to 180 degrees: the angle between the two spectra, whatever their lengths.

    Returns:
        `(rows, cols)`; NaN where a pixel was not measured, or where either spectrum is zero and has no direction.
    """
    valid = _valid(estimate, truth)
    # By rows: a cube lies in memory pixel by pixel.
    angles = np.stack([_angles_deg(e, t) for e, t in zip(estimate, truth, strict=True)])
    angles[~valid] = np.nan
    return angles


def sam_deg(estimate: Real, truth: Real) -> float:
    """Mean of `sam_map_deg` over the pixels that have an angle, 0 to 180; NaN if none has."""
    return _mean(sam_map_deg(estimate, truth))


def sam_p95_deg(estimate: Real, truth: Real) -> float:
    """95th percentile of `sam_map_deg` over the pixels that have an angle, 0 to 180; NaN if none has."""
    return _p95(sam_map_deg(estimate, truth))


def ssim_gaussian(estimate: Real, truth: Real, *, peak: float = 1.0) -> float:
    """Structural similarity as its authors define it (Wang et al. 2004), mean over bands; at most 1.

    Gaussian window of 11 x 11 with sigma 1.5, K = (0.01, 0.03), only windows that lie inside. SSRNet's protocol.
    """
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    return _ssim(estimate, truth, weights / weights.sum(), peak)


def ssim_uniform(estimate: Real, truth: Real, *, peak: float = 1.0) -> float:
    """Structural similarity as scikit-image has it by default, mean over bands; at most 1.

    Uniform window of 7 x 7, sample covariance (n - 1), K = (0.01, 0.03), a border of 3 pixels cut off. The protocol of
    GELIN and PZRes-Net, whose code for the latter leaves `peak` at 2 by oversight.
    """
    return _ssim(estimate, truth, np.full(7, 1 / 7), peak, covariance_scale=49 / 48)


def _valid(estimate: Real, truth: Real) -> NDArray[np.bool_]:
    """Check the pair; `(rows, cols)`, True where a pixel is measured in every band of both."""
    for name, array in (("estimate", estimate), ("truth", truth)):
        _check(name, array)
    if estimate.shape != truth.shape:
        raise InputError(f"estimate has shape {estimate.shape} and truth {truth.shape}; they must be the same")
    valid = ~np.logical_or(np.isnan(estimate).any(axis=2), np.isnan(truth).any(axis=2))
    if not valid.any():
        raise InputError(
            "no pixel is measured in every band of both estimate and truth; leave out the bands that are all NaN"
        )
    return valid


def _check(name: str, array: Real) -> None:
    if array.ndim != 3 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}; wanted (rows, cols, bands), none of them zero")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} has dtype {array.dtype}; wanted real numbers, integer or floating point")
    if np.isinf(array).any():
        raise InputError(f"{name} holds infinite values, which cannot be scored; set those pixels to NaN to mask them")


def _check_peak(peak: float) -> None:
    if not (np.isfinite(peak) and peak > 0):
        raise InputError(f"peak is {peak}; it is the range of the data, a positive number such as 1 for reflectance")


def _measured_bands(estimate: Real, truth: Real) -> Iterator[tuple[Float64, Float64]]:
    """The measured pixels of each band of both, flat and in float64."""
    valid = _valid(estimate, truth)
    for k in range(estimate.shape[2]):
        yield estimate[:, :, k][valid].astype(np.float64), truth[:, :, k][valid].astype(np.float64)


def _mse_per_band(estimate: Real, truth: Real) -> Float64:
    return np.array([np.mean((e - t) ** 2) for e, t in _measured_bands(estimate, truth)])


def _psnr_db(mse: Float64, peak: float) -> Float64:
    _check_peak(peak)
    with np.errstate(divide="ignore"):
        decibels: Float64 = 20 * np.log10(peak) - 10 * np.log10(mse)
    return decibels


def _mean(values: Float64) -> float:
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else float("nan")


def _p95(values: Float64) -> float:
    measured = values[~np.isnan(values)]
    return float(np.percentile(measured, 95)) if measured.size else float("nan")


def _correlation(estimate: Float64, truth: Float64) -> float:
    # Constant is asked of the values: rounding leaves a constant band a variance slightly above zero.
    if np.ptp(truth) == 0:
        return float("nan")
    if np.ptp(estimate) == 0:
        return 0.0
    e, t = estimate - estimate.mean(), truth - truth.mean()
    return float(e @ t / np.sqrt((e @ e) * (t @ t)))


def _angles_deg(estimate: Real, truth: Real) -> Float64:
    """Angles of one row of spectra `(cols, bands)`.

    Kahan's formula: the arc cosine of the textbooks loses half of the digits at small angles, and gives identical
    spectra an angle.
    """
    with np.errstate(invalid="ignore"):
        e, t = (_unit(spectra.astype(np.float64)) for spectra in (estimate, truth))
        angles: Float64 = 2 * np.arctan2(np.linalg.norm(e - t, axis=1), np.linalg.norm(e + t, axis=1))
    return np.degrees(angles)


def _unit(spectra: Float64) -> Float64:
    unit: Float64 = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    return unit


def _ssim(estimate: Real, truth: Real, window: Float64, peak: float, *, covariance_scale: float = 1.0) -> float:
    """Mean over bands of the SSIM under a separable window, whose 1-D weights sum to 1."""
    _check_peak(peak)
    valid = _valid(estimate, truth)
    if min(valid.shape) < window.size:
        raise InputError(
            f"the arrays have {valid.shape[0]} x {valid.shape[1]} pixels; "
            f"this SSIM needs at least {window.size} x {window.size}, the size of its window"
        )
    per_band = np.empty(estimate.shape[2])
    for k in range(per_band.size):
        e, t = (np.where(valid, array[:, :, k].astype(np.float64), np.nan) for array in (estimate, truth))
        per_band[k] = _mean(_ssim_map(e, t, window, peak, covariance_scale))
    return _mean(per_band)


def _ssim_map(e: Float64, t: Float64, window: Float64, peak: float, covariance_scale: float) -> Float64:
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_e, mean_t = _filter(e, window), _filter(t, window)
    product, power = mean_e * mean_t, mean_e**2 + mean_t**2
    covariance = covariance_scale * (_filter(e * t, window) - product)
    variances = covariance_scale * (_filter(e**2 + t**2, window) - power)
    similarity: Float64 = (2 * product + c1) * (2 * covariance + c2) / ((power + c1) * (variances + c2))
    return similarity


def _filter(image: Float64, window: Float64) -> Float64:
    """The windowed mean at every place where the window lies inside; NaN stays within its windows."""
    filtered: Float64 = _filter_rows(_filter_rows(image, window).T, window).T
    return filtered


def _filter_rows(image: Float64, window: Float64) -> Float64:
    out = np.zeros((image.shape[0] - window.size + 1, image.shape[1]))
    for start, weight in enumerate(window):
        out += weight * image[start : start + out.shape[0]]
    return out
