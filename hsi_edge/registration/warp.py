"""The RGB frame on the HR grid: resampled once, with the filter that its own resolution asks for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import InputError, require
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.rig import Rig

Float = NDArray[np.float32]

SHARP_TO_PX = 1.15
"""RGB pixels per HR pixel up to which the RGB is interpolated; finer ones are averaged over the HR pixel's area."""
AVERAGED_PX = (1.5, 1.125)
"""Finer still, blocks of at least that many RGB pixels are averaged first; then samples lie at most that far apart."""
MISSING = 0.001
"""Weight of RGB pixels without a measurement that an HR pixel may be made of: no more than rounding."""

Read = Callable[[NDArray[Any]], NDArray[Any]]


def measured_values(msi: Cube) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """An RGB frame for `GridWarp.on_grid`, which would spread what is not finite.

    Args:
        msi: `(rows, cols, bands)`, not finite or masked where there is no measurement.

    Returns:
        Its values, zero in pixels that were not measured in every band, and which were, `(rows, cols)`. Where all were,
        the values are the frame's own, and the second is None.
    """
    data = msi.physical() if msi.is_raw else np.asarray(msi.data[...])
    mask = None if msi.mask is None or msi.mask.all() else msi.mask
    if data.dtype.kind == "f" and not (finite := np.isfinite(data)).all():
        whole: NDArray[np.bool_] = np.asarray(finite.all(axis=2))
        mask = whole if mask is None else whole & mask
    if mask is None:
        return data, None
    values = data.copy()
    values[~mask] = 0
    return values, mask


@dataclass(frozen=True, eq=False)
class _Maps:
    """Where to read the RGB, in its pixels counted from the middle of the first, and which of it is there."""

    x: Float
    y: Float
    valid: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class _Reading:
    """How one frame is brought to the grid.

    Attributes:
        values: Reads an image.
        weights: Reads the weight that the above gives to marked pixels, at least, where its weights differ in sign.
        valid: Where the RGB reaches; None for everywhere.
    """

    values: Read
    weights: Read
    valid: NDArray[np.bool_] | None


