"""Real recordings put through radiometry, demosaicing and registration, for the page of sensors that were tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import RegistrationError
from hsi_edge.radiometry import Radiometry, RadiometrySettings
from hsi_edge.radiometry.settings import BlackLevel, Panel, PanelRegion
from hsi_edge.registration.calibrate import calibrate
from hsi_edge.registration.rig import Rig
from hsi_edge.registration.warp import GridWarp
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.mosaic import Demosaic
from hsi_edge.sensors.mosaic_calibration import read_mosaic

Float = NDArray[np.float32]

MOSAIC_FRAMES = ("mei_shanghai_5_0", "room_scene_colorchecker_testborad_prefix_6")
MOSAIC_SAMPLE = Path("apps/samples/imec4x4/mosaic.yaml")
BLACK_DN = 300.0
"""MicaSense's usual black level of 4800 in 16 bits, in the recording's 12; its darkest pixel, has 350."""
PANEL_REFLECTANCE = 0.5
PIXEL_MM = 0.00375
"""Pitch of RedEdge's sensors: its 1280 pixels are 4.8 mm, twice the principal points of about 2.4 mm."""
CORNER = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
"""From pixels counted from the middle of the first, as the file's, to those counted from its corner, as a rig's."""
REFERENCE_NM = 560.0
"""The band that the others' RigRelatives are zero for."""


@dataclass(frozen=True, eq=False)
class MosaicTrial:
    """One raw mosaic frame and what it became.

    Attributes:
        name: Of the frame.
        raw: `(rows, cols)`.
        plain, corrected: The cube without and with the correction from the filter curves.
        roughness: Of the mean spectrum, for the sample's order of the filters; the mean square second difference of its
            logarithm.
        rivals: The same for the other arrangements: mirrored, turned and shifted, ascending.
    """

    name: str
    raw: NDArray[np.uint8]
    plain: SensorFrame
    corrected: SensorFrame
    roughness: float
    rivals: tuple[float, ...]


def mosaic_trials(data: Path) -> Iterator[MosaicTrial]:
    """The raw mosaic frames of the research data."""
    known = read_mosaic(MOSAIC_SAMPLE)
    with np.load(data / "sensors" / "srf_tables.npz", allow_pickle=False) as tables:
        filters_nm = tables["imec16_cwl"][0]
    uncorrected = type(known)(
        pattern=known.pattern, wavelengths_nm=tuple(filters_nm.tolist()), saturation_level=known.saturation_level
    )
    for name in MOSAIC_FRAMES:
        with np.load(data / "sensors" / f"imec4x4_raw_{name}.npz", allow_pickle=False) as archive:
            raw = archive["cube"]
        frame = _frame(raw[:, :, None], None)
        signals = np.log(raw.reshape(raw.shape[0] // 4, 4, raw.shape[1] // 4, 4).mean(axis=(0, 2)))
        first, *others = [_roughness(signals, order, filters_nm) for order in _arrangements(np.array(known.pattern))]
        yield MosaicTrial(
            name,
            raw,
            Demosaic(uncorrected).apply(frame),
            Demosaic(known).apply(frame),
            first,
            tuple(sorted(others)),
        )


def _arrangements(pattern: NDArray[np.int_]) -> Iterator[NDArray[np.int_]]:
    """The pattern itself first, then turned, mirrored, and shifted."""
    for mirrored in (pattern, pattern.T):
        for turns in range(4):
            for down in range(4):
                for right in range(4):
                    yield np.roll(np.rot90(mirrored, turns), (down, right), (0, 1))


def _roughness(signals: NDArray[np.float64], order: NDArray[np.int_], filters_nm: NDArray[np.float64]) -> float:
    spectrum = signals.ravel()[np.argsort(order.ravel())][np.argsort(filters_nm)]
    return float(np.sqrt(np.mean(np.diff(spectrum, 2) ** 2)))


@dataclass(frozen=True, eq=False)
class RedEdgeTrial:
    """A flight frame of five cameras.

    Attributes:
        wavelengths_nm: `(5,)`, ascending.
        panel: The panel's frame in DN, `(rows, cols, 5)`.
        regions: Where the panel was found, per band.
        stacked: Reflectance as the cameras saw it, bands not registered, `(rows, cols, 5)`.
        registered: The same on the grid of the reference band.
        offsets_px: What is left between each band and the reference, root mean square over 3 x 3 windows, in pixels:
            `(4, 5)`, as stacked, by the cameras' angles alone, with a translation besides, and calibrated instead; NaN
            where the calibration refuses.
    """

    wavelengths_nm: NDArray[np.float64]
    panel: NDArray[np.uint16]
    regions: tuple[PanelRegion, ...]
    stacked: Float
    registered: Float
    offsets_px: NDArray[np.float64]


def rededge_trial(data: Path) -> RedEdgeTrial:
    """The RedEdge frames of the research data: reflectance by the panel, and the five bands on one grid."""
    panel, _, _ = _rededge(data, "rededge_IMG_0000")
    flight, nm, cameras = _rededge(data, "rededge_IMG_0007")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "panel.npy"
        np.save(file, panel)
        white = Panel(white="panel", files=(str(file),), reflectance=(PANEL_REFLECTANCE,), registered=False)
        radiometry = Radiometry(
            RadiometrySettings(
                dark=BlackLevel(dark="level", level=(BLACK_DN,)), white=white, saturation_level=float(flight.max())
            )
        )
    stacked: Float = radiometry.apply(_frame(flight, nm)).data
    reference = int(np.flatnonzero(nm == REFERENCE_NM)[0])
    turned = _warped(stacked, [_homography(cameras[reference], camera) for camera in cameras])
    moves = [_translation(turned, band, reference) for band in range(len(nm))]
    registered = _warped(
        stacked,
        [move @ _homography(cameras[reference], camera) for move, camera in zip(moves, cameras, strict=True)],
    )
    calibrated = _calibrated(stacked, [_homography(cameras[reference], camera) for camera in cameras], reference)
    tried = (stacked, turned, registered, calibrated)
    offsets = [[_left_px(bands, band, reference) for band in range(len(nm))] for bands in tried]
    return RedEdgeTrial(nm, panel, radiometry.panel_regions, stacked, registered, np.array(offsets))


def _rededge(data: Path, name: str) -> tuple[NDArray[np.uint16], NDArray[np.float64], list[dict[str, str]]]:
    with np.load(data / "sensors" / f"{name}.npz", allow_pickle=False) as archive:
        nm, raw, texts = archive["wavelength_nm"], archive["raw12"], archive["meta"]
    order = np.argsort(nm)
    cameras = [dict(field.split("=", 1) for field in str(texts[band]).split("|")) for band in order]
    return np.ascontiguousarray(np.moveaxis(raw[order], 0, 2)), nm[order], cameras


def _frame(data: NDArray[Any], nm: NDArray[np.float64] | None) -> SensorFrame:
    return SensorFrame(data=data, timestamp_ns=0, sequence=0, arrival_ns=0, wavelengths_nm=nm)


def _homography(reference: dict[str, str], camera: dict[str, str]) -> NDArray[np.float64]:
    """From a camera's pixels to the reference's, for a far scene: both look from one point, turned by RigRelatives."""
    matrix: NDArray[np.float64] = _intrinsics(reference) @ _rotation(camera) @ np.linalg.inv(_intrinsics(camera))
    return matrix


def _intrinsics(camera: dict[str, str]) -> NDArray[np.float64]:
    focal = float(camera["PerspectiveFocalLength"]) / PIXEL_MM
    x, y = (float(value) / PIXEL_MM for value in camera["PrincipalPoint"].split(","))
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])


