"""The rig: two sensors side by side, and where on the RGB each spectral pixel is."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.io.atomic import atomic_path
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain
from hsi_edge.registration.lens import Lens, Points

Matrix = NDArray[np.float64]

SCHEMA = 1
LARGEST_FILE_BYTES = 64 << 20
LARGEST_SIDE_PX = 1 << 16
SINGULAR = 1e-12
"""A matrix whose determinant is less, relative to its scale, puts the frame onto a line or a point."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """Where on the RGB (the MSI) each pixel of the spectral frame (the LR-HSI) is.

    Points are `(x, y)` in pixels, x to the right, y down, counted from the image's upper left corner: the middle of the
    first pixel is `(0.5, 0.5)`. The LR pixel at `p` shows what the RGB camera would show at
    `msi_from_lr @ (p + bend(p))` without its lens's distortion.

    Attributes:
        lr_shape, msi_shape: Rows and columns of the two images.
        msi_from_lr: `(3, 3)` float64, homogeneous, from LR points to undistorted MSI points.
        lens: Distortion of the RGB camera; None for none.
        bend: `(rows, cols, 2)` float32, per LR pixel a displacement `(dx, dy)` in LR pixels, of a frame that is bent
            locally (moving platform, parallax); None for none.
        psf_fwhm_lr: Full width at half maximum of the spectral sensor's blur, in LR pixels.
        std_lr: Standard error of the registration at a pixel, per axis, in LR pixels, as estimated.
    """

    lr_shape: tuple[int, int]
    msi_shape: tuple[int, int]
    msi_from_lr: Matrix
    lens: Lens | None = None
    bend: NDArray[np.float32] | None = None
    psf_fwhm_lr: float = 1.0
    std_lr: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be a rig.

        Raises:
            InputError: Sizes, matrix or bend are impossible.
        """
        object.__setattr__(self, "msi_from_lr", np.array(self.msi_from_lr, np.float64))
        for name in ("lr_shape", "msi_shape"):
            shape = getattr(self, name)
            if len(shape) != 2 or not all(1 <= side <= LARGEST_SIDE_PX for side in shape):
                raise InputError(f"{name} is {tuple(shape)}; wanted rows and columns, 1 to {LARGEST_SIDE_PX}")
        self._check_matrix()
        if self.bend is not None:
            object.__setattr__(self, "bend", np.array(self.bend, np.float32))
            if self.bend.shape != (*self.lr_shape, 2) or not np.isfinite(self.bend).all():
                raise InputError(
                    f"bend has shape {self.bend.shape} or values that are not finite; wanted {(*self.lr_shape, 2)}"
                )
        for name, least in (("psf_fwhm_lr", np.finfo(np.float32).tiny), ("std_lr", 0.0)):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= least):
                raise InputError(f"{name} is {getattr(self, name)}; wanted a finite number, not negative, in LR pixels")

    def _check_matrix(self) -> None:
        matrix = self.msi_from_lr
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise InputError(f"msi_from_lr is {matrix.tolist()}; wanted 3 x 3 finite numbers")
        rows, cols = self.lr_shape
        depth = np.array([[0, 0, 1], [cols, 0, 1], [0, rows, 1], [cols, rows, 1]]) @ matrix[2]
        singular = abs(np.linalg.det(matrix)) <= SINGULAR * np.linalg.norm(matrix[:2, :2]) ** 2 * abs(matrix[2, 2])
        if singular or depth.min() <= 0:
            raise InputError(
                f"msi_from_lr is {matrix.tolist()}, putting the frame onto a line or behind the camera; calibrate anew"
            )

    def msi_points(self, lr_points: Points) -> Points:
        """Where on the RGB points of the spectral frame are.

        Args:
            lr_points: `(..., 2)`, (x, y) in LR pixels from the frame's corner.

        Returns:
            `(..., 2)`, (x, y) in RGB pixels from the image's corner; may lie outside of it.
        """
        points = np.asarray(lr_points, np.float64)
        if self.bend is not None:
            points = points + _interpolated(self.bend, points)
        ideal = points @ self.msi_from_lr[:2, :2].T + self.msi_from_lr[:2, 2]
        depth = points @ self.msi_from_lr[2, :2] + self.msi_from_lr[2, 2]
        ideal = ideal / depth[..., None]
        return ideal if self.lens is None else self.lens.seen(ideal)

    @property
    def msi_px_per_lr_px(self) -> float:
        """RGB pixels per LR pixel and side in the middle of the frame: the square root of the ratio of areas."""
        rows, cols = self.lr_shape
        x, y = cols / 2, rows / 2
        corners = self.msi_points(np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]]))
        along_x, along_y = corners[1] - corners[0], corners[3] - corners[2]
        return float(np.sqrt(abs(along_x[0] * along_y[1] - along_x[1] * along_y[0])))


