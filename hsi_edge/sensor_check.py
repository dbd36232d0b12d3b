"""Whether a sensor's bands and quantity are those that a model takes, and what to do where they are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Quantity
from hsi_edge.errors import InputError
from hsi_edge.manifest import Manifest


def check_sensor(
    manifest: Manifest,
    *,
    n_bands: int,
    wavelengths_nm: NDArray[np.float64] | None,
    quantity: Quantity | None,
    what: str = "lr_hsi",
) -> None:
    """Compare an LR-HSI's bands and quantity with the model's.

    Args:
        manifest: The model's.
        n_bands: Number of bands that came.
        wavelengths_nm: Their centres, `(n_bands,)`; None if unknown, and then the count alone is checked.
        quantity: None if unknown, which is let through.
        what: What messages call it.

    Raises:
        InputError: Says what differs and the way out.
    """
    accepted = manifest.input.quantities
    if quantity is not None and quantity not in accepted:
        raise InputError(
            f"{what} holds {quantity}; the model {manifest.name} takes {', '.join(accepted)}. Convert it, or open a "
            "model that was trained on it"
        )
    if manifest.n_bands == 0:
        return
    if wavelengths_nm is not None:
        _check_centres(manifest, np.asarray(wavelengths_nm, np.float64), what)
    elif n_bands != manifest.n_bands:
        raise InputError(
            f"{what} has {n_bands} bands; the model {manifest.name} takes {_in_words(manifest)}. Without wavelengths "
            "they cannot be resampled: pass a Cube with wavelengths_nm and resample=True / --resample"
        )


def _check_centres(manifest: Manifest, centres: NDArray[np.float64], what: str) -> None:
    model, tolerance = np.asarray(manifest.bands.wavelengths_nm), manifest.bands.tolerance_nm
    _check_nanometres_ascending(centres, what)
    if centres[0] > model[0] + tolerance or centres[-1] < model[-1] - tolerance:
        raise InputError(
            f"{what} covers {centres[0]:g} to {centres[-1]:g} nm; the model {manifest.name} takes "
            f"{_in_words(manifest)}, which no resampling can make of it. Open a model for this range"
        )
    way_out = (
        f"pass resample=True / --resample to resample the {len(centres)} bands to the model's {_in_words(manifest)}"
    )
    if len(centres) != len(model):
        raise InputError(f"{what} has {len(centres)} bands; the model {manifest.name} takes {len(model)}: {way_out}")
    off = np.abs(centres - model)
    if off.max() > tolerance:
        band = int(off.argmax())
        raise InputError(
            f"band {band} of {what} is centred at {centres[band]:g} nm, the model's at {model[band]:g} nm, more than "
            f"{tolerance:g} nm apart: {way_out}"
        )


def _check_nanometres_ascending(centres: NDArray[np.float64], what: str) -> None:
    finite = np.isfinite(centres)
    if not finite.all():
        raise InputError(f"the wavelength of band {int(np.argmin(finite))} of {what} is not a number; correct it")
    if np.all(centres < 100):
        raise InputError(
            f"the wavelengths of {what} run from {centres.min():g} to {centres.max():g}, which looks like micrometres; "
            "wavelengths_nm is in nanometres: multiply by 1000"
        )
    steps = np.diff(centres)
    if not np.all(steps > 0):
        band = int(np.argmin(steps))
        raise InputError(
            f"the wavelengths of {what} are not ascending: band {band} is at {centres[band]:g} nm, band {band + 1} at "
            f"{centres[band + 1]:g} nm. Pass resample=True / --resample, or sort "
            "them: cube.select_bands(np.argsort(cube.wavelengths_nm))"
        )


def _in_words(manifest: Manifest) -> str:
    centres = manifest.bands.wavelengths_nm
    return f"{len(centres)} bands ({centres[0]:g} to {centres[-1]:g} nm)"
