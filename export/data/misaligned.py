"""Pairs of two cameras that do not look the same way, by a transform that is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from export.data.degradation import Degradation
from export.data.responses import Response
from hsi_edge.resampling import Blur, degrade

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]

SPLINE = 5
"""Order of the splines between the scene's pixels. The scene is taken to be that spline: both cameras see the same."""
SURROUNDINGS_LR = 8
"""LR pixels to each side by which a scene goes on, mirrored, so that a camera that looks aside sees something."""


@dataclass(frozen=True, kw_only=True)
class Misalignment:
    """How the RGB camera looks at the scene, against the spectral one.

    Attributes:
        dx_lr, dy_lr: Shift in LR pixels.
        angle_deg: Rotation about the middle.
        scale: RGB pixels per LR pixel, divided by the ratio.
        warp: `(3, 3)`, what it does before all that beyond a similarity, in coordinates that are 1 in the middle of the
            frame's longer sides; None for nothing.
    """

    dx_lr: float = 0.0
    dy_lr: float = 0.0
    angle_deg: float = 0.0
    scale: float = 1.0
    warp: Matrix | None = None

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, shift_lr: float, angle_deg: float, growth: float) -> Misalignment:
        """A random one, uniform up to these limits."""
        dx, dy, angle, scale = rng.uniform(-1, 1, 4) * (shift_lr, shift_lr, angle_deg, growth)
        return cls(dx_lr=float(dx), dy_lr=float(dy), angle_deg=float(angle), scale=1 + float(scale))

    def msi_from_lr(self, lr_shape: tuple[int, int], msi_shape: tuple[int, int], ratio: int) -> Matrix:
        """`(3, 3)`, from LR points to RGB points (x, y), in pixels from the corner: middle to middle, and moved."""
        turn = np.radians(self.angle_deg)
        linear = ratio * self.scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle, wanted = (np.array(shape[::-1]) / 2 for shape in (lr_shape, msi_shape))
        moved = wanted + ratio * np.array([self.dx_lr, self.dy_lr]) - linear @ middle
        similarity: Matrix = np.block([[linear, moved[:, None]], [np.zeros((1, 2)), np.ones((1, 1))]])
        if self.warp is None:
            return similarity
        reach = max(lr_shape) / 2
        unit = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, reach]]) / reach
        matrix: Matrix = similarity @ np.linalg.inv(unit) @ self.warp @ unit
        matrix /= matrix[2, 2]
        return matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Cameras:
    """The two cameras.

    Attributes:
        ratio: HR pixels per LR pixel; also, but for a misalignment's scale, RGB pixels per LR pixel.
        response: `(channels, bands)`, of the RGB camera.
        degradation: Noise, bits and exposure; its own blur and misregistration are not used.
        psf_fwhm_lr: Of the spectral sensor, a Gaussian, in LR pixels.
        margin_lr: What the RGB camera sees more on each side, in LR pixels.
        vignetting: By what part of the light the RGB is darker in its corners than in its middle.
        gamma: Of the RGB's coding: what it stores is the light to the power of its inverse.
    """

    ratio: int
    response: Response
    degradation: Degradation
    psf_fwhm_lr: float = 1.0
    margin_lr: int = 0
    vignetting: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class MisalignedPair:
    """What two cameras deliver, and the truth.

    Attributes:
        lr_hsi: `(h, w, bands)` float32.
        msi: `(rows, cols, channels)`, of the RGB camera; uint8 or uint16 with bits, else float32.
        msi_from_lr: `(3, 3)`, from LR points to RGB points (x, y), in pixels from the corner.
        truth: `(h * ratio, w * ratio, bands)`, the scene.
    """

    lr_hsi: Float
    msi: NDArray[Any]
    msi_from_lr: Matrix
    truth: Float


def misaligned_pair(
    scene: Float, cameras: Cameras, misalignment: Misalignment, rng: np.random.Generator
) -> MisalignedPair:
    """Let two cameras see a scene, `(rows, cols, bands)` in [0, 1], as far as it fills LR pixels."""
    ratio, margin, degradation = cameras.ratio, cameras.margin_lr, cameras.degradation
    rows, cols = (length // ratio for length in scene.shape[:2])
    truth = scene[: rows * ratio, : cols * ratio]
    around = SURROUNDINGS_LR * ratio
    world = np.moveaxis(np.pad(truth, ((around, around), (around, around), (0, 0)), mode="symmetric"), 2, 0)
    inner = slice(SURROUNDINGS_LR, -SURROUNDINGS_LR)
    measured = degrade(world, ratio, Blur.gaussian(cameras.psf_fwhm_lr * ratio, ratio))[:, inner, inner]
    noise = rng.uniform(*degradation.lr_noise) * rng.standard_normal(measured.shape)
    msi_shape = ((rows + 2 * margin) * ratio, (cols + 2 * margin) * ratio)
    msi_from_lr = misalignment.msi_from_lr((rows, cols), msi_shape, ratio)
    seen = np.tensordot(cameras.response, world, axes=1) * rng.uniform(*degradation.exposure)
    lr_from_msi: Matrix = np.asarray(np.linalg.inv(msi_from_lr), np.float64)
    msi = _warped(np.asarray(seen, np.float64), lr_from_msi, msi_shape, ratio)
    msi *= 1 - cameras.vignetting * _square_from_middle(msi_shape)[:, :, None]
    msi = np.clip(msi + rng.uniform(*degradation.msi_noise) * rng.standard_normal(msi.shape), 0, 1)
    return MisalignedPair(
        lr_hsi=np.moveaxis(measured + noise, 0, 2).astype(np.float32),
        msi=_digital(msi ** (1 / cameras.gamma), degradation.msi_bits),
        msi_from_lr=msi_from_lr,
        truth=truth,
    )


def _warped(image: Matrix, lr_from_msi: Matrix, shape: tuple[int, int], ratio: int) -> Matrix:
    """`(*shape, channels)`: the scene at the RGB camera's pixels, by spline interpolation."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    at_x, at_y, depth = np.tensordot(lr_from_msi, np.stack([x, y, np.ones(shape)]), axes=1)
    places = [(axis / depth + SURROUNDINGS_LR) * ratio - 0.5 for axis in (at_y, at_x)]
    return np.stack([map_coordinates(band, places, order=SPLINE, mode="reflect") for band in image], axis=2)


def _square_from_middle(shape: tuple[int, int]) -> Matrix:
    """Squared distance from the middle, 1 in the corners."""
    y, x = (((np.arange(side) + 0.5) / side * 2 - 1) ** 2 for side in shape)
    square: Matrix = (y[:, None] * shape[0] ** 2 + x * shape[1] ** 2) / (shape[0] ** 2 + shape[1] ** 2)
    return square


def _digital(image: Matrix, bits: int) -> NDArray[Any]:
    if not bits:
        return image.astype(np.float32)
    digital: NDArray[Any] = np.rint(image * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    return digital
