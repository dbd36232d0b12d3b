"""Which of several model bundles to take: what each one needs and gives, and which of them a sensor's frames fit."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hsi_edge.bundle import Bundle
from hsi_edge.bundle_store import MANIFEST
from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, ManifestError, SignatureError
from hsi_edge.manifest import Manifest, Row
from hsi_edge.plain_text import columns, labelled
from hsi_edge.sensor_check import check_sensor
from hsi_edge.spectral import resampling_matrix

Verdict = Literal["fits", "with --resample", "does not fit"]
VERDICTS: tuple[Verdict, ...] = ("fits", "with --resample", "does not fit")

_FRAME_PX = 512 * 512
_REALISTIC = "realistic"
_LEGEND = """\
  GMAC: 1e9 multiply-adds per frame of 512 x 512 HR pixels. PSNR / SAM: mean over test scenes, realistic pairs.
  Add --lr FRAME and --msi PHOTO to see which of them fit your sensors."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether a model takes a sensor's frames.

    Attributes:
        manifest: The model's.
        verdict: One of `VERDICTS`.
        words: What else the model wants, or why the frames do not fit it.
    """

    manifest: Manifest
    verdict: Verdict
    words: str


def holds_bundles(path: Path) -> bool:
    """Whether a path is a folder with model bundles in it."""
    return path.is_dir() and any(_bundle_paths(path))


def describe_bundles(folder: Path) -> str:
    """The bundles of a folder as a table: what each one takes, costs and reaches, and when to take it."""
    manifests, damaged = _manifests(folder)
    table = columns([_row(manifest) for manifest in manifests])
    return "\n".join([f"{folder}: {len(manifests)} model bundles", table, _LEGEND, *damaged])


def describe_fits(path: Path, lr_hsi: Cube, hr_msi: Cube | None) -> str:
    """Which bundles take a sensor's frames, the most accurate first, and why the others do not.

    Args:
        path: A bundle, or a folder of bundles.
        lr_hsi: A frame of the spectral sensor.
        hr_msi: A frame of its RGB camera; None if it is not known yet, or there is none.

    Raises:
        InputError: There is no bundle.
        ManifestError: The only bundle is damaged.
    """
    manifests, damaged = _manifests(path) if holds_bundles(path) else ([Bundle.open(path).manifest], [])
    fits = sorted((fit(m, lr_hsi, hr_msi) for m in manifests), key=lambda found: VERDICTS.index(found.verdict))
    blocks = []
    for verdict in VERDICTS:
        lines = [(found.manifest.name, found.words) for found in fits if found.verdict == verdict]
        if lines:
            blocks.append(f"{verdict}\n{labelled(lines)}")
    return "\n".join([*blocks, *damaged])


def fit(manifest: Manifest, lr_hsi: Cube, hr_msi: Cube | None) -> Fit:
    """Compare a sensor's frames with what a model takes."""
    try:
        verdict = _check_bands(manifest, lr_hsi)
        words = _check_sizes(manifest, lr_hsi, hr_msi)
    except InputError as refused:
        return Fit(manifest=manifest, verdict="does not fit", words=str(refused))
    return Fit(manifest=manifest, verdict=verdict, words=". ".join(part for part in (words, manifest.advice) if part))


def _check_bands(manifest: Manifest, lr_hsi: Cube) -> Verdict:
    model_nm = np.asarray(manifest.bands.wavelengths_nm, np.float64)

    def check(n_bands: int, wavelengths_nm: np.ndarray | None) -> None:
        check_sensor(manifest, n_bands=n_bands, wavelengths_nm=wavelengths_nm, quantity=lr_hsi.quantity)

    try:
        check(lr_hsi.n_bands, lr_hsi.wavelengths_nm)
    except InputError as refused:
        if lr_hsi.wavelengths_nm is None or not model_nm.size:
            raise
        check(model_nm.size, model_nm)
        good = slice(None) if lr_hsi.bad_bands is None else ~lr_hsi.bad_bands
        try:
            resampling_matrix(lr_hsi.wavelengths_nm[good], model_nm)
        except InputError:
            raise refused from None
        return "with --resample"
    return "fits"


def _check_sizes(manifest: Manifest, lr_hsi: Cube, hr_msi: Cube | None) -> str:
    """What the RGB frame must be, where it is not there to be checked."""
    least, ratio = manifest.tiling.min_lr, manifest.ratio
    if min(lr_hsi.rows, lr_hsi.cols) < least:
        raise InputError(f"the frame has {lr_hsi.rows} x {lr_hsi.cols} pixels; it takes {least} x {least} or more")
    if manifest.task == "single":
        return f"ratio {ratio}, without an RGB frame"
    size = f"{lr_hsi.rows * ratio} x {lr_hsi.cols * ratio}"
    if hr_msi is None:
        return f"ratio {ratio}, with an RGB frame of {size} pixels"
    if (hr_msi.rows, hr_msi.cols) != (lr_hsi.rows * ratio, lr_hsi.cols * ratio):
        raise InputError(
            f"the RGB frame has {hr_msi.rows} x {hr_msi.cols} pixels; at ratio {ratio} it must be resampled to {size}"
        )
    if manifest.msi.bands not in (0, hr_msi.n_bands):
        raise InputError(f"the RGB frame has {hr_msi.n_bands} bands; it takes {manifest.msi.bands}")
    return f"ratio {ratio}"


def _bundle_paths(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if (path / MANIFEST).is_file() or _is_zipped_bundle(path))


def _is_zipped_bundle(path: Path) -> bool:
    if path.suffix != ".zip" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return MANIFEST in archive.namelist()


def _manifests(folder: Path) -> tuple[list[Manifest], list[str]]:
    """Of the bundles that can be used, the most accurate first; and a line for each other one."""
    opened = [_manifest_or_reason(path) for path in _bundle_paths(folder)]
    manifests = [manifest for manifest in opened if isinstance(manifest, Manifest)]
    reasons = [f"  {reason}" for reason in opened if isinstance(reason, str)]
    return sorted(manifests, key=lambda manifest: -_realistic(manifest).get("psnr_db", 0)), reasons


def _manifest_or_reason(path: Path) -> Manifest | str:
    try:
        return Bundle.open(path).manifest
    except ManifestError as err:
        return f"damaged: {err}"
    except SignatureError as err:
        return f"not trusted: {err}"


def _row(manifest: Manifest) -> Row:
    centres = manifest.bands.wavelengths_nm
    accuracy = _realistic(manifest)
    return {
        "name": manifest.name,
        "takes": "LR-HSI and RGB" if manifest.task == "fusion" else "LR-HSI alone",
        "ratio": manifest.ratio,
        "bands": f"{len(centres)}, {centres[0]:g} to {centres[-1]:g} nm" if centres else "any",
        "GMAC": "-" if manifest.cost is None else f"{manifest.cost.macs_per_px * _FRAME_PX / 1e9:.3g}",
        "PSNR / SAM": f"{accuracy['psnr_db']:.1f} dB / {accuracy['sam_deg']:.1f} deg" if accuracy else "-",
        "advice": manifest.advice,
    }


def _realistic(manifest: Manifest) -> dict[str, float]:
    """The means over the test scenes; empty where they were not measured."""
    for row in manifest.accuracy:
        if row.get("pair") == _REALISTIC and str(row.get("scene", "")).startswith("mean"):
            return {key: value for key, value in row.items() if isinstance(value, float)}
    return {}
