"""Raw frames of snapshot mosaic sensors: from one filter per pixel to all bands at one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.mosaic_calibration import MosaicCalibration

Float = NDArray[np.float32]


class Demosaic:
    """Makes frames of bands from raw frames of one mosaic sensor.

    A macro-pixel (4 x 4 pixels, say) becomes one pixel. Its filters lie beside each other, so that bands taken as they
    come would be shifted against each other by up to 3/4 of a pixel: each is interpolated linearly, from its own
    pixels, to the middle of the macro-pixel, and extrapolated in the outermost ones. That is exact where the light
    changes linearly; finer detail is smoothed more in the bands whose filters lie further from the middle.
    """

    def __init__(self, calibration: MosaicCalibration) -> None:
        """Prepare the correction.

        Raises:
            InputError: The filter curves cannot be read, or do not fit.
        """
        self._calibration = calibration
        pattern = np.array(calibration.pattern)
        self._side = (pattern.shape[0], pattern.shape[1])
        nm = np.array(calibration.wavelengths_nm)
        ascending = np.argsort(nm, kind="stable")
        self.wavelengths_nm: NDArray[np.float64] = nm[ascending]
        """Centres of the bands that come out, ascending."""
        matrix = calibration.correction_matrix()
        self._matrix = None if matrix is None else matrix[ascending].astype(np.float32)
        # Without a correction, the pixels' places are taken in the order of the bands at once.
        order = np.arange(pattern.size) if matrix is not None else ascending
        place = {int(number): (row, col) for (row, col), number in np.ndenumerate(pattern)}
        self._places = [place[int(number)] for number in order]
        self._buffers: tuple[Float, Float] | None = None

    def apply(self, frame: SensorFrame) -> SensorFrame:
        """Make a frame of bands.

        Args:
            frame: One channel; its active area is cut to whole macro-pixels.

        Returns:
            float32 `(rows / pattern rows, cols / pattern cols, bands)`, bands ascending by wavelength. A value that
            needed a saturated or invalid raw pixel is NaN, and with a correction, which mixes the filters, the whole
            pixel; the mask is False where no band is left.

        Raises:
            InputError: The frame has more than one channel, or holds less than two macro-pixels along a side.
        """
        raw = self._active(frame)
        values, bands = self._scratch(raw.shape)
        values[:] = raw
        bad = self._bad(frame)
        if bad is not None:
            np.copyto(values, np.float32(np.nan), where=bad)
        self._interpolate(values, bands)
        mask = None if bad is None else self._measured(bands)
        data = np.ascontiguousarray(np.moveaxis(bands, 0, 2)) if self._matrix is None else self._corrected(bands)
        return replace(frame, data=data, mask=mask, wavelengths_nm=self.wavelengths_nm)

    def _active(self, frame: SensorFrame) -> NDArray[Any]:
        if frame.data.shape[2] != 1:
            raise InputError(
                f"a raw mosaic frame has 1 channel; this one has {frame.data.shape[2]}: it may be demosaiced already"
            )
        area = self._cut(frame.data[:, :, 0])
        if area.shape[0] < 2 * self._side[0] or area.shape[1] < 2 * self._side[1]:
            raise InputError(
                f"the raw frame's active area has {area.shape[0]} x {area.shape[1]} pixels; wanted at least two "
                f"macro-pixels of {self._side[0]} x {self._side[1]}: check first_row, first_col, rows and cols"
            )
        return area

    def _cut(self, image: NDArray[Any]) -> NDArray[Any]:
        known = self._calibration
        area = image[known.first_row :, known.first_col :][: known.rows, : known.cols]
        return area[: area.shape[0] // self._side[0] * self._side[0], : area.shape[1] // self._side[1] * self._side[1]]

    def _bad(self, frame: SensorFrame) -> NDArray[np.bool_] | None:
        bad = None if frame.mask is None else ~self._cut(frame.mask)
        level = self._calibration.saturation_level
        if level is not None and (saturated := self._active(frame) >= level).any():
            bad = saturated if bad is None else bad | saturated
        return bad

    def _scratch(self, shape: tuple[int, ...]) -> tuple[Float, Float]:
        """Kept between frames: fresh memory of this size takes as long to get as the work itself."""
        if self._buffers is None or self._buffers[0].shape != shape:
            (height, width), n = self._side, len(self._places)
            bands = np.empty((n, shape[0] // height, shape[1] // width), np.float32)
            self._buffers = (np.empty(shape, np.float32), bands)
        return self._buffers

    def _interpolate(self, values: Float, bands: Float) -> None:
        """Into `(filters, rows, cols)`: whole raw rows first, then columns, as long rows are fast."""
        height, width = self._side
        rows = [_to_middle(values[row::height], row, height) for row in range(height)]
        for band, (row, col) in zip(bands, self._places, strict=True):
            band[:] = _to_middle(np.ascontiguousarray(rows[row][:, col::width]).T, col, width).T

    def _measured(self, bands: Float) -> NDArray[np.bool_]:
        missing = np.isnan(bands)
        reduced = np.logical_and if self._matrix is None else np.logical_or
        mask: NDArray[np.bool_] = ~reduced.reduce(missing, axis=0)
        return mask

    def _corrected(self, bands: Float) -> Float:
        assert self._matrix is not None
        pixels = bands.reshape(len(bands), -1).T @ self._matrix.T
        cube: Float = pixels.reshape(*bands.shape[1:], len(self._matrix))
        return cube


def _to_middle(samples: Float, place: int, length: int) -> Float:
    """Samples taken at `place` of every `length` pixels, interpolated along the first axis to the middle of each."""
    shift = 0.5 - (place + 0.5) / length
    if shift == 0:
        return samples
    slopes: Float = np.diff(samples, axis=0)
    slopes *= np.float32(shift)
    result: Float = samples.copy(order="K")
    # The neighbour on that side of the middle; the outermost pixel has none and goes on with the last slope.
    if shift > 0:
        result[:-1] += slopes
        result[-1] += slopes[-1]
    else:
        result[1:] += slopes
        result[0] += slopes[0]
    return result
