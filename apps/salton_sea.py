"""Sharpen a real spectral frame from the shore of the Salton Sea with an aerial photograph of another day.

Run from a checkout: `python -m apps.salton_sea`. The README in `apps/samples/salton_sea` says what the pair is and
where it comes from.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_edge import HSIEngine
from hsi_edge.cube import Cube
from hsi_edge.errors import HSIEdgeError
from hsi_edge.io import read, write
from hsi_edge.manifest import Manifest
from hsi_edge.png import encode_png
from hsi_edge.quality import rmse, sam_deg
from hsi_edge.registration.calibrate import Calibration, calibrate
from hsi_edge.registration.rig import write_rig
from hsi_edge.registration.warp import GridWarp
from hsi_edge.report import false_colour, write_report
from hsi_edge.report.pictures import magnified
from hsi_edge.resampling import Blur, degrade

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "apps" / "samples" / "salton_sea"
BUNDLE = ROOT / "engines" / "bundles" / "fieldfuse-x8"
OUT = Path("out") / "salton_sea"

_LAST_NM = 1000.0  # silicon sees no farther; the frame goes on to 2500 nm
_FRAME_GSD_M = 16.9
_GAMMA = 1.5
_ZOOM = 2
_LABEL_PX = 40

Rgb = NDArray[np.uint8]


def visible_and_near_infrared(frame: Cube) -> Cube:
    """The bands up to 1000 nm that hold a measurement, in reflectance."""
    assert frame.wavelengths_nm is not None
    good = frame.wavelengths_nm <= _LAST_NM
    if frame.bad_bands is not None:
        good &= ~frame.bad_bands
    bands = frame.select_bands(np.flatnonzero(good).tolist())
    return replace(bands, data=bands.physical(), scale_factor=1.0, nodata=None)


def main(out: Path = OUT) -> None:
    """Fuse the sample pair and write inputs, cube, report and picture into `out`."""
    frame, photo = read(SAMPLES / "frame.hdr"), np.asarray(read(SAMPLES / "orthophoto.png").data)
    # The frame is bent locally, most likely by the aircraft's movement; the photo, an orthophoto, is not.
    calibration = calibrate([(frame, photo)], bend=True)
    with HSIEngine(BUNDLE) as engine:
        model = engine.manifest
        lr_hsi = visible_and_near_infrared(frame)
        hr_msi, _ = GridWarp(calibration.rig, model.ratio).on_grid(photo)
        hr_hsi = engine.run(lr_hsi, hr_msi)
        report = engine.report
    out.mkdir(parents=True, exist_ok=True)
    write_rig(out / "rig.yaml", calibration.rig)
    write(out / "frame.hdr", lr_hsi)
    (out / "photo.png").write_bytes(encode_png(hr_msi))
    write(out / "fused.hdr", hr_hsi)
    write_report(out, report=report, lr_hsi=lr_hsi, hr_hsi=hr_hsi, hr_msi=hr_msi)
    (out / "comparison.png").write_bytes(encode_png(comparison(lr_hsi, hr_msi, hr_hsi)))
    print(_summary(out, lr_hsi, hr_hsi, model, calibration))


def comparison(lr_hsi: Cube, hr_msi: Rgb, hr_hsi: Cube) -> Rgb:
    """Frame, photo and result side by side, `(rows, cols, 3)`; frame and result in the same stretch."""
    ratio = hr_hsi.rows // lr_hsi.rows
    assert lr_hsi.wavelengths_nm is not None
    white = np.percentile(np.asarray(lr_hsi.data)[:, :, lr_hsi.wavelengths_nm <= 700], 99.5)
    frame, result = _natural_colour(lr_hsi, white), _natural_colour(hr_hsi, white)
    panels = (
        (f"spectral frame: {lr_hsi.n_bands} bands, pixels of {_FRAME_GSD_M:.0f} m", magnified(frame, ratio * _ZOOM)),
        ("photograph of another day: 3 bands", magnified(hr_msi, _ZOOM)),
        (f"fused: {hr_hsi.n_bands} bands, pixels of {_FRAME_GSD_M / ratio:.1f} m", magnified(result, _ZOOM)),
    )
    return np.concatenate([_labelled(picture, label) for label, picture in panels], axis=1)


def _natural_colour(cube: Cube, white: float) -> Rgb:
    """One stretch for all three channels keeps the colours; the gamma shows fields and shadows."""
    brightness = (np.clip(np.asarray(cube.data), 0, None) / white) ** (1 / _GAMMA)
    return false_colour(brightness, cube.wavelengths_nm, np.array([[0.0, 1.0]] * 3))


def _labelled(picture: Rgb, label: str) -> Rgb:
    bar = np.zeros((_LABEL_PX, picture.shape[1], 3), np.uint8)
    cv2.putText(bar, label, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    return np.concatenate([bar, picture])


def seen_by_frame(hr_hsi: Cube, ratio: int, psf_fwhm_px: float) -> NDArray[np.float32]:
    """The result with the frame's blur and pixels, `(rows, cols, bands)`: what the frame should have measured."""
    channels_first = np.asarray(hr_hsi.data, np.float32).transpose(2, 0, 1)
    return np.moveaxis(degrade(channels_first, ratio, Blur.gaussian(psf_fwhm_px, ratio)), 0, -1)


def _summary(out: Path, lr_hsi: Cube, hr_hsi: Cube, model: Manifest, calibration: Calibration) -> str:
    seen, measured = seen_by_frame(hr_hsi, model.ratio, model.psf_fwhm_px), np.asarray(lr_hsi.data)
    return f"""\
Written to {out}:
  comparison.png  frame, photo and result side by side: look at this first
  report.html     the run: pictures, spectra of a few pixels, timings
  fused.hdr       the cube, {hr_hsi.rows} x {hr_hsi.cols} x {hr_hsi.n_bands}, reflectance (ENVI)
  frame.hdr, photo.png   what was fused: {lr_hsi.n_bands} bands, and the photo on their grid at ratio {model.ratio}
  rig.yaml        where on the photo each frame pixel is, as found: it explains {calibration.explained:.1%} of the frame
Look at: the canal, the rows of trees, the single desert shrubs; the frame's pixels are too coarse to show them.
Mind: the two were taken on different days. Fine detail, such as shadows and crops, is that of the photo's day;
  spectra were measured for whole frame pixels only.
Check: averaged back to the frame's pixels, the result differs from the frame by
  {rmse(seen, measured):.4f} reflectance (RMS; the frame's mean is {measured.mean():.3f}), and
  {sam_deg(seen, measured):.2f} degrees of spectral angle (mean)."""


if __name__ == "__main__":
    try:
        main()
    except (HSIEdgeError, OSError) as err:
        sys.exit(f"salton_sea: {err}")
