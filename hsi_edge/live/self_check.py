"""Whether a result agrees with the two frames that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.live.residuals import LrFrame, Msi, holes, rgb_residual, spectral_residual
from hsi_edge.resampling import Blur, Float


@dataclass(frozen=True, kw_only=True, eq=False)
class SelfCheck:
    """How well a result, degraded again, agrees with its own inputs.

    Attributes:
        spectral: Root mean square of result (degraded to the LR grid) less LR-HSI, in units of the sensor's noise; NaN
            where nothing could be compared.
        rgb: Root mean square of what the result (seen by the RGB camera) and the RGB frame differ by, as a part of the
            RGB frame's standard deviation, or what the LR-HSI and the degraded RGB frame differ by where that is more;
            None in the mode single, NaN where nothing could be compared.
        map: `(h, w)` float32, the larger of both relative to its bound in every LR pixel: above 1 is doubtful, NaN
            where there was no measurement.
        flagged: Whether a bound was passed.
        reasons: Which ones, in words.
    """

    spectral: float
    rgb: float | None
    map: NDArray[np.float32]
    flagged: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SelfCheckSettings:
    """Bounds that good results keep and bad ones pass; the defaults were chosen by measurement.

    On simulated pairs of the scenes at hand, registered to 0.02 LR pixels, with and without noise, and on the Salton
    Sea's, no result of the bundles for fusion that agree with their inputs passes them (spectral at most 2.9, band 5.5,
    rgb 0.24). An RGB frame of another place, or one LR pixel off, passes them in all but a few (rgb 0.3 to 1). The
    spectra are off by up to 3.7 and 6.7 where a single-image network made them.

    Attributes:
        spectral: For `SelfCheck.spectral`.
        band: For the same of a single band.
        rgb: For `SelfCheck.rgb`.
        local: By how much more than a whole frame a single LR pixel may be off before it is doubtful.
        doubtful_part: Part of the measured LR pixels that may be doubtful.
        least_noise: What the sensor's noise is taken for where it is less, as a part of the frame's peak: no model is
            better than that.
    """

    spectral: float = 4.0
    band: float = 7.0
    rgb: float = 0.28
    local: float = 3.0
    doubtful_part: float = 0.01
    least_noise: float = 0.004

    def __post_init__(self) -> None:
        for name in ("spectral", "band", "rgb", "local", "least_noise"):
            if not getattr(self, name) > 0:
                raise InputError(f"the self-check's bound {name} is {getattr(self, name)}; wanted a positive number")
        if not 0 <= self.doubtful_part <= 1:
            raise InputError(f"the self-check's doubtful_part is {self.doubtful_part}; wanted a part, 0 to 1")


class SelfChecker:
    """Compares results with what they were made of; holds nothing of one frame for the next.

    Args:
        ratio: HR pixels per LR pixel.
        psf_fwhm_px: Of the spectral sensor's point spread function, in HR pixels.
        bounds: What is still good.
    """

    def __init__(self, ratio: int, psf_fwhm_px: float, bounds: SelfCheckSettings) -> None:
        self._ratio = ratio
        self._blur = Blur.gaussian(psf_fwhm_px, ratio)
        self._bounds = bounds

    def check(
        self,
        hr_hsi: Cube,
        lr_hsi: Cube,
        hr_msi: Cube | None = None,
        *,
        lr_noise: float | None = None,
        translation_px: tuple[float, float] | None = None,
    ) -> SelfCheck:
        """Compare one result with its inputs.

        Args:
            hr_hsi: `(h * ratio, w * ratio, S)`, NaN where there is no result.
            lr_hsi: `(h, w, S)`, as the engine was given it.
            hr_msi: `(h * ratio, w * ratio, c)`, likewise; None in the mode single.
            lr_noise: Of the LR-HSI, as the engine's report has it; None to estimate it.
            translation_px: Of the HR-MSI, which the engine undid, as its report has it; None where it undid none.

        Raises:
            InputError: The three do not belong together.
        """
        self._check_shapes(hr_hsi, lr_hsi, hr_msi)
        ratio, blur, moved = self._ratio, self._blur, translation_px or (0.0, 0.0)
        result = hr_hsi.physical() if hr_hsi.is_raw else np.asarray(hr_hsi.data)
        lr = LrFrame.measured(lr_hsi.physical(), lr_noise, self._bounds.least_noise)
        msi = None if hr_msi is None else Msi.measured(np.asarray(hr_msi.data), hr_msi.mask, moved)
        spectral = spectral_residual(result, lr, ratio, blur)
        colours = None if msi is None else rgb_residual(result, lr, msi, ratio, blur)
        missing = 0
        if not np.isfinite(spectral).all():
            missing = int(np.count_nonzero(holes(result, lr, msi, ratio)))
        return _judged(_Residuals(spectral, colours, missing, _band_names(lr_hsi, lr.live)), self._bounds)

    def _check_shapes(self, hr_hsi: Cube, lr_hsi: Cube, hr_msi: Cube | None) -> None:
        wanted = (lr_hsi.rows * self._ratio, lr_hsi.cols * self._ratio)
        if hr_hsi.data.shape != (*wanted, lr_hsi.n_bands):
            raise InputError(
                f"hr_hsi has shape {tuple(hr_hsi.data.shape)}; of this lr_hsi, the ratio {self._ratio} makes "
                f"{(*wanted, lr_hsi.n_bands)}"
            )
        if hr_msi is not None and (hr_msi.rows, hr_msi.cols) != wanted:
            raise InputError(f"hr_msi has {hr_msi.rows} x {hr_msi.cols} pixels; hr_hsi has {wanted[0]} x {wanted[1]}")


@dataclass(frozen=True, eq=False)
class _Residuals:
    """Spectral ones `(h, w, live bands)`, those of the RGB frame `(2, h, w)`, holes in LR pixels, the bands' names."""

    spectral: Float
    rgb: Float | None
    holes: int
    bands: Sequence[str]


