"""The report of a run: `report.json` for programs, and `report.html`, one page for eyes.

`false_colour` and `stretch_limits` make its pictures, and serve any program that shows spectral images.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hsi_edge._version import __version__
from hsi_edge.cube import Cube
from hsi_edge.errors import OutputError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.machine import peak_resident_bytes
from hsi_edge.report import page
from hsi_edge.report.pictures import false_colour, rgb_bands, stretch_limits
from hsi_edge.report.sections import sections, size_text

if TYPE_CHECKING:
    from hsi_edge.run_report import RunReport

__all__ = ["false_colour", "rgb_bands", "stretch_limits", "write_report"]


def write_report(
    folder: Path,
    *,
    report: RunReport,
    lr_hsi: Cube,
    hr_hsi: Cube,
    hr_msi: NDArray[Any] | None,
    files: Mapping[str, str] | None = None,
) -> tuple[Path, Path]:
    """Write `report.json` and `report.html` into a folder, which is made if need be.

    Args:
        folder: Where; reports of that name in it are replaced.
        report: What the engine says about its run.
        lr_hsi: The LR-HSI that was run.
        hr_hsi: What came of it, `(rows * ratio, cols * ratio, bands)`, physical.
        hr_msi: The HR-MSI that was run, `(rows * ratio, cols * ratio, msi_bands)`, or None. Three bands are red,
            green, blue.
        files: File names to state, by what they hold (`lr_hsi`, `hr_msi`, `hr_hsi`).

    Returns:
        The paths of the two files, JSON first.

    Raises:
        OutputError: If the folder cannot be written; what lay there before is untouched.
    """
    _make(folder)
    facts = _facts(report, hr_hsi, files or {})
    text = json.dumps(facts, indent=2, allow_nan=False) + "\n"
    html = page.page(
        f"{report.bundle} — one frame",
        f"{size_text(report.lr_shape)} to {size_text(hr_hsi.data.shape)} by {report.network}, ratio {report.ratio}",
        sections(report, facts, lr_hsi, hr_hsi, hr_msi),
    )
    return _written(folder / "report.json", text), _written(folder / "report.html", html)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the report's folder {folder} ({err}); choose another place") from err


def _written(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _facts(report: RunReport, hr_hsi: Cube, files: Mapping[str, str]) -> dict[str, Any]:
    wavelengths = None if hr_hsi.wavelengths_nm is None else hr_hsi.wavelengths_nm.tolist()
    return {
        **asdict(report),
        "hr_shape": list(hr_hsi.data.shape),
        "quantity": hr_hsi.quantity,
        "unit": hr_hsi.unit,
        "wavelengths_nm": wavelengths,
        "peak_memory_bytes": peak_resident_bytes(),
        "files": dict(files),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    named = {"hsi_edge": __version__, "python": platform.python_version()}
    packages = ("numpy", "openvino", "onnxruntime")
    return named | {package: version for package in packages if (version := _version(package))}


def _version(package: str) -> str | None:
    """The installed version, from the package's metadata: importing it would be slow."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
