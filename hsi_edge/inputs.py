"""What a caller hands in, checked at once and brought to one form: float `(rows, cols, bands)`, NaN where invalid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError
from hsi_edge.manifest import Manifest, Scaling
from hsi_edge.sensor_check import check_sensor
from hsi_edge.spectral import resample_cube

ACCEPTED = ("uint8", "uint16", "int16", "float16", "float32", "float64")
Image = NDArray[Any] | Cube


@dataclass(frozen=True, eq=False)
class FrameInput:
    """A checked frame pair.

    Attributes:
        lr_hsi: `(h, w, bands)` float32, NaN where invalid.
        dead_bands: `(bands,)` bool, bands without a single finite value (water bands, say); their output is NaN.
        lr_cube: The cube it came from, after resampling, whose metadata the result inherits; None for an array.
        lr_divisor: What integers of `lr_hsi` are divided by under `unit` scaling.
        hr_msi: `(H, W, msi_bands)`, the caller's own array, not copied; None for a single-image model.
        msi_valid: `(H, W)` bool, the MSI's mask; None if it has none.
        msi_divisor: What integers of `hr_msi` are divided by under `unit` scaling.
    """

    lr_hsi: NDArray[np.float32]
    dead_bands: NDArray[np.bool_]
    lr_cube: Cube | None
    lr_divisor: float
    hr_msi: NDArray[Any] | None
    msi_valid: NDArray[np.bool_] | None
    msi_divisor: float


def check_inputs(manifest: Manifest, lr_hsi: Image, hr_msi: Image | None, *, resample: bool) -> FrameInput:
    """Check a frame pair against a model.

    Args:
        manifest: The model's.
        lr_hsi: `(h, w, bands)`.
        hr_msi: `(h * ratio, w * ratio, msi_bands)`, or None for a single-image model.
        resample: Whether to resample a cube of other bands to the model's.

    Raises:
        InputError: Names the argument, what it is, what was wanted, and the way out.
    """
    lr_array = _checked_array("lr_hsi", lr_hsi)
    if (hr_msi is None) != (manifest.task == "single"):
        raise InputError(_wrong_task(manifest))
    msi_array = None if hr_msi is None else _checked_array("hr_msi", hr_msi)
    if msi_array is not None:
        _check_not_swapped(manifest, lr_array, msi_array)
    _check_side(manifest, lr_array)
    cube = _with_model_bands(manifest, lr_hsi, resample) if isinstance(lr_hsi, Cube) else None
    if cube is None:
        check_sensor(manifest, n_bands=lr_array.shape[2], wavelengths_nm=None, quantity=None)
    values = np.array(lr_array, np.float32) if cube is None else cube.physical()
    dead_bands = _checked_finite(manifest, values)
    values[:, :, dead_bands] = np.nan
    msi_valid = None
    if msi_array is not None:
        _check_msi(manifest, lr_array, msi_array)
        msi_valid = hr_msi.mask if isinstance(hr_msi, Cube) else None
    return FrameInput(
        values,
        dead_bands,
        cube,
        _divisor(manifest.input.lr_scaling, lr_hsi),
        msi_array,
        msi_valid,
        1.0 if hr_msi is None else _divisor(manifest.input.msi_scaling, hr_msi),
    )


def _checked_array(name: str, image: Image) -> NDArray[Any]:
    if isinstance(image, Cube):
        raw = image.physical() if image.is_raw and name == "hr_msi" else image.data
        array = np.asarray(raw) if name == "hr_msi" else raw
    elif isinstance(image, np.ndarray) and not isinstance(image, np.ma.MaskedArray):
        array = image
    else:
        raise InputError(
            f"{name} is a {type(image).__name__}; wanted a NumPy array (rows, cols, bands), or a Cube, which may have "
            "a mask"
        )
    shape = array.shape
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{name} has shape {tuple(shape)}; wanted (rows, cols, bands) with at least one of each")
    if str(np.dtype(array.dtype).newbyteorder("=")) not in ACCEPTED:
        raise InputError(f"{name} has dtype {array.dtype}; wanted one of {', '.join(ACCEPTED)}: convert it with astype")
    result: NDArray[Any] = array
    return result


def _checked_finite(manifest: Manifest, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which bands are dead; only a model for any bands can do without them."""
    finite = np.isfinite(values)
    dead = np.logical_not(finite.any(axis=(0, 1)), dtype=np.bool_)
    if dead.all() or not finite[:, :, ~dead].all(axis=2).any():
        raise InputError("lr_hsi has no pixel with finite values in all bands; check the sensor, or the file's scaling")
    if manifest.n_bands and dead.any():
        raise InputError(
            f"band {int(dead.argmax())} of lr_hsi (counted from 0) has no finite value, and the model {manifest.name} "
            "needs every band; check the sensor, or resample the cube from its good bands (resample=True / --resample)"
        )
    return dead


