"""Model bundles: from a trained network, or of the regression alone, which has nothing to train."""

from __future__ import annotations

from pathlib import Path

from hsi_edge.bundle import Bundle, write_bundle
from hsi_edge.manifest import Bands, Input, Manifest, Msi, Tiling

QUANTITIES = ("dn", "radiance", "reflectance")
"""Every network here scales by the frame's own peak, so it does not matter which quantity it is."""
MIN_LR = 2
"""Smallest side of a frame, in LR pixels: below it there is nothing to interpolate."""


def pack_regression(ratio: int, out: Path) -> Bundle:
    """Write the bundle of the regression fusion at a ratio: no graph, any bands.

    Raises:
        ManifestError: The ratio is out of range.
        OutputError: `out` cannot be written, or is no bundle.
    """
    manifest = Manifest(
        name=f"regression-x{ratio}",
        network="regression",
        task="fusion",
        ratio=ratio,
        bands=Bands(),
        msi=Msi(bands=0),
        input=Input(quantities=QUANTITIES, lr_scaling="unit"),
        base="regression",
        psf_fwhm_px=float(ratio),
        tiling=Tiling(halo_lr=0, min_lr=MIN_LR),
    )
    return write_bundle(out, manifest, {})
