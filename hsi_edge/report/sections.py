"""What a report says of a run, as the sections of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.report import page
from hsi_edge.report.page import Picture, box, pin
from hsi_edge.report.pictures import (
    Rgb,
    Window,
    false_colour,
    fit_to_page,
    magnified,
    most_detailed,
    rgb_bands,
    stretch_limits,
)
from hsi_edge.report.plot import plot
from hsi_edge.report.spectra import PixelSpectra, pixel_spectra

if TYPE_CHECKING:
    from hsi_edge.run_report import RunReport

_RGB_NM = np.array([650.0, 550.0, 450.0])  # tells `false_colour` that the bands are red, green, blue
_QUANTITIES = {"dn": "digital number", "radiance": "radiance", "reflectance": "reflectance", None: "value"}


def sections(
    report: RunReport, facts: Mapping[str, Any], lr_hsi: Cube, hr_hsi: Cube, hr_msi: NDArray[Any] | None
) -> list[str]:
    """Return the page's sections as HTML; arguments as for `write_report`, `facts` the content of its JSON file."""
    lr = lr_hsi.physical()
    found = pixel_spectra(lr, hr_hsi, report.ratio)
    parts = [page.stats(_headline(report, facts))]
    if report.warnings:
        parts.append(page.warnings(report.warnings))
    views = _views(report.ratio, lr_hsi, lr, hr_hsi, hr_msi)
    window = most_detailed(views[1].rgb, report.ratio)
    parts += [_frame_section(views, window, found, report.ratio), _closer_section(views, window)]
    if found:
        parts.append(_spectra_section(found, hr_hsi))
    parts.append(page.section("Time", _time_note(report), page.timings(report.timings_ms)))
    parts.append(page.section("Run", "How this result was made.", page.facts(_run_facts(report, facts))))
    return parts


def size_text(shape: Sequence[int]) -> str:
    """A shape in words: 64 × 48 × 31."""
    return " × ".join(str(side) for side in shape)


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):.0f} MiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _headline(report: RunReport, facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        "in all": page.milliseconds(report.timings_ms["total"]),
        "backend, precision": f"{report.backend} {report.precision}",
        f"of {size_text(report.tile)} HR pixels": _count(report.n_tiles, "tile"),
        "peak memory of the process": _mib(facts["peak_memory_bytes"]),
    }


def _time_note(report: RunReport) -> str:
    pixels = report.lr_shape[0] * report.lr_shape[1] * report.ratio**2
    return f"{pixels / 1e3 / report.timings_ms['total']:.3g} million HR pixels per second."


def _run_facts(report: RunReport, facts: Mapping[str, Any]) -> dict[str, str]:
    msi = "none" if report.msi_shape is None else f"{size_text(report.msi_shape)}, masked: {report.masked_msi_px} px"
    return {
        **{f"{name.replace('_', '-').upper()} file": file for name, file in facts["files"].items()},
        "model": f"{report.bundle} ({_network(report)})",
        "LR-HSI (rows × columns × bands)": f"{size_text(report.lr_shape)}, masked: {report.masked_lr_px} px",
        "HR-MSI": msi,
        "HR-HSI": size_text(facts["hr_shape"]),
        **_found(report),
        "backend": f"{report.backend}, {report.precision}, on {report.device}",
        "statistics": report.statistics or "the network has none",
        "tiles": f"{report.n_tiles} of {size_text(report.tile)} HR pixels",
        "memory planned": f"{_mib(report.planned_bytes)} beyond inputs and output",
        "peak memory": f"{_mib(facts['peak_memory_bytes'])}, the whole process with its inputs and output",
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    }


def _network(report: RunReport) -> str:
    if report.base == "subspace":
        return f"{report.network} on the frame's own components"
    return report.network if report.base in ("none", report.network) else f"{report.network} over a {report.base} base"


def _found(report: RunReport) -> dict[str, str]:
    """What preparing the frame told of the pair, for a model that looks."""
    found = {}
    if report.translation_px is not None:
        rows, cols = report.translation_px
        found["displacement undone"] = f"HR-MSI by {rows:+.2f} rows, {cols:+.2f} columns, in HR pixels"
    if report.lr_noise is not None and report.msi_noise is not None:
        found["noise"] = f"LR-HSI {report.lr_noise:.2g}, HR-MSI {report.msi_noise:.2g} of the frame's peak"
    if report.correction is not None:
        found["corrected to agree"] = f"by {100 * report.correction:.2g} percent of the frame's peak (root mean square)"
    return found