def _wrong_task(manifest: Manifest) -> str:
    if manifest.task == "single":
        return f"hr_msi was given, and the model {manifest.name} takes the LR-HSI alone: leave it out"
    return f"hr_msi is missing: the model {manifest.name} fuses two frames. Give both, or open a single-image model"


def _check_not_swapped(manifest: Manifest, lr: NDArray[Any], msi: NDArray[Any]) -> None:
    larger = lr.shape[0] > msi.shape[0] and lr.shape[1] > msi.shape[1]
    if larger and lr.shape[2] < msi.shape[2]:
        raise InputError(
            f"lr_hsi is {_words(lr)} and hr_msi {_words(msi)}: they look swapped. "
            "The spectral frame comes first, the RGB frame second"
        )


def _check_side(manifest: Manifest, lr: NDArray[Any]) -> None:
    least = manifest.tiling.min_lr
    if min(lr.shape[:2]) < least:
        raise InputError(f"lr_hsi is {_words(lr)}; the model {manifest.name} needs at least {least} x {least} pixels")


def _with_model_bands(manifest: Manifest, cube: Cube, resample: bool) -> Cube:
    model_nm = manifest.bands.wavelengths_nm
    if resample and model_nm and cube.wavelengths_nm is not None:
        cube = resample_cube(cube, model_nm, manifest.bands.fwhm_nm or None)
    check_sensor(
        manifest, n_bands=cube.n_bands, wavelengths_nm=cube.wavelengths_nm, quantity=cube.quantity, what="lr_hsi"
    )
    return cube


def _check_msi(manifest: Manifest, lr: NDArray[Any], msi: NDArray[Any]) -> None:
    wanted = manifest.msi.bands
    if wanted and msi.shape[2] != wanted:
        raise InputError(
            f"hr_msi is {_words(msi)}; the model {manifest.name} takes {wanted} bands. Choose {wanted} of them, or "
            "open a model that takes any, such as a regression bundle"
        )
    rows, cols = lr.shape[0] * manifest.ratio, lr.shape[1] * manifest.ratio
    if msi.shape[:2] != (rows, cols):
        raise InputError(
            f"lr_hsi is {_words(lr)} and hr_msi {_words(msi)}: at ratio {manifest.ratio}, hr_msi must be "
            f"{rows} x {cols}. Resample the RGB frame onto that grid, or open a model of another ratio"
        )


def _divisor(scaling: Scaling, image: Image) -> float:
    """What `unit` scaling divides by: an integer type's largest value, unless a cube says what its integers mean."""
    dtype = np.dtype(image.data.dtype if isinstance(image, Cube) else image.dtype)
    return float(np.iinfo(dtype).max) if scaling == "unit" and dtype.kind in "iu" and not _has_units(image) else 1.0


def _has_units(image: Image) -> bool:
    return isinstance(image, Cube) and replace(image, nodata=None).is_raw


def _words(array: NDArray[Any]) -> str:
    return f"{array.shape[0]} x {array.shape[1]} pixels with {array.shape[2]} bands"
