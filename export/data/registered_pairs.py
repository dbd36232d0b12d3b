"""Pairs of real cameras whose registration is known, or at least published: what an estimate is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.real_pairs import TREES, TREES_RATIO, TREES_SHIFT, straightened_points
from hsi_edge.errors import InputError
from hsi_edge.registration.rig import Rig

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]

VISIBLE_NM = (400.0, 1000.0)
"""What a silicon camera's frame has."""
REDEDGE_PITCH_MM = 0.00375
REDEDGE_REFERENCE = "Green"
REDEDGE_BLOCK = 4
"""Pixels per side that are averaged for the "spectral" frame: the five cameras are alike."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RegisteredPair:
    """A spectral frame, an RGB frame (or another of few bands), and where the one is on the other.

    Attributes:
        name: As the table calls it.
        lr_hsi: `(h, w, bands)`, NaN where invalid.
        msi: `(rows, cols, channels)`.
        truth: The registration that is known; its `std_lr` is 0.
        note: Where the truth comes from and what it leaves out, for people.
        bend: Whether the frames are bent against each other, so that no camera model fits.
        ratio: HR pixels per LR pixel at which a fused image can be compared with `scene`.
        scene: `(h * ratio, w * ratio, bands)`, what the spectral camera would have seen; None where not known.
        parallax: Whether a shift of the whole frame is no error, as the truth holds for far ground alone.
        start: Where the estimate begins; None for nowhere.
        wavelengths_nm: `(bands,)`; None where not known.
    """

    name: str
    lr_hsi: Float
    msi: NDArray[Any]
    truth: Rig
    note: str
    bend: bool = False
    ratio: int = 0
    scene: Float | None = None
    parallax: bool = False
    start: Rig | None = None
    wavelengths_nm: NDArray[np.float64] | None = None


def registered_pairs(data: Path) -> Iterator[RegisteredPair]:
    """All of them.

    Raises:
        InputError: Names the file that is missing and where it belongs.
    """
    yield pavia(data)
    salton = salton_sea(data)
    yield salton
    yield replace(salton, name=f"{salton.name}, without a bend", bend=False, note="the same, found without a bend")
    for name in TREES:
        yield trees(data, name)
    yield from rededge(data)


def pavia(data: Path) -> RegisteredPair:
    """ROSIS over Pavia and an RGB made from the same flight, misregistered on purpose.

    The archive's transform applies to points already scaled by (4.4, 4.5), counted from the corner: found by trying all
    orders and origins; so the RGB explains 0.996 of the bands up to 700 nm, any other way at most 0.984.
    """
    file = _sensors(data, "pair_pavia_sim_misreg")
    matrix = file["true_T"] @ np.diag([*file["true_scale"].ravel(), 1.0])
    return RegisteredPair(
        name="Pavia",
        lr_hsi=file["cube"].astype(np.float32),
        msi=file["rgb_hires"],
        truth=_rig(file["cube"], file["rgb_hires"], matrix),
        note="simulated by others: turned by 10 degrees, 4.4 RGB pixels per LR pixel across and 4.5 down",
        wavelengths_nm=file["wavelength_nm"],
    )


def salton_sea(data: Path) -> RegisteredPair:
    """AVIRIS and an orthophoto of another day, with the registration that was published for them."""
    file = _sensors(data, "pair_salton_sea")
    nm = file["wavelength_nm"]
    good = (file["bbl"] != 0) & (nm >= VISIBLE_NM[0]) & (nm <= VISIBLE_NM[1])
    cube = file["cube"][:, :, good].astype(np.float32)
    rows, cols, _ = cube.shape
    y, x = np.mgrid[:rows, :cols] + 0.5
    displacement = np.stack([file["ref_U"], file["ref_V"]], axis=2)
    straight = np.stack(straightened_points(x, y, displacement), axis=2)
    matrix = file["ref_T"] @ np.diag([*file["ref_scale"].ravel(), 1.0])
    return RegisteredPair(
        name="Salton Sea",
        lr_hsi=cube,
        msi=file["rgb_hires"],
        truth=replace(
            _rig(cube, file["rgb_hires"], matrix), bend=(straight - np.stack([x, y], axis=2)).astype(np.float32)
        ),
        note="true sensors, a year apart; published, itself an estimate; the frame is bent by up to 2.4 LR pixels",
        bend=True,
        wavelengths_nm=nm[good],
    )


def trees(data: Path, name: str) -> RegisteredPair:
    """One band, blurred by 9 HR pixels, and an RGB photo shifted by 5."""
    file = _sensors(data, name)
    rows_px, cols_px = TREES_SHIFT
    matrix = np.array([[TREES_RATIO, 0, -cols_px], [0, TREES_RATIO, -rows_px], [0, 0, 1.0]])
    scene = np.roll(file["ground_truth"], TREES_SHIFT, axis=(0, 1))
    return RegisteredPair(
        name=f"trees, {name.split('_')[-2]}",
        lr_hsi=file["data"][:, :, None].astype(np.float32),
        msi=file["rgb_hires"],
        truth=_rig(file["data"], file["rgb_hires"], matrix),
        note="made from a photo: one noisy band, PSF of 2.25 LR pixels, RGB shifted by 5 HR pixels along each axis",
        ratio=TREES_RATIO,
        scene=scene[:, :, None].astype(np.float32),
    )


def rededge(data: Path) -> Iterator[RegisteredPair]:
    """Four cameras of a MicaSense RedEdge on the fifth, the green one.

    Each camera is averaged over 4 x 4 pixels to be a "spectral" frame of one band. The truth is the pinhole homography
    K_green R K^-1 from the file's focal lengths, principal points and RigRelatives (degrees; R = Rx Ry Rz, found by
    trying both directions). It holds for ground at infinity, and the file's fields for distortion are empty.
    """
    file = _sensors(data, "rededge_IMG_0007")
    cameras = [dict(field.split("=", 1) for field in str(text).split("|")) for text in file["meta"]]
    names = [camera["BandName"] for camera in cameras]
    green = names.index(REDEDGE_REFERENCE)
    msi = file["raw12"][green][:, :, None]
    for name, camera, raw in zip(names, cameras, file["raw12"], strict=True):
        if name == REDEDGE_REFERENCE:
            continue
        rows, cols = (length // REDEDGE_BLOCK for length in raw.shape)
        means = raw.reshape(rows, REDEDGE_BLOCK, cols, REDEDGE_BLOCK).mean(axis=(1, 3), dtype=np.float32)
        finer = np.diag([REDEDGE_BLOCK, REDEDGE_BLOCK, 1.0])
        rotated, unrotated = (
            _camera(cameras[green]) @ rotation @ np.linalg.inv(_camera(camera)) @ finer
            for rotation in (_rotation(camera), np.eye(3))
        )
        yield RegisteredPair(
            name=f"RedEdge, {name.lower()} on green",
            lr_hsi=means[:, :, None],
            msi=msi,
            truth=_rig(means, msi, rotated / rotated[2, 2]),
            start=_rig(means, msi, unrotated),
            note="a drone's frame, begun as if the cameras looked the same way; RigRelatives know neither parallax nor "
            "distortion",
            parallax=True,
        )


def _camera(camera: dict[str, str]) -> Matrix:
    """The pinhole camera's matrix, in pixels."""
    focal = float(camera["PerspectiveFocalLength"]) / REDEDGE_PITCH_MM
    x, y = (float(value) / REDEDGE_PITCH_MM for value in camera["PrincipalPoint"].split(","))
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])


def _rotation(camera: dict[str, str]) -> Matrix:
    (sx, cx), (sy, cy), (sz, cz) = (
        (np.sin(angle), np.cos(angle)) for angle in np.radians([float(v) for v in camera["RigRelatives"].split(",")])
    )
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Matrix = about_x @ about_y @ about_z
    return rotation


def _rig(lr_hsi: NDArray[Any], msi: NDArray[Any], msi_from_lr: Matrix) -> Rig:
    return Rig(lr_shape=lr_hsi.shape[:2], msi_shape=msi.shape[:2], msi_from_lr=msi_from_lr)


def _sensors(data: Path, name: str) -> dict[str, NDArray[Any]]:
    path = data / "sensors" / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"{path} is missing: the sensors' pairs belong into {path.parent}")
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
