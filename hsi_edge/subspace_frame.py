"""A frame for networks that work on its components (`hsi_edge.subspace`), for any number of bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hsi_edge.consistency import Consistency
from hsi_edge.frame import Findings, Frame, Window
from hsi_edge.guide import GuideReader, degraded_guide, degraded_window
from hsi_edge.noise import denoise_spectra, msi_noise
from hsi_edge.registration.translation import MOST_LR, Translation, estimate_translation
from hsi_edge.resampling import Blur, Float
from hsi_edge.spread import spread_windows
from hsi_edge.subspace import CHANNELS, MARGIN_LR, Subspace, find_subspace
from hsi_edge.tiling.geometry import Region

LOOKED_AT_LR = 96
"""LR rows and columns from which noise and translation are estimated; a larger frame is looked at in windows."""
LEAST_WITH_BORDER = 8
"""Smallest side of a frame, in LR pixels, that can do without its outermost pixels."""
DISAGREEING, TIMES_NOISE = 0.0075, 5
"""Correction from which on the two sensors are said to disagree: part of the frame's peak, and multiple of noise."""
DISAGREEMENT = (
    "the two sensors disagree: the output had to be corrected by {:.1f} percent of the frame's peak (root mean square) "
    "to agree with the LR-HSI, and may overshoot, even below zero; look at the registration, the time between the two, "
    "and whether the spectral sensor's point spread function is one LR pixel wide"
)
DISPLACED = (
    f"the HR-MSI is displaced by more than {MOST_LR:g} LR pixels, or by how much cannot be told from this pair; "
    "nothing was undone: register the pair first"
)


@dataclass(frozen=True, eq=False)
class SubspaceFrame(Frame):
    """A frame whose graph takes and gives components.

    Attributes:
        subspace: The components.
        features: Those of the subspace with `MARGIN_LR` pixels around them.
        blur: From the HR grid to the LR grid.
        lr_noise: Standard deviation of the scaled LR-HSI's noise.
        msi_noise: That of the scaled HR-MSI.
    """

    subspace: Subspace
    features: Float
    blur: Blur
    lr_noise: float
    msi_noise: float

    def window(self, lr_region: Region) -> Window:
        """The guides, the features and the condition of an LR region."""
        assert self.guide is not None
        msi, msi_valid = self.guide.window(lr_region.scaled(self.ratio))
        valid = self.lr_valid[lr_region.slices].repeat(self.ratio, axis=0).repeat(self.ratio, axis=1)
        rows, cols = (slice(first, last + 2 * MARGIN_LR) for first, last in (lr_region.rows, lr_region.cols))
        images = {
            "guide": self.subspace.guide(msi),
            "features": np.ascontiguousarray(self.features[:, rows, cols]),
            "condition": self.subspace.condition,
        }
        return Window(images, valid if msi_valid is None else valid & msi_valid)

    def bands_from(self, output: Float) -> Float:
        """The bands in the LR-HSI's numbers that components `(CHANNELS, ...)` stand for."""
        values: Float = self._scaled_bands(output)
        values *= np.float32(self.scale)
        return values

    def consistency(self) -> Consistency:
        """What makes the output agree with the measured LR-HSI."""
        assert self.lr is not None
        # Dead bands agree without fail, and so take their share of what noise may be.
        return Consistency(
            self.lr,
            self.lr_valid,
            noise=self.lr_noise * float(np.sqrt(1 - self.dead_bands.mean())),
            bands_from=self._scaled_bands,
            channels=CHANNELS,
            blur=self.blur,
            ratio=self.ratio,
        )

    def findings(self, correction: float | None) -> Findings:
        """The displacement that was undone, the noise of either sensor, and whether the two agree."""
        assert self.guide is not None
        found = self.guide.translation
        warnings = [] if found.trusted else [DISPLACED]
        if correction is not None and correction > max(DISAGREEING, TIMES_NOISE * self.lr_noise):
            warnings.append(DISAGREEMENT.format(100 * correction))
        return Findings(
            translation_px=(found.rows_px, found.cols_px) if found.trusted else None,
            lr_noise=self.lr_noise,
            msi_noise=self.msi_noise,
            correction=correction,
            warnings=tuple(warnings),
        )

    def _scaled_bands(self, output: Float) -> Float:
        flat = self.subspace.mixing @ output.reshape(CHANNELS, -1)
        flat += self.subspace.offset[:, None]
        bands: Float = flat.reshape(-1, *output.shape[1:])
        return bands


