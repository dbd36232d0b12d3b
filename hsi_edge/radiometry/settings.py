"""What is known of a sensor's radiometry, as a strict record that is read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from hsi_edge.errors import ManifestError
from hsi_edge.records import read_settings


@dataclass(frozen=True, kw_only=True)
class BlackLevel:
    """The same dark signal in every pixel.

    Attributes:
        dark: The tag.
        level: In DN, one for all bands or one per band.
    """

    dark: Literal["level"]
    level: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class DarkFrames:
    """Frames recorded with the lens covered, in any format of `hsi_edge.io`.

    Attributes:
        dark: The tag.
        files: Their mean is the dark signal; a file of one row serves every row (a line scanner), a file of one band
            every band.
        exposures_us: One per file, or empty. With at least two different ones, a straight line is fitted in each pixel
            (an offset and a dark current that grows with the exposure) and evaluated at a frame's own exposure; else
            the dark signal is taken to be the same at every exposure, as it nearly is at those of daylight.
        hot_deviations: A pixel whose dark signal is further than this many standard deviations (robust: from the
            median absolute deviation) from the median of its band is bad; None looks for none.
    """

    dark: Literal["frames"]
    files: tuple[str, ...]
    exposures_us: tuple[float, ...] = ()
    hot_deviations: float | None = None


@dataclass(frozen=True, kw_only=True)
class WhiteFrames:
    """Frames that a white reference fills: every pixel has a reference of its own.

    Attributes:
        white: The tag.
        files: Their mean is the white signal, with the dark signal still in it; one row serves every row.
        reflectance: Of the reference, one for all bands or one per band.
        exposure_us: With which they were recorded; None if that of all the frames is the same.
        gain: Likewise.
        dead_fraction: A pixel whose white signal is less than this part of the median of its band is bad.
    """

    white: Literal["frames"]
    files: tuple[str, ...]
    reflectance: tuple[float, ...] = (1.0,)
    exposure_us: float | None = None
    gain: float | None = None
    dead_fraction: float = 0.1


@dataclass(frozen=True, kw_only=True)
class PanelRegion:
    """A rectangle of pixels, counted from 0: from the first up to, and without, the end."""

    first_row: int
    end_row: int
    first_col: int
    end_col: int


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Frames that show a panel of known reflectance: each band has one reference.

    Attributes:
        white: The tag.
        files: Their mean is looked at.
        reflectance: Of the panel, one for all bands or one per band.
        regions: Where the panel is: one rectangle for all bands, or one per band where the bands are not registered;
            empty to look for it.
        registered: Whether all bands of the frame show the panel at the same place; only used to look for it.
        exposure_us: With which the frames were recorded; None if that of all the frames is the same.
        gain: Likewise.
    """

    white: Literal["panel"]
    files: tuple[str, ...]
    reflectance: tuple[float, ...]
    regions: tuple[PanelRegion, ...] = ()
    registered: bool = True
    exposure_us: float | None = None
    gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class LensShading:
    """How a lens darkens away from a centre: by `1 + k1 r + k2 r^2 + ... + k6 r^6`, r in pixels from the centre.

    This is MicaSense's model ("RedEdge Camera Radiometric Calibration Model"), in which a frame is divided by it.

    Attributes:
        centre_x_px, centre_y_px: The centre, from the middle of the upper left pixel.
        coefficients: k1, k2 and so on, as many as there are.
    """

    centre_x_px: float
    centre_y_px: float
    coefficients: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PolynomialVignetting:
    """Vignetting as a polynomial: one for all bands, or one per band (cameras with a lens per band)."""

    vignetting: Literal["polynomial"]
    lenses: tuple[LensShading, ...]


@dataclass(frozen=True, kw_only=True)
class FlatField:
    """Vignetting as frames of an evenly lit surface.

    Attributes:
        vignetting: The tag.
        files: Their mean, less the dark signal, is what frames are divided by, relative to its own mean in each band.
        exposure_us: With which they were recorded; only needed where the dark signal depends on the exposure.
    """

    vignetting: Literal["flat_field"]
    files: tuple[str, ...]
    exposure_us: float | None = None


