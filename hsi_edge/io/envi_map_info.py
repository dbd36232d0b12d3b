"""ENVI's `map info` and `coordinate system string` as a `Georeference`, and back.

`map info` names a projection, a reference pixel (counted from 1, where 1 is the outer edge of the first pixel), its
ground position, the pixel sizes, then zone and datum, and `rotation=` in degrees. The sense of the rotation is GDAL's
(ENVI driver): a positive one turns the image counterclockwise on the map. GDAL is not followed where it
leaves the rotation out of a reference pixel that is not the first one, and where it takes 180 degrees for a flip.
"""

from __future__ import annotations

import math
import re

import numpy as np

from hsi_edge.cube import Georeference
from hsi_edge.io.envi_header import EnviHeader, braced

_Transform = tuple[float, float, float, float, float, float]

_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)
_UTM_AT_END = re.compile(r'\["EPSG",\s*"?32([67])([0-6][0-9])"?\]\s*\]\s*$')


def georeference_from(header: EnviHeader) -> Georeference | None:
    """The georeference of a header; None if it has none."""
    fields = header.items("map info")
    own = header.numbers("geotransform", 6)
    if not fields and own is None:
        return None
    crs = header.text("coordinate system string") or _crs_wkt(fields)
    if own is not None:
        a, b, c, d, e, f = own.tolist()
        return Georeference((a, b, c, d, e, f), crs, fields)
    transform = _transform(fields)
    if transform is None:
        found = f"is {{{', '.join(fields)[:80]}}}"
        raise header.error("map info", found, "a projection, then column, row, x, y and two pixel sizes as numbers")
    return Georeference(transform, crs, fields)


def georeference_fields(georeference: Georeference) -> dict[str, str]:
    """The header fields that hold a georeference; with an own key `geotransform` where `map info` cannot (shear)."""
    info = georeference.map_info
    if not _agree(_transform(info), georeference.transform):
        info = _map_info(georeference)
    fields = {"map info": braced(info)}
    if not _agree(_transform(info), georeference.transform):
        fields["geotransform"] = braced(repr(float(value)) for value in georeference.transform)
    if georeference.crs_wkt:
        fields["coordinate system string"] = "{" + " ".join(georeference.crs_wkt.split()) + "}"
    return fields


def _transform(fields: tuple[str, ...]) -> _Transform | None:
    try:
        col, row, x, y, width, height = (float(text) for text in fields[1:7])
        degrees = next((float(text.split("=")[1]) for text in fields if text.lower().startswith("rotation")), 0.0)
    except (ValueError, IndexError):
        return None
    if not math.isfinite(degrees) or width == 0 or height == 0:
        return None
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b, d, e = cos * width, sin * height, sin * width, -cos * height
    c = x - a * (col - 1) - b * (row - 1)
    f = y - d * (col - 1) - e * (row - 1)
    return (a, b, c, d, e, f) if all(map(math.isfinite, (a, b, c, d, e, f))) else None


def _agree(first: _Transform | None, second: _Transform) -> bool:
    """Whether both place pixels alike, to a millionth of a pixel."""
    if first is None:
        return False
    size = max(abs(second[index]) for index in (0, 1, 3, 4))
    return bool(np.allclose(first, second, rtol=1e-12, atol=1e-6 * size))


def _map_info(georeference: Georeference) -> tuple[str, ...]:
    a, b, c, d, e, f = georeference.transform
    width, height = math.hypot(a, d), math.hypot(b, e)
    degrees = math.degrees(math.atan2(d, a))
    name, *zone = _projection(georeference.crs_wkt)
    numbers = (1.0, 1.0, c, f, width, height if a * e - b * d <= 0 else -height)
    turned = [f"rotation={degrees!r}"] if degrees else []
    return (name, *(repr(float(number)) for number in numbers), *zone, *turned)


def _projection(crs_wkt: str) -> tuple[str, ...]:
    if utm := _UTM_AT_END.search(crs_wkt):
        return ("UTM", str(int(utm[2])), "North" if utm[1] == "6" else "South", "WGS-84", "units=Meters")
    if crs_wkt.startswith(("GEOGCS", "GEOGCRS", "GEODCRS")):
        return ("Geographic Lat/Lon", "WGS-84" if "WGS" in crs_wkt else "Unknown", "units=Degrees")
    return ("Arbitrary",)


def _crs_wkt(fields: tuple[str, ...]) -> str:
    """WKT for the two systems that a header names well enough without `coordinate system string`, on WGS-84."""
    wgs84 = any(field.upper().replace("-", "").replace(" ", "") == "WGS84" for field in fields)
    if wgs84 and fields[0].lower().startswith("geographic"):
        return _WGS84
    if not wgs84 or fields[0].upper() != "UTM" or len(fields) < 9 or not re.fullmatch("[1-9]|[1-5][0-9]|60", fields[7]):
        return ""
    zone, south = int(fields[7]), fields[8].lower().startswith("s")
    return (
        f'PROJCS["WGS 84 / UTM zone {zone}{"S" if south else "N"}",{_WGS84},PROJECTION["Transverse_Mercator"],'
        f'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",{zone * 6 - 183}],'
        f'PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],'
        f'PARAMETER["false_northing",{10000000 if south else 0}],UNIT["metre",1],'
        f'AUTHORITY["EPSG","32{7 if south else 6}{zone:02d}"]]'
    )
