"""What a result and the two frames that it was made of differ by, in every LR pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.live.degradation import degraded_frame
from hsi_edge.noise import denoise_spectra
from hsi_edge.resampling import Blur, Float, multiply
from hsi_edge.scaling import frame_peak

Flags = NDArray[np.bool_]

PEAK_PX, NOISE_PX = 1024, 256
"""LR pixels that tell the peak, and the noise: enough for two digits, and too few for BLAS to call for threads."""
LEAST_PX, FIT_PX = 9, 2048
"""LR pixels that the camera's response is fitted from: fewer explain any RGB frame, more tell nothing new."""
FLATTEST = 0.05
"""Of an RGB frame's mean, the least that its contrast is taken for: of a lake, it is all noise."""
WHOLE = 0.999
"""Weight of the valid pixels among the taps from which on an LR pixel of the RGB frame is taken for valid."""


@dataclass(frozen=True, eq=False)
class LrFrame:
    """The LR-HSI, ready to be compared with.

    Attributes:
        data: `(h, w, bands)`, all bands.
        live: `(bands,)`, which of them hold anything; all, where none does.
        valid: `(h, w)`, where all of these were measured.
        noise: Standard deviation of the noise in one band of one pixel, in the units of the data.
    """

    data: Float
    live: Flags
    valid: Flags
    noise: float

    @classmethod
    def measured(cls, data: Float, noise: float | None, least: float) -> LrFrame:
        """Find out what is valid, and how noisy it is.

        Args:
            data: `(h, w, bands)`, NaN where there is no measurement.
            noise: As a part of the frame's peak; None to estimate it.
            least: What the noise is taken for where it is less, as a part of the peak.
        """
        finite = np.isfinite(data)
        live: Flags = np.asarray(finite.any(axis=(0, 1)))
        if not live.any():
            live = np.full(len(live), fill_value=True)
        valid: Flags = np.asarray(finite[:, :, live].all(axis=2))
        if not valid.any():
            return cls(data, live, valid, 1.0)
        spectra = data.reshape(-1, len(live))
        peak = frame_peak(spectra[_some(valid, PEAK_PX)][:, live])
        if noise is None:
            few = spectra[_some(valid, NOISE_PX)][:, live].T / np.float32(peak)
            noise = denoise_spectra(np.ascontiguousarray(few)).noise if few.shape[1] > 1 else 0.0
        return cls(data, live, valid, max(noise, least) * peak)

    def bands(self, image: NDArray[Any]) -> NDArray[Any]:
        """The live bands of `(..., bands)`; a view where all are."""
        return image if self.live.all() else image[..., self.live]