class GridWarp:
    """Brings RGB frames to the HR grid of the spectral frame: `ratio` pixels per LR pixel, sharing its outer edges.

    Where the RGB is finer than the HR grid, an HR pixel is the mean over its area (no aliasing); where it is coarser,
    it is interpolated by cubic convolution (Keys 1981). Positions are those of the rig, exact to float32.

    Args:
        rig: Where on the RGB the LR pixels are.
        ratio: HR pixels per LR pixel and side.

    Raises:
        InputError: The ratio is not a positive whole number.
        MissingPackageError: OpenCV is not installed.
    """

    def __init__(self, rig: Rig, ratio: int) -> None:
        if ratio < 1:
            raise InputError(f"ratio is {ratio}; wanted a whole number from 1 on, as the model's manifest states it")
        self.rig = rig
        self.ratio = ratio
        self._cv2 = _opencv()
        finer = rig.msi_px_per_lr_px / ratio
        self._block, self._samples = _filter(finer)
        self._maps = self._maps_for(Refinement())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the HR grid."""
        rows, cols = self.rig.lr_shape
        return rows * self.ratio, cols * self.ratio

    @property
    def _is_plain(self) -> bool:
        """Whether a matrix says where to read, so that no maps are to be made."""
        return self.rig.lens is None and self.rig.bend is None and self._samples > 0

    def on_grid(
        self, msi: NDArray[Any], refinement: Refinement | None = None, mask: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Resample an RGB frame to the HR grid.

        Args:
            msi: `(rows, cols, bands)` of the rig's `msi_shape`, uint8, uint16 or float32; never changed. A value
                that is not finite makes those around it so (see `measured_values`).
            refinement: What this frame is off the rig's calibration; None for nothing.
            mask: `(rows, cols)`, False where the RGB frame holds no measurement; None for nowhere.

        Returns:
            `(lr_rows * ratio, lr_cols * ratio, bands)` of the same type, the caller's own, and where all that it is
            made of was measured, `(rows, cols)` bool; None for everywhere. Beyond the RGB's border, which is repeated
            there, nothing was.

        Raises:
            InputError: The frame's size or type is another, or its mask's size.
        """
        self._check(msi, mask)
        reading = self._reading(refinement)
        image = _block_means(self._cv2, msi, self._block)
        return self._by_channels(image, reading.values), self._measured(mask, reading)

    def _reading(self, refinement: Refinement | None) -> _Reading:
        if refinement is not None and self._is_plain:
            place, valid = self._matrix_for(refinement)

            def warped(image: NDArray[Any]) -> NDArray[Any]:
                return self._means(self._warped(image, place))

            return _Reading(warped, warped, valid)
        maps = self._maps if refinement is None else self._maps_for(refinement)
        if self._samples == 0:
            return _Reading(
                functools.partial(self._interpolated, maps), functools.partial(self._weights, maps), maps.valid
            )
        averaged = functools.partial(self._averaged, maps)
        return _Reading(averaged, averaged, maps.valid)

    def _measured(self, mask: NDArray[np.bool_] | None, reading: _Reading) -> NDArray[np.bool_] | None:
        if mask is None or mask.all():
            return reading.valid
        missing = _block_means(self._cv2, (~mask).astype(np.float32)[:, :, None], self._block)
        measured: NDArray[np.bool_] = reading.weights(missing).reshape(self.shape) <= MISSING
        return measured if reading.valid is None else measured & reading.valid

    def _by_channels(self, image: NDArray[Any], read: Read) -> NDArray[Any]:
        groups = np.split(image, _groups(image.shape[2]), axis=2)
        parts = [np.atleast_3d(read(np.ascontiguousarray(group))) for group in groups]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _check(self, msi: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
        if msi.ndim != 3 or msi.shape[:2] != self.rig.msi_shape or msi.shape[2] == 0:
            rows, cols = self.rig.msi_shape
            raise InputError(
                f"the RGB frame has shape {msi.shape}; the rig was calibrated for ({rows}, {cols}, bands). Set the "
                "camera to that size, or calibrate anew with hsi-edge register"
            )
        if msi.dtype not in (np.uint8, np.uint16, np.float32):
            raise InputError(f"the RGB frame is of {msi.dtype}; wanted uint8, uint16 or float32")
        if mask is not None and mask.shape != msi.shape[:2]:
            raise InputError(f"the RGB frame's mask has shape {mask.shape}; the frame has {msi.shape[:2]}")

    def _averaged(self, maps: _Maps, image: NDArray[Any]) -> NDArray[Any]:
        cv2 = self._cv2
        return self._means(cv2.remap(image, maps.x, maps.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _means(self, fine: NDArray[Any]) -> NDArray[Any]:
        """Over the samples of each HR pixel."""
        rows, cols = self.shape
        return np.asarray(self._cv2.resize(fine, (cols, rows), interpolation=self._cv2.INTER_AREA))

    def _warped(self, image: NDArray[Any], place: NDArray[np.float64]) -> NDArray[Any]:
        cv2 = self._cv2
        rows, cols = self.shape
        size, flags = (cols * self._samples, rows * self._samples), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        if place[2, 0] == 0 == place[2, 1]:
            warped = cv2.warpAffine(image, place[:2] / place[2, 2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        else:
            warped = cv2.warpPerspective(image, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped)

    def _matrix_for(self, refinement: Refinement) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """From samples to the RGB, both counted from the middle of the first pixel, and where the RGB reaches."""
        x_lr, y_lr = self._refined_axes(refinement)
        step = refinement.scale / (self.ratio * self._samples)
        lr_from_sample = np.array([[step, 0, x_lr[0]], [0, step, y_lr[0]], [0, 0, 1]])
        msi_from_sample = self.rig.msi_from_lr @ lr_from_sample
        block = self._block
        read_from_msi = np.array([[1 / block, 0, -0.5], [0, 1 / block, -0.5], [0, 0, 1]])
        return read_from_msi @ msi_from_sample, self._reached_by(msi_from_sample)

    def _reached_by(self, msi_from_sample: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """HR pixels all of whose samples a matrix puts on the RGB: those on the inner side of each of its four borders.

        Which side that is, is linear in the sample's place, so the outermost sample of an HR pixel tells.
        """
        (height, width), (rows, cols) = self.shape, self.rig.msi_shape
        x, y, depth = msi_from_sample
        valid = None
        for right, down, start in (x, y, cols * depth - x, rows * depth - y):
            outermost = start + (self._samples - 1) * (min(0.0, right) + min(0.0, down))
            along = (right * self._samples * np.arange(width) + outermost).astype(np.float32)
            across = (down * self._samples * np.arange(height)).astype(np.float32)
            if along.min() + across.min() < 0:
                valid = np.ones(self.shape, np.bool_) if valid is None else valid
                valid &= np.add.outer(across, along) >= 0
        return valid

    def _interpolated(self, maps: _Maps, image: NDArray[Any]) -> NDArray[Any]:
        """Cubic convolution as linear interpolation less its error, `t (1 - t) / 2` of the second difference.

        OpenCV's own cubic kernel does not keep a straight slope straight, and reads at multiples of 1/32 pixel.
        """
        exact = image.astype(np.float32)
        result = self._linear(exact, maps)
        for part, bent in self._bent(exact, maps):
            result -= part * self._linear(bent, maps)
        if image.dtype == np.float32:
            return result
        return np.clip(np.rint(result), 0, np.iinfo(image.dtype).max).astype(image.dtype)

    def _weights(self, maps: _Maps, marked: Float) -> Float:
        """The same with the size of each weight of the second difference, (1, 2, 1) for (1, -2, 1)."""
        result = self._linear(marked, maps)
        for part, bent in self._bent(marked, maps):
            result += part * self._linear(bent + 4 * marked[:, :, 0], maps)
        return result

    def _linear(self, values: Float, maps: _Maps) -> Float:
        cv2 = self._cv2
        read = cv2.remap(values, maps.x, maps.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(read).reshape(*maps.x.shape, -1)

    def _bent(self, values: Float, maps: _Maps) -> Iterator[tuple[Float, Float]]:
        """Along either axis `t (1 - t) / 2`, `(rows, cols, 1)`, and the second difference of the values."""
        cv2 = self._cv2
        for at, second in ((maps.x, (2, 0)), (maps.y, (0, 2))):
            part: Float = at - np.floor(at)
            bent = cv2.Sobel(values, cv2.CV_32F, *second, ksize=1, borderType=cv2.BORDER_REPLICATE)
            share: Float = part * (1 - part) / np.float32(2)
            yield share[:, :, None], np.asarray(bent)

    def _maps_for(self, refinement: Refinement) -> _Maps:
        x, y = self._msi_points(refinement)
        rows, cols = self.rig.msi_shape
        valid = self._reached(x, y, rows, cols)
        for axis in (x, y):
            if self._block > 1:
                axis /= np.float32(self._block)
            axis -= np.float32(0.5)
        return _Maps(x, y, valid)

    def _reached(self, x: Float, y: Float, rows: int, cols: int) -> NDArray[np.bool_] | None:
        # What encloses the grid encloses what is in it, so the rim is enough to see that all is inside.
        rim = [(slice(0, 1), slice(None)), (slice(-1, None), slice(None))]
        rim += [(along, across) for across, along in rim]
        if all(_inside(x[at], y[at], rows, cols).all() for at in rim):
            return None
        inside, per_px = _inside(x, y, rows, cols), max(1, self._samples)
        parts = [inside[down::per_px, right::per_px] for down in range(per_px) for right in range(per_px)]
        return functools.reduce(np.logical_and, parts)

    def _msi_points(self, refinement: Refinement) -> tuple[Float, Float]:
        """Where on the RGB the samples are, in its pixels from the corner: as `Rig.msi_points`, for a whole grid."""
        x_lr, y_lr = self._refined_axes(refinement)
        matrix = self.rig.msi_from_lr
        if self.rig.bend is None:
            lines = [
                np.add.outer((row[1] * y_lr + row[2]).astype(np.float32), (row[0] * x_lr).astype(np.float32))
                for row in matrix
            ]
        else:
            field = self._bend_at(x_lr, y_lr)
            x, y = field[:, :, 0] + x_lr.astype(np.float32), field[:, :, 1] + y_lr.astype(np.float32)[:, None]
            lines = [np.float32(row[0]) * x + np.float32(row[1]) * y + np.float32(row[2]) for row in matrix]
        x, y, depth = lines
        if matrix[2, 0] or matrix[2, 1] or matrix[2, 2] != 1:
            x /= depth
            y /= depth
        return self._seen(x, y)

    def _refined_axes(self, refinement: Refinement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        per_lr = self.ratio * max(1, self._samples)
        rows, cols = self.rig.lr_shape
        axes = []
        for length, shift in ((cols, refinement.dx_lr), (rows, refinement.dy_lr)):
            plain = (np.arange(length * per_lr) + 0.5) / per_lr
            axes.append(length / 2 + refinement.scale * (plain - length / 2) + shift)
        return axes[0], axes[1]

    def _bend_at(self, x_lr: NDArray[np.float64], y_lr: NDArray[np.float64]) -> Float:
        cv2 = self._cv2
        assert self.rig.bend is not None
        step = x_lr[1] - x_lr[0] if len(x_lr) > 1 else 1.0
        place = np.array([[step, 0, x_lr[0] - 0.5], [0, step, y_lr[0] - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (len(x_lr), len(y_lr))
        fields = [np.ascontiguousarray(self.rig.bend[:, :, axis]) for axis in range(2)]  # one by one: see _groups
        parts = [cv2.warpAffine(one, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for one in fields]
        return np.stack(parts, axis=2)

    def _seen(self, x: Float, y: Float) -> tuple[Float, Float]:
        lens = self.rig.lens
        if lens is None:
            return x, y
        x -= np.float32(lens.centre_x)
        y -= np.float32(lens.centre_y)
        square = (x * x + y * y) * np.float32(1 / lens.radius_px**2)
        factor = 1 + square * (np.float32(lens.k1) + square * np.float32(lens.k2))
        return x * factor + np.float32(lens.centre_x), y * factor + np.float32(lens.centre_y)


def _opencv() -> ModuleType:
    return require("cv2", feature="bringing the RGB to the HR grid", extra="opencv")


def _groups(channels: int) -> list[int]:
    """Where to split channels, into threes and single ones: of two, OpenCV reads at multiples of 1/32 pixel only."""
    threes = channels // 3 * 3
    return [*range(3, threes, 3), *range(threes, channels)] if threes else list(range(1, channels))


def _inside(x: NDArray[Any], y: NDArray[Any], rows: int, cols: int) -> NDArray[np.bool_]:
    return np.asarray((x >= 0) & (x <= cols) & (y >= 0) & (y <= rows))


def _filter(finer: float) -> tuple[int, int]:
    """RGB pixels per side of a block that is averaged first; then samples per HR pixel and side (0: interpolate)."""
    if finer <= SHARP_TO_PX:
        return 1, 0
    block = max(1, int(finer / AVERAGED_PX[0]))
    return block, max(2, int(np.ceil(finer / block / AVERAGED_PX[1])))


def _block_means(cv2: ModuleType, image: NDArray[Any], block: int) -> NDArray[Any]:
    """Means over whole blocks from the upper left; what is left at the other ends is averaged over what there is."""
    if block == 1:
        return image
    rows, cols = (-(-side // block) for side in image.shape[:2])
    more = (rows * block - image.shape[0], cols * block - image.shape[1])
    if any(more):
        image = np.pad(image, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")
    return np.atleast_3d(cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA))