def _interpolated(field: NDArray[np.float32], points: Points) -> Points:
    """Bilinear between the middles of the pixels; beyond the outermost ones, the field goes on as it is there."""
    rows, cols, _ = field.shape
    x = np.clip(points[..., 0] - 0.5, 0, cols - 1)
    y = np.clip(points[..., 1] - 0.5, 0, rows - 1)
    left, top = np.minimum(x.astype(np.intp), max(0, cols - 2)), np.minimum(y.astype(np.intp), max(0, rows - 2))
    right, bottom = np.minimum(left + 1, cols - 1), np.minimum(top + 1, rows - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = field[top, left] * (1 - fx) + field[top, right] * fx
    lower = field[bottom, left] * (1 - fx) + field[bottom, right] * fx
    between: Points = upper * (1 - fy) + lower * fy
    return between


@dataclass(frozen=True, kw_only=True)
class _RigRecord:
    """The file. The bend is one text: base64 of zlib of float32 numbers, little-endian, (rows, cols, 2)."""

    schema: int
    lr_shape: tuple[int, ...]
    msi_shape: tuple[int, ...]
    msi_from_lr: tuple[tuple[float, ...], ...]
    lens: Lens | None
    psf_fwhm_lr: float
    std_lr: float
    bend: str | None


def read_rig(path: Path | str) -> Rig:
    """Read a rig from its YAML file.

    Raises:
        InputError: The file is missing, of a newer schema, or no rig; says what is wrong.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as err:
        raise InputError(
            f"cannot read the rig {path} ({err.strerror}); make one with hsi-edge register LR MSI -o {path}"
        ) from err
    return rig_from_yaml(data, str(path))


def rig_from_yaml(data: bytes, name: str = "the rig") -> Rig:
    """A rig from the text of its file, such as a recording holds.

    Args:
        data: The file's bytes.
        name: What messages call it.

    Raises:
        InputError: Says what is wrong.
    """
    try:
        plain = plain_from_yaml(data, LARGEST_FILE_BYTES)
        _check_schema(plain)
        record = record_from_plain(_RigRecord, plain)
        return _rig_from_record(record)
    except (ManifestError, InputError) as err:
        raise InputError(f"{name} is no rig: {err}; make one with hsi-edge register") from err


def _check_schema(plain: object) -> None:
    """Before the keys: a newer version has others."""
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        raise ManifestError(f"its schema is {schema}, this version knows {SCHEMA}; update hsi-edge")


def _rig_from_record(record: _RigRecord) -> Rig:
    shapes = {}
    for name in ("lr_shape", "msi_shape"):
        shape = getattr(record, name)
        if len(shape) != 2:
            raise InputError(f"{name} has {len(shape)} numbers; wanted rows and columns")
        shapes[name] = (shape[0], shape[1])
    if [len(row) for row in record.msi_from_lr] != [3, 3, 3]:
        raise InputError("msi_from_lr is not 3 x 3 numbers")
    return Rig(
        **shapes,
        msi_from_lr=np.array(record.msi_from_lr),
        lens=record.lens,
        bend=None if record.bend is None else _bend_from_text(record.bend, shapes["lr_shape"]),
        psf_fwhm_lr=record.psf_fwhm_lr,
        std_lr=record.std_lr,
    )


def _bend_from_text(text: str, lr_shape: tuple[int, int]) -> NDArray[np.float32]:
    size = 8 * lr_shape[0] * lr_shape[1]
    if size > LARGEST_FILE_BYTES:
        raise InputError(f"bend: a frame of {lr_shape} pixels is too large to have one")
    try:
        packed = base64.b64decode(text, validate=True)
        data = zlib.decompressobj().decompress(packed, size + 1)
    except (binascii.Error, ValueError, zlib.error) as err:
        raise InputError(f"bend is damaged ({err})") from err
    if len(data) != size:
        raise InputError(f"bend holds {len(data)} bytes or more; wanted {size} for {lr_shape} pixels")
    return np.frombuffer(data, "<f4").reshape(*lr_shape, 2).astype(np.float32)


def yaml_from_rig(rig: Rig) -> bytes:
    """The text of a rig's file."""
    bend = None
    if rig.bend is not None:
        bend = base64.b64encode(zlib.compress(rig.bend.astype("<f4").tobytes(), 9)).decode()
    record = _RigRecord(
        schema=SCHEMA,
        lr_shape=rig.lr_shape,
        msi_shape=rig.msi_shape,
        msi_from_lr=tuple(tuple(row) for row in rig.msi_from_lr.tolist()),
        lens=rig.lens,
        psf_fwhm_lr=rig.psf_fwhm_lr,
        std_lr=rig.std_lr,
        bend=bend,
    )
    return yaml_from_plain(plain_from_record(record))


def write_rig(path: Path | str, rig: Rig) -> None:
    """Write a rig to a YAML file, whole or not at all.

    Raises:
        OutputError: If the system refuses to write.
    """
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(yaml_from_rig(rig))