def _views(
    ratio: int, lr_hsi: Cube, lr: NDArray[np.float32], hr_hsi: Cube, hr_msi: NDArray[Any] | None
) -> list[Picture]:
    """The frame before and after, and the photograph, all on the HR grid."""
    limits = stretch_limits(lr, lr_hsi.wavelengths_nm, lr_hsi.bad_bands)
    before = false_colour(lr, lr_hsi.wavelengths_nm, limits, bad_bands=lr_hsi.bad_bands)
    after = false_colour(hr_hsi.data, hr_hsi.wavelengths_nm, limits, bad_bands=hr_hsi.bad_bands)
    views = [
        Picture(
            title="Input, LR-HSI",
            note=f"{_bands_text(lr_hsi)}; pixels magnified {ratio} times",
            rgb=magnified(before, ratio),
        ),
        Picture(title="Output, HR-HSI", note=f"{_bands_text(hr_hsi)}; the stretch of the input", rgb=after),
    ]
    if hr_msi is not None:
        views.append(
            Picture(title="Input, HR-MSI", note=f"{size_text(hr_msi.shape)}, {hr_msi.dtype}", rgb=_photograph(hr_msi))
        )
    return views


def _bands_text(cube: Cube) -> str:
    bands = rgb_bands(cube.n_bands, cube.wavelengths_nm, cube.bad_bands)
    if cube.wavelengths_nm is None:
        return "bands " + ", ".join(str(band) for band in bands)
    return ", ".join(f"{cube.wavelengths_nm[band]:.0f}" for band in bands) + " nm as red, green, blue"


def _photograph(hr_msi: NDArray[Any]) -> Rgb:
    """One stretch for all channels keeps a photograph's colours; 8-bit ones are shown as they are."""
    wavelengths_nm = _RGB_NM if hr_msi.shape[2] == 3 else None
    if hr_msi.dtype == np.uint8:
        return false_colour(hr_msi, wavelengths_nm, np.tile((0.0, 255.0), (3, 1)))
    limits = stretch_limits(hr_msi, wavelengths_nm)
    return false_colour(hr_msi, wavelengths_nm, np.tile((limits[:, 0].min(), limits[:, 1].max()), (3, 1)))


def _frame_section(views: Sequence[Picture], window: Window, found: Sequence[PixelSpectra], ratio: int) -> str:
    shape = views[0].rgb.shape[:2]
    marks = box(window, shape) + "".join(
        pin(number, (pixel.row + 0.5) * ratio, (pixel.col + 0.5) * ratio, shape)
        for number, pixel in enumerate(found, 1)
    )
    shown = [replace(view, rgb=fit_to_page(view.rgb), overlay=marks) for view in views]
    note = "One place in every picture. The outline is the part shown closer below; the numbers mark the spectra."
    return page.section("Whole frame", note, page.pictures(shown))


def _closer_section(views: Sequence[Picture], window: Window) -> str:
    rows, cols = window
    where = f"HR rows {rows.start} to {rows.stop - 1}, columns {cols.start} to {cols.stop - 1}"
    note = f"The part with the most detail: {where}."
    return page.section(
        "Closer", note, page.pictures(replace(view, rgb=fit_to_page(view.rgb[window])) for view in views)
    )


def _spectra_section(found: Sequence[PixelSpectra], cube: Cube) -> str:
    y_label = _QUANTITIES[cube.quantity] + (f" ({cube.unit})" if cube.unit else "")
    if cube.wavelengths_nm is None:
        axis, x_label = np.arange(cube.n_bands, dtype=np.float64), "band"
    else:
        axis, x_label = cube.wavelengths_nm, "wavelength (nm)"
    plots = {
        f"{number} · LR row {pixel.row}, column {pixel.col}": plot(pixel, axis, x_label, y_label)
        for number, pixel in enumerate(found, 1)
    }
    note = "Pixels with spectra unlike each other. The mean over an LR pixel should lie near the input's dots."
    return page.section("Spectra", note, page.spectra(plots))
