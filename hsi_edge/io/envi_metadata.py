"""What an ENVI header says about the numbers of an image, as the metadata of a `Cube`, and back."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import QUANTITIES, Array, Cube, Quantity
from hsi_edge.io.envi_header import EnviHeader, braced
from hsi_edge.io.envi_map_info import georeference_fields, georeference_from
from hsi_edge.io.wavelengths import in_nm, nm_per_unit

_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z?")


def cube_from_header(header: EnviHeader, data: Array) -> Cube:
    """The cube of the given pixels with the metadata of the header.

    Wavelengths in a unit that is no length (an index, `SP1` voltages, wavenumbers) stay unknown, and serve with their
    unit as band names, if the file names no bands.
    """
    n_bands = int(data.shape[2])
    factor = _nm_per_unit(header, n_bands)
    bbl = header.numbers("bbl", n_bands)
    return Cube(
        data=data,
        wavelengths_nm=_in_nm(header, "wavelength", n_bands, factor),
        fwhm_nm=_in_nm(header, "fwhm", n_bands, factor),
        bad_bands=None if bbl is None else bbl <= 0,
        quantity=_quantity(header),
        unit=header.text("data units"),
        scale_factor=_scale_factor(header),
        gain=header.numbers("data gain values", n_bands),
        offset=header.numbers("data offset values", n_bands),
        nodata=header.number("data ignore value"),
        georeference=georeference_from(header),
        timestamp_ns=_timestamp_ns(header.text("acquisition time")),
        band_names=_band_names(header, n_bands, factor),
    )


def metadata_fields(cube: Cube) -> dict[str, str]:
    """The header fields that hold the metadata of a cube; `quantity` and `data units` are keys of our own."""
    fields = _band_fields(cube)
    if cube.quantity is not None:
        fields["quantity"] = cube.quantity
    if cube.unit:
        fields["data units"] = " ".join(cube.unit.split())
    # Without the factor a reader that goes by ENVI's keys alone would not know reflectance for what it is.
    if cube.scale_factor != 1.0 or cube.quantity == "reflectance":
        fields["reflectance scale factor"] = _plain(cube.scale_factor)
    if cube.nodata is not None:
        fields["data ignore value"] = _plain(cube.nodata)
    if cube.timestamp_ns is not None:
        fields["acquisition time"] = _time_text(cube.timestamp_ns)
    if cube.georeference is not None:
        fields |= georeference_fields(cube.georeference)
    return fields


def _band_fields(cube: Cube) -> dict[str, str]:
    lists = {
        "wavelength": cube.wavelengths_nm,
        "fwhm": cube.fwhm_nm,
        "data gain values": cube.gain,
        "data offset values": cube.offset,
    }
    fields = {key: braced(map(repr, values.tolist())) for key, values in lists.items() if values is not None}
    if cube.wavelengths_nm is not None or cube.fwhm_nm is not None:
        fields["wavelength units"] = "Nanometers"
    if cube.bad_bands is not None:
        fields["bbl"] = braced((~cube.bad_bands).astype(int).tolist())
    if cube.band_names:
        fields["band names"] = braced(cube.band_names)
    return fields


def _plain(value: float) -> str:
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def _nm_per_unit(header: EnviHeader, n_bands: int) -> float | None:
    """Nanometres per unit of `wavelength` and `fwhm`; None if these are no wavelengths."""
    values = header.numbers("wavelength", n_bands)
    if values is not None and values.min() <= 0:
        return None
    return nm_per_unit(header.text("wavelength units"), () if values is None else values)


def _in_nm(header: EnviHeader, key: str, n_bands: int, factor: float | None) -> NDArray[np.float64] | None:
    values = header.numbers(key, n_bands)
    if values is None or factor is None or values.min() <= 0:  # cameras write a FWHM of 0 for "not known"
        return None
    converted = in_nm(values, factor)
    return converted if np.isfinite(converted).all() else None


def _band_names(header: EnviHeader, n_bands: int, factor: float | None) -> tuple[str, ...]:
    names = header.items("band names")
    if not names and factor is None:
        unit = header.text("wavelength units")
        names = tuple(f"{text} {unit}".strip() for text in header.items("wavelength"))
    # Names with commas inside are common, and a wrong split is worse than no names.
    return names if len(names) == n_bands else ()


def _quantity(header: EnviHeader) -> Quantity | None:
    own = header.text("quantity").lower()
    if own in QUANTITIES:
        return own
    return "reflectance" if header.text("reflectance scale factor") else None


def _scale_factor(header: EnviHeader) -> float:
    key = "reflectance scale factor"
    factor = header.number(key)
    if factor is None:
        return 1.0
    if not (math.isfinite(factor) and factor > 0):
        raise header.error(key, f"is {factor}", "a positive number")
    return factor


def _timestamp_ns(text: str) -> int | None:
    """ENVI's `acquisition time`, ISO 8601 in UTC; None if missing or in another form."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86_400 + since.seconds) * 10**9 + int((match[3] or "0").ljust(9, "0"))


def _time_text(timestamp_ns: int) -> str:
    seconds, nanoseconds = divmod(timestamp_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