def subspace_frame(frame: Frame, fit: NDArray[np.bool_], psf_fwhm_px: float) -> SubspaceFrame:
    """Find a frame's noise, translation and components.

    Args:
        frame: With its LR-HSI and its MSI.
        fit: `(h, w)`, the LR pixels that are valid in both.
        psf_fwhm_px: FWHM of the degradation, in HR pixels.
    """
    assert frame.lr is not None
    assert frame.guide is not None
    windows = spread_windows(frame.lr_shape, LOOKED_AT_LR)
    # Bands of zeros would pass for bands without noise.
    live = ~frame.dead_bands
    spectra = denoise_spectra(frame.lr[live].reshape(live.sum(), -1), None if fit.all() else fit.ravel())
    noise = msi_noise(_measured(frame.guide, region.scaled(frame.ratio)) for region in windows)
    translation = _translation(frame.guide, spectra.components, windows, fit, psf_fwhm_px)
    guide = replace(frame.guide, translation=translation)
    blur = Blur.gaussian(psf_fwhm_px, frame.ratio)
    lr_msi, _ = degraded_guide(guide, blur)
    subspace = _with_all_bands(find_subspace(spectra, lr_msi, noise, None if fit.all() else fit), live)
    around = ((0, 0), (MARGIN_LR, MARGIN_LR), (MARGIN_LR, MARGIN_LR))
    fields = {name: getattr(frame, name) for name in frame.__dataclass_fields__} | {"guide": guide}
    return SubspaceFrame(
        **fields,
        subspace=subspace,
        features=np.pad(subspace.features, around, mode="edge"),
        blur=blur,
        lr_noise=spectra.noise,
        msi_noise=noise,
    )


def _measured(guide: GuideReader, region: Region) -> Float:
    """The MSI's pixels, NaN where they are invalid: what they were filled with has no noise."""
    image, valid = guide.window(region)
    return image if valid is None else np.where(valid, image, np.float32(np.nan))


def _with_all_bands(subspace: Subspace, live: NDArray[np.bool_]) -> Subspace:
    """The components of the live bands for all bands; the dead ones are zero."""
    mixing, offset = (np.zeros((len(live), *part.shape[1:]), np.float32) for part in (subspace.mixing, subspace.offset))
    mixing[live], offset[live] = subspace.mixing, subspace.offset
    return replace(subspace, mixing=mixing, offset=offset)


def _translation(
    guide: GuideReader, components: Float, windows: list[Region], fit: NDArray[np.bool_], psf_fwhm_px: float
) -> Translation:
    maps = components.reshape(-1, *fit.shape)
    if min(fit.shape) >= LEAST_WITH_BORDER:
        # A displaced image lacks what lies beyond the frame, and its outermost LR pixels show that.
        fit = np.pad(fit[1:-1, 1:-1], 1)

    def degraded(blurs: Sequence[tuple[Blur, Blur]]) -> list[Float]:
        parts = [degraded_window(guide, region, blurs)[0] for region in windows]
        kept = [[image[:, fit[region.slices]] for image in part] for part, region in zip(parts, windows, strict=True)]
        return [np.concatenate(images, axis=1) for images in zip(*kept, strict=True)]

    seen = np.concatenate([_part(maps, region)[:, fit[region.slices]] for region in windows], axis=1)
    return estimate_translation(seen, degraded, guide.ratio, psf_fwhm_px)


def _part(image: Float, region: Region) -> Float:
    rows, cols = region.slices
    return image[:, rows, cols]