def _some(flags: Flags, count: int) -> NDArray[np.intp]:
    """Places of at most `count` set flags, evenly spread."""
    places = np.flatnonzero(flags)
    return places[:: -(-len(places) // count)]


@dataclass(frozen=True, eq=False)
class Msi:
    """The HR-MSI `(H, W, c)` in any unit, and `(H, W)`, where it is valid; None for everywhere."""

    data: NDArray[Any]
    valid: Flags | None

    @classmethod
    def measured(cls, data: NDArray[Any], mask: Flags | None, displacement_px: tuple[float, float]) -> Msi:
        """Undo the displacement, to whole pixels, that the engine found and undid; find out what is valid.

        Args:
            data: `(H, W, c)`.
            mask: `(H, W)`, where it is valid; None for everywhere.
            displacement_px: Along rows and columns: its pixel `(row + rows_px, col + cols_px)` belongs to `(row, col)`.
        """
        for axis, shift in enumerate(map(round, displacement_px)):
            if shift:
                data, mask = _moved(data, mask, shift, axis)
        if data.dtype.kind == "f":
            finite: Flags = np.isfinite(data).all(axis=2)
            mask = finite if mask is None else finite & mask
            if not finite.all():
                # However small its weight, it would spoil the LR pixels whose taps touch it.
                data = np.where(finite[:, :, None], data, data.dtype.type(0))
        return cls(data, None if mask is None or mask.all() else mask)

    def valid_lr(self, ratio: int, blur: Blur) -> Flags | bool:
        """The LR pixels whose taps meet valid pixels alone, `(h, w)`; True for all."""
        return True if self.valid is None else degraded_frame(self.valid[:, :, None], ratio, blur)[:, :, 0] > WHOLE

    def some(self, rows: slice, cols: slice) -> Float:
        """Some rows and columns, float32, NaN where they are not valid."""
        part = self.data[rows, cols].astype(np.float32)
        if self.valid is not None:
            part[~self.valid[rows, cols]] = np.nan
        return part


def _moved(data: NDArray[Any], mask: Flags | None, shift: int, axis: int) -> tuple[NDArray[Any], Flags]:
    """An image and its mask, moved along an axis by whole pixels; what comes from beyond the border is not valid."""
    places = np.arange(data.shape[axis]) + shift
    inside = (places >= 0) & (places < len(places))
    places = places.clip(0, len(places) - 1)
    valid: Flags = np.full(data.shape[:2], fill_value=True) if mask is None else mask.take(places, axis)
    return data.take(places, axis), valid & (inside[:, None] if axis == 0 else inside)


def spectral_residual(result: Float, lr: LrFrame, ratio: int, blur: Blur) -> Float:
    """The degraded result less the LR-HSI in units of the noise, `(h, w, live bands)`.

    Not finite where there is no measurement, or where the taps meet pixels without a result.
    """
    residual: Float = lr.bands(degraded_frame(result, ratio, blur)) - lr.bands(lr.data)
    residual *= np.float32(1 / lr.noise)
    return residual


def holes(result: Float, lr: LrFrame, msi: Msi | None, ratio: int) -> Flags:
    """The LR pixels in which the result has pixels without a value though both sensors measured all of it, `(h, w)`."""
    own = Blur((1 / ratio,) * ratio, 0)
    finite = np.isfinite(lr.bands(degraded_frame(result, ratio, own))).all(axis=2)
    missing: Flags = lr.valid & ~finite & (True if msi is None else msi.valid_lr(ratio, own))
    return missing


def rgb_residual(result: Float, lr: LrFrame, msi: Msi, ratio: int, blur: Blur) -> Float:
    """How far the RGB frame is from what its camera sees of the scene, `(2, h, w)`, as a part of the frame's contrast.

    How the camera sees the bands is not known. It is fitted on the LR grid, from the measured bands to the degraded RGB
    frame, by least squares with a ridge as strong as the noise. The first map is what this leaves on the LR grid: a
    frame of another place, or one that lies elsewhere, is not explained by the bands. The second is what it leaves of
    the result on the HR grid, in every second pixel of every fourth row: wrong detail does not look like the frame.

    Returns:
        Root mean squares over the bands and pixels of an LR pixel; NaN where there is no measurement, and everywhere
        where too few LR pixels are valid in both frames.
    """
    lr_msi = degraded_frame(msi.data, ratio, blur)
    fit = lr.valid & msi.valid_lr(ratio, blur)
    left = np.full((2, *fit.shape), np.nan, np.float32)
    if np.count_nonzero(fit) < LEAST_PX:
        return left
    spectra, colours = lr.bands(lr.data)[fit], lr_msi[fit]
    step = -(-len(spectra) // FIT_PX)
    response, offset = _response(spectra[::step], colours[::step], lr.noise)
    left[0, fit] = np.square(multiply(spectra, response) + offset - colours).mean(axis=1)
    row_step, col_step = math.gcd(ratio, 4), math.gcd(ratio, 2)
    places = slice(None, None, row_step), slice(None, None, col_step)
    frame = msi.some(*places)
    off = multiply(lr.bands(result[places]), response)
    off += offset
    off -= frame
    squares = np.einsum("ijk,ijk->ij", off, off) / np.float32(frame.shape[2])
    left[1] = squares.reshape(len(fit), ratio // row_step, -1, ratio // col_step).mean(axis=(1, 3))
    left /= np.float32(_contrast(frame[:, ::2]) ** 2)
    return np.sqrt(left, out=left)


def _response(spectra: Float, colours: Float, noise: float) -> tuple[Float, Float]:
    """`(bands, colours)` and `(colours,)`: colours are spectra times the first plus the second."""
    mean, middle = spectra.mean(axis=0), colours.mean(axis=0)
    centred = spectra - mean
    gram = multiply(centred.T, centred) + len(spectra) * noise**2 * np.eye(len(mean))
    response = np.linalg.solve(gram, multiply(centred.T, colours - middle))
    return response.astype(np.float32), (middle - mean @ response).astype(np.float32)


def _contrast(frame: Float) -> float:
    """The root of the bands' mean variance, or what it is taken for in a flat frame."""
    bands = frame[np.isfinite(frame[:, :, 0])].T.copy()
    deviation = np.sqrt(bands.var(axis=1).mean())
    return float(max(deviation, FLATTEST * abs(bands.mean()), np.finfo(np.float32).tiny))