def _rotation(camera: dict[str, str]) -> NDArray[np.float64]:
    x, y, z = np.radians([float(value) for value in camera["RigRelatives"].split(",")])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = about_x @ about_y @ about_z
    return rotation


def _warped(bands: Float, homographies: list[NDArray[np.float64]]) -> Float:
    rows, cols = bands.shape[:2]
    warped = [
        cv2.warpPerspective(
            bands[:, :, band],
            matrix,
            (cols, rows),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=float("nan"),
        )
        for band, matrix in enumerate(homographies)
    ]
    return np.stack(warped, axis=2)


def _calibrated(bands: Float, homographies: list[NDArray[np.float64]], reference: int) -> Float:
    """Each band where `hsi-edge register` finds it, begun at these homographies; NaN where it refuses."""
    calibrated: Float = bands.copy()
    for band, matrix in enumerate(homographies):
        if band == reference:
            continue
        from_reference = np.linalg.inv(matrix)
        start = Rig(
            lr_shape=bands.shape[:2],
            msi_shape=bands.shape[:2],
            msi_from_lr=CORNER @ (from_reference / from_reference[2, 2]) @ np.linalg.inv(CORNER),
        )
        image = np.nan_to_num(bands[:, :, [band]])
        try:
            rig = calibrate([(bands[:, :, [reference]], image)], start=start).rig
        except RegistrationError:
            calibrated[:, :, band] = np.nan
        else:
            calibrated[:, :, band] = GridWarp(rig, 1).on_grid(image)[0][:, :, 0]
    return calibrated


def _translation(bands: Float, band: int, reference: int) -> NDArray[np.float64]:
    """What is left of a far scene's homography is one translation: the cameras are apart, and the ground is flat."""
    x, y = _shift(_edges(bands[:, :, reference]), _edges(bands[:, :, band]))
    return np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])


def _left_px(bands: Float, band: int, reference: int) -> float:
    if np.isnan(bands[:, :, band]).all():
        return float("nan")
    one, other = _edges(bands[:, :, reference]), _edges(bands[:, :, band])
    shifts = [
        _shift(one[rows, cols], other[rows, cols])
        for rows in (slice(60, 340), slice(340, 620), slice(620, 900))
        for cols in (slice(60, 440), slice(440, 820), slice(820, 1200))
    ]
    return float(np.sqrt(np.mean(np.sum(np.square(shifts), axis=1))))


def _edges(band: Float) -> Float:
    """Strength of the edges, which bands share where their brightness differs."""
    blurred = cv2.GaussianBlur(np.nan_to_num(band), (0, 0), 2.0)
    edges: Float = np.hypot(cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1))
    return edges


def _shift(one: Float, other: Float) -> tuple[float, float]:
    window = cv2.createHanningWindow(one.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(np.ascontiguousarray(one), np.ascontiguousarray(other), window)
    return x, y