@dataclass(frozen=True, kw_only=True)
class RadiometrySettings:
    """What is known of a sensor's radiometry; without any of it, frames pass through.

    Attributes:
        dark: What the sensor counts without light.
        white: What it counts of a known reflectance; only with it is the result a reflectance.
        vignetting: How the lens darkens away from its centre. White frames cover it already.
        saturation_level: A value at or above it is no measurement, in DN as the sensor sends them.
        bad_pixels: `[row, column]`, bad in all bands, or `[row, column, band]`, counted from 0.
    """

    dark: BlackLevel | DarkFrames | None = None
    white: WhiteFrames | Panel | None = None
    vignetting: PolynomialVignetting | FlatField | None = None
    saturation_level: float | None = None
    bad_pixels: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ManifestError: Names the key and what was wanted.
        """
        if isinstance(self.vignetting, PolynomialVignetting) and not self.vignetting.lenses:
            raise ManifestError("vignetting.lenses is empty; wanted one lens, or one per band")
        if isinstance(self.dark, BlackLevel) and not self.dark.level:
            raise ManifestError("dark.level is empty; wanted one level in DN, or one per band")
        if isinstance(self.white, WhiteFrames) and self.vignetting is not None:
            raise ManifestError("white frames cover the vignetting already: leave the key vignetting out")
        for key in ("dark", "white", "vignetting"):
            if getattr(getattr(self, key), "files", "none") == ():
                raise ManifestError(f"{key}.files is empty; wanted one file or more")
        for index, pixel in enumerate(self.bad_pixels):
            if len(pixel) not in (2, 3) or min(pixel) < 0:
                raise ManifestError(
                    f"bad_pixels[{index}] is {list(pixel)}; wanted [row, column] or [row, column, band], from 0"
                )
        _check_white(self.white)
        if isinstance(self.dark, DarkFrames):
            _check_dark(self.dark)


def _check_white(white: WhiteFrames | Panel | None) -> None:
    if white is None:
        return
    if not white.reflectance or min(white.reflectance) <= 0:
        raise ManifestError(
            f"white.reflectance is {list(white.reflectance)}; wanted positive numbers, one or one per band"
        )
    for key, value in (("exposure_us", white.exposure_us), ("gain", white.gain)):
        if value is not None and value <= 0:
            raise ManifestError(f"white.{key} is {value:g}; wanted a positive number")


def _check_dark(dark: DarkFrames) -> None:
    if dark.exposures_us and len(dark.exposures_us) != len(dark.files):
        raise ManifestError(
            f"dark.exposures_us has {len(dark.exposures_us)} numbers for {len(dark.files)} files; wanted one per file"
        )
    if dark.hot_deviations is not None and dark.hot_deviations <= 0:
        raise ManifestError(f"dark.hot_deviations is {dark.hot_deviations:g}; wanted a positive number, such as 8")


def read_radiometry(path: Path) -> RadiometrySettings:
    """Read a radiometry file; the files that it names lie relative to its folder.

    Raises:
        InputError: There is no such file, it is no YAML, or a key is unknown or of the wrong type.
    """
    settings = read_settings(RadiometrySettings, path, "radiometry file")
    return replace(
        settings,
        dark=_beside(path, settings.dark),
        white=_beside(path, settings.white),
        vignetting=_beside(path, settings.vignetting),
    )


Part = TypeVar(
    "Part", BlackLevel | DarkFrames | None, WhiteFrames | Panel | None, PolynomialVignetting | FlatField | None
)


def _beside(path: Path, part: Part) -> Part:
    if part is None or isinstance(part, (BlackLevel, PolynomialVignetting)):
        return part
    return replace(part, files=tuple(str(path.parent / file) for file in part.files))
