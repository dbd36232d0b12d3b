"""From checked inputs to a frame that is ready for tiles: scaling, invalid pixels, the base image or the subspace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_edge.base_image import make_base_image
from hsi_edge.errors import InputError
from hsi_edge.frame import Frame
from hsi_edge.guide import GuideReader, degraded_guide, every, fill_invalid
from hsi_edge.inputs import FrameInput
from hsi_edge.manifest import Manifest
from hsi_edge.resampling import Blur, Float
from hsi_edge.scaling import frame_peak
from hsi_edge.subspace_frame import subspace_frame


def prepare_frame(manifest: Manifest, given: FrameInput) -> Frame:
    """Scale a checked frame and prepare its base image.

    Raises:
        InputError: The MSI has no valid pixel, or none where the LR-HSI has one.
    """
    valid = every(np.isfinite(given.lr_hsi) | given.dead_bands, 2)
    peaked = manifest.input.lr_scaling == "frame_peak"
    measured = given.lr_hsi if valid.all() else given.lr_hsi[valid]
    scale = frame_peak(measured) if peaked else given.lr_divisor
    lr = np.array(np.moveaxis(given.lr_hsi, 2, 0), order="C")
    lr *= np.float32(1 / scale)
    lr[given.dead_bands] = 0
    if not valid.all():
        lr = fill_invalid(lr, valid)
    guide, lr_msi, fit = None, None, valid
    if given.hr_msi is not None:
        guide, lr_msi, lr_msi_valid = _prepare_guide(manifest, given)
        fit = valid & lr_msi_valid
        if not fit.any():
            raise InputError("no LR pixel is valid in both lr_hsi and hr_msi; check the masks, and the registration")
    rows, cols = valid.shape
    kind = manifest.base
    base = None if kind == "none" or kind == "subspace" else make_base_image(kind, lr, lr_msi, manifest.ratio, fit)
    frame = Frame(
        lr_shape=(rows, cols),
        alignment=manifest.tiling.alignment_lr,
        ratio=manifest.ratio,
        scale=scale,
        lr_valid=valid,
        dead_bands=given.dead_bands,
        names=manifest.input.images,
        lr=lr if kind == "subspace" or "lr_hsi" in manifest.input.images else None,
        base=base,
        guide=guide,
    )
    return subspace_frame(frame, fit, manifest.psf_fwhm_px) if kind == "subspace" else frame


def _prepare_guide(manifest: Manifest, given: FrameInput) -> tuple[GuideReader, Float, NDArray[np.bool_]]:
    """The MSI's reader, the MSI on the LR grid in its scale, and which LR pixels saw valid MSI pixels alone."""
    assert given.hr_msi is not None
    raw = GuideReader(
        given.hr_msi, given.msi_valid, manifest.ratio, given.msi_divisor, np.zeros(given.hr_msi.shape[2], np.float32)
    )
    blur = Blur.gaussian(manifest.psf_fwhm_px, manifest.ratio)
    lr_msi, valid = degraded_guide(raw, blur)
    if not valid.any():
        raise InputError("hr_msi has no LR pixel's worth of valid pixels; check the camera, or its mask")
    peak = frame_peak(lr_msi[:, valid]) if manifest.input.msi_scaling == "frame_peak" else 1.0
    lr_msi *= np.float32(1 / peak)
    fill = lr_msi[:, valid].mean(axis=1)
    guide = GuideReader(given.hr_msi, given.msi_valid, manifest.ratio, given.msi_divisor * peak, fill)
    return guide, lr_msi, valid
