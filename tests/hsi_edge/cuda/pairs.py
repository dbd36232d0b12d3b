"""Frame pairs and kinds of models for the tests of the CUDA runtime."""

from __future__ import annotations

import numpy as np

from hsi_edge.cube import Cube
from hsi_edge.registration.translation import margin_px, resampled
from hsi_edge.resampling import Blur, degrade
from tests.tiny_bundles import frame_pair, fusion_manifest, lr_manifest, plain_manifest, subspace_manifest

KINDS = {
    "bilinear base": plain_manifest(),
    "bicubic base": plain_manifest(base="bicubic"),
    "regression base": plain_manifest(base="regression"),
    "statistics": fusion_manifest(base="regression"),
    "lr_hsi": lr_manifest(("lr_hsi",)),
    "lr_hsi and base": lr_manifest(("lr_hsi", "base")),
    "lr_hsi and hr_msi": lr_manifest(("lr_hsi", "hr_msi")),
    "all images": lr_manifest(("base", "hr_msi", "lr_hsi")),
    "components": subspace_manifest(),
    "components at another ratio": subspace_manifest(3),
}


def pair_of(rng, manifest, lr_shape=(19, 23)):
    """Noise."""
    lr_hsi, hr_msi = frame_pair(rng, lr_shape, manifest.ratio)
    return lr_hsi, None if manifest.task == "single" else hr_msi


def displaced_pair(rng, ratio, lr_shape=(24, 20), by=(0.4, -0.6)):
    """A smooth scene, whose RGB frame is displaced by fractions of an LR pixel."""
    rows, cols = (np.arange(-4 * ratio, (length + 4) * ratio) for length in lr_shape)
    scene = sum(
        rng.random((3, 1, 1)) * np.sin(rows[None, :, None] / a + b) * np.cos(cols[None, None, :] / b + a)
        for a, b in rng.uniform(3, 9, (12, 2))
    )
    scene = ((scene - scene.min()) / np.ptp(scene)).astype(np.float32)
    inner = (slice(None), slice(4 * ratio, -4 * ratio), slice(4 * ratio, -4 * ratio))
    whole = degrade(scene, ratio, Blur.gaussian(ratio, ratio))[:, 4:-4, 4:-4]
    lr_hsi = np.moveaxis(np.concatenate([whole, whole[:2] * 0.7]), 0, 2)
    margins = [margin_px(shift * ratio) for shift in by]
    padded = np.pad(scene, ((0, 0), *((margin, margin) for margin in margins)), mode="edge")
    moved = resampled(resampled(padded, -by[0] * ratio, 1), -by[1] * ratio, 2)[inner]
    noise = rng.normal(0, 1e-3, lr_hsi.shape).astype(np.float32)
    return np.ascontiguousarray(lr_hsi) + noise, np.ascontiguousarray(np.moveaxis(moved, 0, 2))


def changed(pair, how, rng):
    """A pair whose HR-MSI has another type or memory order, or invalid pixels."""
    lr_hsi, hr_msi = pair
    if how == "invalid pixels":
        hr_msi[rng.random(hr_msi.shape[:2]) < 0.2] = np.nan
        hr_msi[6:13, 5:18, 1] = np.inf
        lr_hsi[4:6, 7] = np.nan
    elif how == "a mask":
        hr_msi = Cube(data=hr_msi, quantity="reflectance", mask=rng.random(hr_msi.shape[:2]) < 0.8)
    elif how == "views":
        hr_msi = np.flip(np.repeat(hr_msi, 2, axis=1)[:, ::2], 0).copy(order="F")[::-1]
    elif how in ("uint8", "uint16", "int16"):
        hr_msi = (hr_msi * np.iinfo(how).max).astype(how)
    else:
        hr_msi = hr_msi.astype(how)
    return lr_hsi, hr_msi
