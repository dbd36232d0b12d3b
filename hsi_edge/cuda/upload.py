"""What the host gives to the GPU of a prepared frame, written into pinned memory by the names of `plan.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.consistency import sharpening
from hsi_edge.cuda.arrays import KINDS, DeviceArray
from hsi_edge.cuda.plan import FrameShape
from hsi_edge.frame import Frame
from hsi_edge.registration.translation import sinc_taps
from hsi_edge.resampling import Float
from hsi_edge.subspace_frame import SubspaceFrame


def frame_shape(frame: Frame, tiles: int, msi: DeviceArray | None) -> FrameShape:
    """What decides which memory a frame needs; `msi` where the HR-MSI lies on the GPU already."""
    guide = frame.guide
    dtype = None
    if guide is not None and msi is None:
        dtype = guide.source.dtype.name if guide.source.dtype.name in KINDS else "float32"
    return FrameShape(
        lr=frame.lr_shape,
        bands=len(frame.dead_bands),
        msi_bands=0 if guide is None else guide.source.shape[2],
        msi_dtype=dtype,
        masked=guide is not None and guide.mask is not None,
        tiles=tiles,
    )


def write_given(frame: Frame, statistics: Float | None, given: Mapping[str, NDArray[Any]]) -> None:
    """Write all that the GPU must know of a frame."""
    arrays = _given(frame) | ({} if statistics is None else {"statistics": statistics})
    for name, view in given.items():
        # Also turns types that the kernels do not read into float32.
        np.copyto(view, arrays[name].reshape(view.shape), casting="unsafe")


def _given(frame: Frame) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"lr_valid": frame.lr_valid, "dead": frame.dead_bands}
    if frame.guide is not None:
        arrays |= {"source": frame.guide.source, "fill": frame.guide.fill}
        if frame.guide.mask is not None:
            arrays["mask"] = frame.guide.mask
    if frame.lr is not None:
        arrays["lr"] = frame.lr
    if frame.base is not None:
        arrays["remainder"] = frame.base.remainder
        if frame.base.weights is not None:
            arrays["weights"] = frame.base.weights
    return arrays | _components(frame) if isinstance(frame, SubspaceFrame) else arrays


def _components(frame: SubspaceFrame) -> dict[str, NDArray[Any]]:
    assert frame.guide is not None
    subspace, shift = frame.subspace, frame.guide.translation
    rows, cols = frame.lr_shape
    return {
        "features": frame.features,
        "condition": subspace.condition,
        "whitening": subspace.whitening,
        "guide_mean": subspace.guide_mean,
        "mixing": subspace.mixing.T,
        "offset": subspace.offset,
        "blur": np.array(frame.blur.taps, np.float32),
        "move_rows": np.array(sinc_taps(_fraction(shift.rows_px)), np.float32),
        "move_cols": np.array(sinc_taps(_fraction(shift.cols_px)), np.float32),
        "sharpen_rows": sharpening(rows, frame.ratio, frame.blur),
        "sharpen_cols": sharpening(cols, frame.ratio, frame.blur),
    }


def _fraction(shift_px: float) -> float:
    return float(round(shift_px - int(np.floor(shift_px)), 4))