def _judged(off: _Residuals, bounds: SelfCheckSettings) -> SelfCheck:
    spectra = off.spectral
    energy = np.einsum("ijk,ijk->ij", spectra, spectra) / np.float32(len(off.bands))
    finite = np.isfinite(energy)
    doubt = np.where(finite, np.sqrt(energy), np.float32(np.nan)) / np.float32(bounds.local * bounds.spectral)
    rgb = None
    if off.rgb is not None:
        rgb = max(_rms(part[np.isfinite(part)]) for part in off.rgb)
        doubt = np.fmax(doubt, np.fmax(*off.rgb) / np.float32(bounds.local * bounds.rgb))
    measured = spectra.reshape(-1, len(off.bands)) if finite.all() else spectra[finite]
    reasons = (
        *_spectral_reasons(measured, off.bands, bounds),
        *_rgb_reasons(rgb, bounds),
        *_local_reasons(doubt, off.holes, bounds),
    )
    return SelfCheck(spectral=_rms(measured), rgb=rgb, map=doubt, flagged=bool(reasons), reasons=reasons)


def _rms(values: Float) -> float:
    return float(np.sqrt(np.vdot(values, values) / values.size)) if values.size else float("nan")


def _spectral_reasons(measured: Float, bands: Sequence[str], bounds: SelfCheckSettings) -> Iterator[str]:
    """Of residuals `(pixels, bands)`."""
    if not measured.size:
        yield "nothing of the result could be compared with the LR-HSI"
        return
    if (whole := _rms(measured)) > bounds.spectral:
        yield (
            f"degraded again, the result is off the LR-HSI by {whole:.1f} times the sensor's noise "
            f"(bound {bounds.spectral:g})"
        )
    per_band = np.sqrt(np.einsum("ij,ij->j", measured, measured) / np.float32(len(measured)))
    worst = int(np.argmax(per_band))
    if per_band[worst] > bounds.band:
        yield (
            f"{bands[worst]} of the result, degraded again, is off the LR-HSI by {per_band[worst]:.1f} times the "
            f"sensor's noise (bound {bounds.band:g})"
        )


def _rgb_reasons(rgb: float | None, bounds: SelfCheckSettings) -> Iterator[str]:
    # Not "rgb > bound": NaN, where nothing could be compared, is no agreement.
    if rgb is not None and not rgb <= bounds.rgb:
        yield (
            f"the result and the RGB frame differ by {100 * rgb:.0f} % of the RGB frame's contrast "
            f"(bound {100 * bounds.rgb:g} %)"
        )


def _local_reasons(doubt: Float, missing: int, bounds: SelfCheckSettings) -> Iterator[str]:
    if missing:
        yield f"the result has holes in {missing} LR pixels that both sensors measured"
    part = int(np.count_nonzero(doubt > 1)) / max(1, int(np.count_nonzero(np.isfinite(doubt))))
    if part > bounds.doubtful_part:
        yield f"{100 * part:.1f} % of the LR pixels are doubtful (bound {100 * bounds.doubtful_part:g} %)"


def _band_names(lr_hsi: Cube, live: NDArray[np.bool_]) -> list[str]:
    centres = lr_hsi.wavelengths_nm
    return [f"band {n}" if centres is None else f"the band at {centres[n]:.0f} nm" for n in np.flatnonzero(live)]
