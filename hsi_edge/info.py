"""What a model bundle, a folder of them or a spectral file is, in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_edge.bundle import Bundle
from hsi_edge.bundle_store import MANIFEST
from hsi_edge.catalogue import describe_bundles, holds_bundles
from hsi_edge.cube import Cube, Georeference
from hsi_edge.io import read
from hsi_edge.manifest import Calibration, Manifest
from hsi_edge.plain_text import Line, columns, labelled
from hsi_edge.signing import signature_text


def describe(path: Path) -> str:
    """Return what lies at `path`: a bundle's folder or `.zip` file, a folder of bundles, or a spectral file.

    Raises:
        InputError: If it is no spectral file that can be read.
        ManifestError: If it is a damaged bundle.
    """
    if path.suffix == ".zip" or (path / MANIFEST).is_file():
        return _bundle_text(Bundle.open(path))
    if holds_bundles(path):
        return describe_bundles(path)
    return f"{path}: a spectral file\n{labelled(_cube_lines(read(path)))}"


def _bundle_text(bundle: Bundle) -> str:
    manifest = bundle.manifest
    parts = [f"{bundle.path}: the model bundle {manifest.name}", labelled(_model_lines(manifest))]
    for title, rows in (("measured accuracy", manifest.accuracy), ("published accuracy", manifest.published)):
        if rows:
            parts.append(f"{title}\n{columns(rows)}")
    files = [(name, _size_text(file.size_bytes)) for name, file in manifest.files.items()]
    parts.append(
        "files, each as the manifest lists it\n" + labelled(files) if files else "no files beside its manifest"
    )
    parts.append(labelled([("signature", signature_text(bundle.path))]))
    return "\n".join(parts)


def _model_lines(manifest: Manifest) -> Iterator[Line]:
    yield "network", _network_text(manifest)
    yield "ratio", f"{manifest.ratio}: {manifest.ratio} x {manifest.ratio} HR pixels for each LR pixel"
    yield "takes LR-HSI", _lr_text(manifest)
    if manifest.task == "fusion":
        yield "takes HR-MSI", _msi_text(manifest)
    yield "smallest frame", f"{manifest.tiling.min_lr} x {manifest.tiling.min_lr} LR pixels"
    if manifest.statistics is not None:
        others = [mode for mode in manifest.statistics.modes if mode != manifest.statistics.default]
        also = f"; also {', '.join(others)}" if others else ""
        yield "statistics", f"{manifest.statistics.default} (default){also}"
    yield "precision", _precision_text(manifest)
    if manifest.advice:
        yield "advice", manifest.advice
    if manifest.training is not None:
        yield "trained on", manifest.training.data
        yield "data's licence", manifest.training.data_licence
        yield "recipe", manifest.training.recipe


def _network_text(manifest: Manifest) -> str:
    parts = [manifest.network]
    if manifest.base == "subspace":
        parts.append("works on the frame's own components")
    elif manifest.graphs and manifest.base != "none":
        parts.append(f"adds to a {manifest.base} base")
    if manifest.cost is not None:
        parts.append(f"{manifest.cost.parameters:,} parameters, {manifest.cost.macs_per_px:,.0f} MAC per HR pixel")
    return ", ".join(parts)


def _lr_text(manifest: Manifest) -> str:
    quantities = " or ".join(manifest.input.quantities)
    if manifest.n_bands == 0:
        return f"any bands; {quantities}"
    centres = manifest.bands.wavelengths_nm
    span = f"{centres[0]:g} to {centres[-1]:g} nm, each within {manifest.bands.tolerance_nm:g} nm"
    return f"{manifest.n_bands} bands, {span}; {quantities}"


def _msi_text(manifest: Manifest) -> str:
    names = f" ({', '.join(manifest.msi.names)})" if manifest.msi.names else ""
    bands = f"{manifest.msi.bands} bands{names}" if manifest.msi.bands else "any bands"
    registered = "registered to the LR-HSI"
    if manifest.base == "subspace":
        registered += " within half an LR pixel (the rest is found in each frame and undone)"
    return f"{bands}, {registered}, {manifest.ratio} times its rows and columns"


def _precision_text(manifest: Manifest) -> str:
    if not manifest.graphs:
        return "fp32 (a model without a graph)"
    graphs = ", ".join(["fp32", *(_narrow_text(*entry) for entry in manifest.calibration.items())])
    loss = _loss_text(manifest.precision.bf16_psnr_loss_db)
    return f"{graphs}; bf16 arithmetic is {'allowed' if manifest.precision.bf16 else 'not allowed'}{loss}"


def _narrow_text(precision: str, calibration: Calibration) -> str:
    wider = len(calibration.float_layers)
    return f"{precision}{_loss_text(calibration.psnr_loss_db)}" + (f" with {wider} layers wider" if wider else "")


def _loss_text(loss_db: float | None) -> str:
    return "" if loss_db is None else f" (loses {max(loss_db, 0):.2g} dB)"


def _cube_lines(cube: Cube) -> Iterator[Line]:
    dtype = np.dtype(cube.data.dtype)
    yield "size", f"{cube.rows} rows x {cube.cols} columns x {cube.n_bands} bands"
    yield "type", f"{dtype.name}, {_size_text(cube.rows * cube.cols * cube.n_bands * dtype.itemsize)}"
    yield "wavelengths", "unknown" if cube.wavelengths_nm is None else _wavelengths_text(cube.wavelengths_nm)
    if cube.fwhm_nm is not None:
        yield "band widths", f"{cube.fwhm_nm.min():g} to {cube.fwhm_nm.max():g} nm (FWHM)"
    yield "quantity", (cube.quantity or "unknown") + (f" in {cube.unit}" if cube.unit else "")
    yield "physical value", _scaling_text(cube)
    if cube.nodata is not None:
        yield "no measurement", f"stored as {cube.nodata:g}"
    if cube.mask is not None:
        yield "masked", f"{int((~cube.mask).sum())} of {cube.mask.size} pixels"
    yield "bad bands", "none stated" if cube.bad_bands is None else _bad_bands_text(cube.bad_bands)
    yield "georeference", "none" if cube.georeference is None else _georeference_text(cube.georeference)
    if cube.timestamp_ns is not None:
        yield "exposed at", str(np.datetime64(cube.timestamp_ns, "ns"))


def _wavelengths_text(wavelengths_nm: NDArray[np.float64]) -> str:
    order = "" if np.all(np.diff(wavelengths_nm) > 0) else ", not ascending"
    return f"{wavelengths_nm.min():g} to {wavelengths_nm.max():g} nm{order}"


def _scaling_text(cube: Cube) -> str:
    if cube.gain is not None or cube.offset is not None:
        return "stored value x gain + offset, per band"
    return "as stored" if cube.scale_factor == 1.0 else f"stored value / {cube.scale_factor:g}"


def _bad_bands_text(bad_bands: NDArray[np.bool_]) -> str:
    """Such as `20 of 224: 0-3, 107-113` (counted from 0)."""
    bad = np.flatnonzero(bad_bands)
    if not len(bad):
        return f"none of {len(bad_bands)}"
    runs = np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1)
    ranges = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"{len(bad)} of {len(bad_bands)}, counted from 0: {ranges}"


def _georeference_text(georeference: Georeference) -> str:
    a, b, c, d, e, f = georeference.transform
    name = re.search(r'"([^"]*)"', georeference.crs_wkt)
    system = name.group(1) if name else next(iter(georeference.map_info), "no reference system stated")
    size = f"{np.hypot(a, d):g} x {np.hypot(b, e):g}"
    return f"{system}; pixels of {size} in its unit, upper left corner at x {c:.10g}, y {f:.10g}"


def _size_text(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"
